"""What the process of the flow asks of the processes of a Dask cluster, beside the shards that they work on.

Each function runs there, called with `Client.run`, in a thread: the process's event loop must not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import regioncap
from regioncap.captioners.allowance import Allowance, Use
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.records import Counts
from regioncap.registry import make_finder, plugin_parts
from regioncap.run.credentials import filesystems_of
from regioncap.run.prefect_import import import_prefect
from regioncap.run.runs import RUNS

import_prefect()  # before tasks come, whose import of it would be reported to its makers

T = TypeVar("T")


async def call_in_run(do: Callable[..., T], run: str, *args: Any) -> T:
    """`do(*args)` as part of the run `run`, in a thread of its own."""

    def call() -> T:
        with RUNS.enter(run):
            return do(*args)

    return await asyncio.to_thread(call)


@dataclass(frozen=True)
class Arrival:
    """What a process reports before a run. `sees_cache`: whether it finds what this run put into the cache;
    `plugins`: the user's own code that it has, by kind, or the reason why it has it not."""

    version: str
    sees_cache: bool
    plugins: dict[str, dict[str, Any]] | str


def arrive(config: RegionCapConfig, probe: str) -> Arrival:
    """This process's version, whether it sees the file `probe`, and its plugins."""
    return Arrival(regioncap.__version__, filesystems_of(config).place(probe).size() is not None, _plugins(config))


def _plugins(config: RegionCapConfig) -> dict[str, dict[str, Any]] | str:
    try:
        finder = make_finder(config)
        if finder is not None:
            finder.prepare()
        return plugin_parts(config)
    except UsageError as error:
        return str(error)


def settle(config: RegionCapConfig, allowance: Allowance) -> tuple[Use, Counts]:
    """Have this process send what `allowance` allows; gives what it has made of it, and has counted up to now."""
    context = RUNS.context(config)
    return context.allowance.replace(allowance), context.progress.snapshot()


def counts(config: RegionCapConfig) -> Counts:
    """What this process has counted in the run up to now."""
    context = RUNS.find(config)
    return context.progress.snapshot() if context is not None else Counts()


def close_captioner(config: RegionCapConfig) -> Counts:
    """Close this process's captioner, whose captions are all there; gives the counts."""
    context = RUNS.find(config)
    if context is not None:
        context.close_captioner()
    return counts(config)


def drain(config: RegionCapConfig) -> None:
    """Send no more requests; returns when those in flight have come back."""
    context = RUNS.find(config)
    if context is not None:
        context.drain_captioner()


def close_run(config: RegionCapConfig) -> dict[int, dict[str, int]]:
    """Close the run in this process: what is in flight is stopped, and what comes later finds it closed. Gives the keys
    of answers that were requested ahead, by shard, each with its number of regions."""
    context = RUNS.find(config)
    RUNS.close(config)
    return context.shard_runs.all_requested_early() if context is not None else {}
