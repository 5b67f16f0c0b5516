"""Whether the processes that a run is spread over can do its work: asked before the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import regioncap
from regioncap.errors import UsageError
from regioncap.registry import plugin_parts
from regioncap.run.context import RunContext
from regioncap.tasks.dask_remote import Arrival

MIN_THREADS = 3
"""Per process: for one shard being captioned, one whose pixels are worked on, one ready to follow."""

logger = logging.getLogger("regioncap")


def check_workers(context: RunContext, run: str, arrive: Callable[[str], Mapping[str, Arrival]]) -> None:
    """`arrive`: has each process report, by its name, given the address of a file in the cache. Raises UsageError."""
    probe = context.cache.child("dask", f"{run}.probe")
    probe.write(b"seen", durable=False)
    try:
        arrivals = arrive(str(Path(probe.address).resolve()) if probe.is_local else probe.address)
    finally:
        probe.remove()
    for worker, arrival in arrivals.items():
        _check(worker, arrival, context)


def _check(worker: str, arrival: Arrival | BaseException, context: RunContext) -> None:
    setting = "dask_address" if context.config.runner == "dask" else "runner"
    if isinstance(arrival, BaseException):
        raise UsageError(
            f"{setting}: the worker {worker} cannot run RegionCap ({type(arrival).__name__}: {arrival}); "
            f"install regioncap {regioncap.__version__} with the same Python there"
        )
    if arrival.version != regioncap.__version__:
        raise UsageError(
            f"{setting}: the worker {worker} has regioncap {arrival.version}; expected {regioncap.__version__}, as here"
        )
    if isinstance(arrival.plugins, str):
        raise UsageError(
            f"{setting}: the worker {worker} cannot use the plugin: {arrival.plugins}. Plugins must be "
            "installed where workers run, or lie in a folder of their PYTHONPATH; paths in options must be absolute"
        )
    here = plugin_parts(context.config)
    if arrival.plugins != here:
        raise UsageError(f"{setting}: the worker {worker} has the plugins {arrival.plugins}; here they are {here}")
    if not arrival.sees_cache:
        raise UsageError(
            f"cache_path: the {worker_title(context)} {worker} does not see {context.cache.url}; give a bucket, or a "
            "folder that all machines share, for cache, input and images"
        )


def worker_title(context: RunContext, count: int = 1) -> str:
    """What so many of the processes are called in messages."""
    one, several = {"dask": ("Dask worker", "Dask workers")}.get(
        context.config.runner, ("worker process", "worker processes")
    )
    return one if count == 1 else several


def warn_of_few_threads(threads: Mapping[str, int]) -> None:
    """`threads`: by worker."""
    few = [worker for worker, count in threads.items() if count < MIN_THREADS]
    if few:
        logger.warning(
            "%d of %d Dask workers have fewer than %d threads, so captions wait for pixels there: "
            "dask worker --nthreads 8",
            len(few), len(threads), MIN_THREADS,
        )  # fmt: skip
