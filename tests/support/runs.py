"""Runs of the flow in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from regioncap.config.model import RegionCapConfig
from regioncap.output.summary import Summary

Run = Callable[..., Summary]
"""`run(folder, **settings)`: the real flow on a folder's `photos.jsonl`, a fixture."""


def config_of(folder: Path, **changes: Any) -> RegionCapConfig:
    """The config of a run in `folder`: everything it reads and writes lies there."""
    values = {
        "input": str(folder / "photos.jsonl"),
        "output": str(folder / "out.jsonl"),
        "cache_path": str(folder / "cache"),
        "captioner": "pixels",
        "max_boxes": 3,
    }
    return RegionCapConfig(**{**values, **changes})
