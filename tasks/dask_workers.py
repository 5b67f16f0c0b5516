"""Shards on the processes of a Dask cluster: each process has its share of the limits, the run has one set of counts.

Step files and answers are where they always are, so every process must reach the input, images and cache. The rest goes
through `Client.run`, see `tasks/dask_remote.py`: counts are fetched every second, so that they are right even if a
process is lost, and the end is sent to all, so that nothing goes on after a run that was stopped.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from dask.base import annotate
from distributed import KilledWorker
from distributed.comm.core import CommClosedError
from prefect_dask.task_runners import DaskTaskRunner

import regioncap
from regioncap.config.model import RegionCapConfig
from regioncap.errors import BudgetReached, UsageError, WorkersLost
from regioncap.records import Counts, Step
from regioncap.registry import plugin_parts
from regioncap.run.context import RunContext
from regioncap.storage.urls import is_url
from regioncap.tasks import dask_remote
from regioncap.tasks.shard import caption_shard
from regioncap.tasks.workers import ShardFuture, steps_as_task_runs

T = TypeVar("T")

CONNECT_SECONDS = 30
POLL_SECONDS = 1.0
GONE_SECONDS = 60.0
"""The run stops when none of the processes that a shard may go to has been there for this long."""

MIN_THREADS = 3
"""Per process: for one shard being captioned, one whose pixels are worked on, one ready to follow."""


logger = logging.getLogger("regioncap")


class DaskWorkers:
    """See `regioncap.tasks.workers.Workers`; made by `dask_workers`."""

    def __init__(self, runner: DaskTaskRunner, context: RunContext) -> None:
        self._runner = runner
        self._client: Any = runner.client  # Dask has no types
        self._context = context
        self._run = uuid.uuid4().hex
        self._members = self._there()
        self.processes = len(self._members)
        self._config = config_of_one(context.config, self.processes)
        self._lock = threading.Lock()
        self._known: dict[str, Counts] = {}
        """By process the counts that it sent last; kept when the process is lost."""
        self._futures: list[tuple[Any, set[str]]] = []
        """Shards in flight, each with the processes that it may go to."""
        self._over = threading.Event()
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._keep_up,), name="dask-counts", daemon=True)

    def start(self) -> None:
        """Check that all processes can do the work, and fetch their counts from now on. Raises UsageError."""
        threads = self._client.ncores()
        self._check()
        few = [address for address in self._members if threads.get(address, 0) < MIN_THREADS]
        if few:
            logger.warning(
                "%d of %d Dask workers have fewer than %d threads, so captions wait for pixels there: "
                "dask worker --nthreads 8",
                len(few), self.processes, MIN_THREADS,
            )  # fmt: skip
        logger.info("%d Dask workers at %s", self.processes, self._context.config.dask_address)
        self._thread.start()

    def _check(self) -> None:
        probe = self._context.cache.child("dask", f"{self._run}.probe")
        probe.write(b"seen", durable=False)
        try:
            address = str(Path(probe.address).resolve()) if probe.is_local else probe.address
            arrivals = self._ask(dask_remote.arrive, self._config, address)
        finally:
            probe.remove()
        for worker, arrival in arrivals.items():
            if isinstance(arrival, BaseException):
                raise UsageError(
                    f"dask_address: the worker {worker} cannot run RegionCap ({type(arrival).__name__}: {arrival}); "
                    f"install regioncap {regioncap.__version__} with the same Python there"
                )
            if arrival.version != regioncap.__version__:
                raise UsageError(
                    f"dask_address: the worker {worker} has regioncap {arrival.version}; expected "
                    f"{regioncap.__version__}, as here"
                )
            self._check_plugins(worker, arrival)
            if not arrival.sees_cache:
                raise UsageError(
                    f"cache_path: the Dask worker {worker} does not see {self._context.cache.url}; give a bucket, or a "
                    "folder that all machines share, for cache, input and images"
                )

    def _check_plugins(self, worker: str, arrival: dask_remote.Arrival) -> None:
        if isinstance(arrival.plugins, str):
            raise UsageError(
                f"dask_address: the worker {worker} cannot use the plugin: {arrival.plugins}. Plugins must be "
                "installed where workers run, or lie in a folder of their PYTHONPATH; paths in options must be absolute"
            )
        here = plugin_parts(self._context.config)
        if arrival.plugins != here:
            raise UsageError(
                f"dask_address: the worker {worker} has the plugins {arrival.plugins}; here they are {here}"
            )

    def submit(self, step: Step) -> ShardFuture:
        """See `Workers`."""
        as_task_runs = steps_as_task_runs(step, self._context)
        parameters = {"step": step, "config": self._config, "as_task_runs": as_task_runs, "run": self._run}
        # Only to processes that have a share of the limits; one that comes later takes the place of a lost one.
        members = self._members
        with annotate(workers=sorted(members)):
            future = self._runner.submit(caption_shard.task, parameters)
        in_flight = [(earlier, pinned) for earlier, pinned in self._futures if not earlier.done()]
        self._futures = [*in_flight, (future.wrapped_future, members)]
        return cast(ShardFuture, future)

    def close_captioners(self) -> None:
        """See `Workers`."""
        self._take(self._ask(dask_remote.close_captioner, self._config))
        self._context.lazy_captioner.close()

    def drain(self) -> None:
        """No process sends more requests; returns when those in flight have come back: they are paid for."""
        with contextlib.suppress(Exception):  # a cluster that is gone has nothing in flight
            self._ask(dask_remote.drain, self._config)

    def close(self) -> None:
        """Stop what is in flight in any process; its counts are taken first."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        with contextlib.suppress(Exception):  # a cluster that is gone has stopped
            self._take(self._ask(dask_remote.counts, self._config))
            self._ask(dask_remote.close_run, self._config)

    def explained(self, error: BaseException) -> BaseException:
        """An error of one of the processes, or of the cluster, as one that says what to do."""
        if isinstance(error, KilledWorker):
            return WorkersLost(
                f"one shard ended several Dask workers ({error}): see their logs; out of memory? Give them more, or "
                "use a smaller shard_size. Then rerun; it resumes."
            )
        if isinstance(error, CancelledError | CommClosedError):
            return WorkersLost(
                f"the Dask cluster at {self._context.config.dask_address} is gone. Start it and rerun; it resumes."
            )
        if isinstance(error, BudgetReached) and self.processes > 1:
            return BudgetReached(f"one of {self.processes} Dask workers has used up its share: {error}")
        return error

    def _there(self) -> set[str]:
        return set(self._client.ncores())

    def _ask(self, do: Callable[..., T], *args: Any) -> dict[str, T]:
        call = partial(dask_remote.call_in_run, do, self._run, *args)
        replies: dict[str, T] = self._client.run(call, on_error="return")
        return replies

    def _keep_up(self) -> None:
        seen = time.monotonic()
        while not self._over.wait(POLL_SECONDS):
            try:
                self._take(self._ask(dask_remote.counts, self._config))
                there = self._there()
            except Exception as error:  # the scheduler may come back; the futures fail when it does not
                logger.debug("no counts: %s", error)
                continue
            self._members = taken_over(self._members, there, self.processes)
            futures = self._futures
            if all(pinned & there for future, pinned in futures if not future.done()):
                seen = time.monotonic()
            elif time.monotonic() - seen > GONE_SECONDS:
                self._client.cancel([future for future, _ in futures], force=True)
                return

    def _take(self, replies: dict[str, Counts]) -> None:
        """Add to the run's counts what the processes have counted since they were last asked."""
        with self._lock:
            for worker, counts in replies.items():
                if isinstance(counts, Counts):  # else the process could not answer
                    self._context.progress.add(counts.since(self._known.get(worker, Counts())))
                    self._known[worker] = counts


