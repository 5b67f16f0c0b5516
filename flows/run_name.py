"""What a run is called in Prefect's lists: its output, and when it began."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from prefect.runtime import flow_run

from regioncap.config.model import RegionCapConfig
from regioncap.masking import mask
from regioncap.printable import printable
from regioncap.storage.urls import redact_url

HEAD_CHARS, TAIL_CHARS = 40, 20
"""What is kept of a longer name: outputs of one kind differ at either end."""


def run_name() -> str:
    """The name of the current flow run: `captions.jsonl · 2026-11-26 02:00 UTC`. For Prefect, when the run begins."""
    return f"{output_name(flow_run.parameters.get('config'))} · {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC"


def output_name(config: Any) -> str:
    """The name of a run's output, without its folder and without credentials; with wrong settings too.

    `config`: what the flow was given for it.

    >>> output_name({"input": "photos.jsonl", "output": "s3://me:secret@bucket/2026/captions/", "captioner": "pixels"})
    'captions/'
    """
    address = redact_url(_output_of(config))
    path = address.rstrip("/")
    name = " ".join(mask(printable(path.rpartition("/")[2] + address[len(path) :][:1])).split())
    if len(name) > HEAD_CHARS + TAIL_CHARS:
        name = f"{name[:HEAD_CHARS]}…{name[-TAIL_CHARS:]}"
    return name or "no output"


def _output_of(config: Any) -> str:
    if isinstance(config, RegionCapConfig):
        return config.output
    if not isinstance(config, Mapping):
        return ""
    try:
        return RegionCapConfig(**config).output
    except Exception:  # a name is not worth a run; what is wrong with the settings is said when the run begins
        return str(config.get("output") or "")
