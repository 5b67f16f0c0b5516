"""Runs by batches, up to where their answers are in the cache: without Prefect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.fake_server import BatchBehaviour, Behaviour, RunningServer
from regioncap.config.model import RegionCapConfig
from regioncap.run.context import RunContext
from regioncap.run.progress import Bill
from regioncap.run.runs import RUNS
from regioncap.tasks import batch_submit, batches
from regioncap.tasks.batches import caption_in_batches
from tests.support.runs import config_of

Serve = Callable[..., RunningServer]
"""`serve(**batches)`: a running fake server whose batches act so."""


@contextmanager
def batch_servers() -> Iterator[Serve]:
    """What starts servers, which end with the block."""
    with ExitStack() as running:

        def start(**behaviour: Any) -> RunningServer:
            server = RunningServer(Behaviour(latency=0.0, slots=8, batch=BatchBehaviour(**behaviour)))
            return running.enter_context(server)

        yield start


def settings_of(server: RunningServer, **more: Any) -> dict[str, Any]:
    """Of a run by batches on a fake server."""
    return settings_at(server.url, **more)


def settings_at(url: str, **more: Any) -> dict[str, Any]:
    """Of a run by batches on the server at `url`."""
    return {
        "captioner": "openai", "model": "fake-vlm", "endpoint": url, "delivery": "batch", "shard_size": 5,
        **more,
    }  # fmt: skip


@contextmanager
def context_of(config: RegionCapConfig) -> Iterator[RunContext]:
    """The context of a run, which ends with the block."""
    with RUNS.enter():
        try:
            yield RUNS.context(config)
        finally:
            RUNS.close(config)


def look_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of tests take moments: have runs in this process look for them as often."""
    monkeypatch.setattr(batches, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(batches, "MAX_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(batch_submit, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(batch_submit, "LIST_SECONDS", 1.0)


def answered_in_batches(folder: Path, server: RunningServer, **more: Any) -> Bill:
    """Have the rows of a folder's `photos.jsonl` answered by batches; returns what that cost."""
    return answered_at(folder, server.url, **more)


def answered_at(folder: Path, url: str, **more: Any) -> Bill:
    """As `answered_in_batches`, on the server at `url`."""
    with context_of(config_of(folder, **settings_at(url, **more))) as context:
        caption_in_batches(context)
        return context.progress.bill()


def left_in(folder: Path, kind: str) -> list[Path]:
    """What lies in a folder of the cache."""
    there = folder / "cache" / kind
    return sorted(there.iterdir()) if there.exists() else []