def taken_over(members: set[str], there: set[str], most: int) -> set[str]:
    """The processes that a run is spread over: those of its `members` that are still `there`, and newcomers in place of
    the others, at most `most`; `members` unchanged when none is there."""
    left = members & there
    new = sorted(there - members)[: most - len(left)]
    return left | set(new) or members


def config_of_one(config: RegionCapConfig, processes: int) -> RegionCapConfig:
    """The config of one of `processes`: its share of each limit, and paths that mean the same everywhere.

    Raises UsageError for a limit that cannot be shared out.
    """
    limits, paths = config.values_read_by("dask"), config.values_read_by("path")
    shares = {name: _share(name, limit, processes) for name, limit in limits.items() if limit is not None}
    absolute = {
        name: str(Path(path).absolute()) + ("/" if path.endswith("/") else "")
        for name, path in paths.items()
        if path is not None and not is_url(path)
    }
    return config.model_copy(update={**shares, **absolute})


def _share(name: str, limit: float, processes: int) -> float:
    if isinstance(limit, float):
        return limit / processes
    if limit < processes:
        raise UsageError(f"{name}: expected at least 1 for each of the {processes} Dask workers, got {limit}")
    return limit // processes


@contextlib.contextmanager
def dask_workers(context: RunContext) -> Iterator[DaskWorkers]:
    """The processes at the config's `dask_address`, until the block ends. Raises UsageError when they cannot work."""
    address = context.config.dask_address
    with DaskTaskRunner(address=address, client_kwargs={"timeout": CONNECT_SECONDS}) as runner:
        try:
            runner.client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(
                f"dask_address: no cluster with a worker answers at {address} ({error}); `dask scheduler` and "
                "`dask worker ADDRESS --nthreads 8` start one"
            ) from None
        workers = DaskWorkers(runner, context)
        try:
            workers.start()
            yield workers
        except Exception as error:
            if isinstance(error, BudgetReached):
                workers.drain()
            raise workers.explained(error) from None
        finally:
            workers.close()
