"""Shards on the processes of a Dask cluster: each its share of the limits, all one run's counts and stop.

Step files and answers are where they always are, so every process must reach the input, images and cache. What does
not lie there is asked of the processes beside their work, with `Client.run`: counts every second, so that they are
right even if a process is lost; and the end, so that nothing goes on after a run that was stopped.
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
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import is_url
from regioncap.tasks import dask_remote
from regioncap.tasks.shard import caption_shard
from regioncap.tasks.workers import ShardFuture, steps_as_task_runs

T = TypeVar("T")

CONNECT_SECONDS = 30
LOOK_SECONDS = 1.0
GONE_SECONDS = 60.0
"""With a shard for so long without any of the processes that it may go to, the run stops."""

FEWEST_THREADS = 3
"""Of a process: for one shard being captioned, one whose pixels are worked on, one ready to follow."""

LOCAL_PATHS = ("input", "output", "image_root", "cache_path")

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
        """By process what it said last; kept when it is lost."""
        self._futures: list[tuple[Any, set[str]]] = []
        """Shards under way, each with the processes that it may go to."""
        self._over = threading.Event()
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._keep_up,), name="dask-counts", daemon=True)

    def begin(self) -> None:
        """See that all processes can do the work. Raises UsageError."""
        threads = self._client.ncores()
        self._check()
        few = [address for address in self._members if threads.get(address, 0) < FEWEST_THREADS]
        if few:
            logger.warning(
                "%d of %d Dask workers have fewer than %d threads, so captions wait for pixels there: "
                "dask worker --nthreads 8",
                len(few), self.processes, FEWEST_THREADS,
            )  # fmt: skip
        logger.info("%d Dask workers at %s", self.processes, self._context.config.dask_address)
        self._thread.start()

    def _check(self) -> None:
        probe = self._context.cache.child("dask", f"{self._run}.probe")
        probe.write(b"seen", durable=False)
        try:
            address = str(Path(probe.address).resolve()) if probe.is_local else probe.address
            said = self._ask(dask_remote.arrive, self._config, address)
        finally:
            probe.remove()
        for worker, arrival in said.items():
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
            if not arrival.sees_cache:
                raise UsageError(
                    f"cache_path: the Dask worker {worker} does not see {self._context.cache.url}; give a bucket, or a "
                    "folder that all machines share, for cache, input and images"
                )

    def submit(self, step: Step) -> ShardFuture:
        """See `Workers`."""
        as_task_runs = steps_as_task_runs(step, self._context)
        parameters = {"step": step, "config": self._config, "as_task_runs": as_task_runs, "run": self._run}
        # Only to those that the limits were shared among; a process that comes later takes the place of a lost one.
        members = self._members
        with annotate(workers=sorted(members)):
            future = self._runner.submit(caption_shard, parameters)
        under_way = [(earlier, pinned) for earlier, pinned in self._futures if not earlier.done()]
        self._futures = [*under_way, (future.wrapped_future, members)]
        return cast(ShardFuture, future)

    def close_captioners(self) -> None:
        """See `Workers`."""
        self._take(self._ask(dask_remote.close_captioner, self._config))
        self._context.lazy_captioner.close()

    def drain(self) -> None:
        """No process asks for more; returns when what is under way has come back: it was paid for."""
        with contextlib.suppress(Exception):  # a cluster that is gone has nothing under way
            self._ask(dask_remote.drain, self._config)

    def close(self) -> None:
        """What is under way anywhere is told to stop; its counts are taken first."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        with contextlib.suppress(Exception):  # a cluster that is gone has stopped
            self._take(self._ask(dask_remote.counts, self._config))
            self._ask(dask_remote.close_run, self._config)

    def why(self, error: BaseException) -> BaseException:
        """What to tell of an error of one of the processes."""
        if isinstance(error, KilledWorker):
            return WorkersLost(
                f"one shard ended several Dask workers ({error}): see their logs; out of memory? Give them more, or "
                "run with a smaller shard_size. What was done is kept; run the same command again."
            )
        if isinstance(error, CancelledError | CommClosedError):
            return WorkersLost(
                f"the Dask cluster at {self._context.config.dask_address} is gone. What was done is kept; start it and "
                "run the same command again."
            )
        if isinstance(error, BudgetReached) and self.processes > 1:
            return BudgetReached(f"one of {self.processes} Dask workers has used up its share: {error}")
        return error

    # --- what the processes say

    def _there(self) -> set[str]:
        return set(self._client.ncores())

    def _ask(self, do: Callable[..., T], *args: Any) -> dict[str, T]:
        said: dict[str, T] = self._client.run(partial(dask_remote.call_in_run, do, self._run, *args), on_error="return")
        return said

    def _keep_up(self) -> None:
        seen = time.monotonic()
        while not self._over.wait(LOOK_SECONDS):
            try:
                self._take(self._ask(dask_remote.counts, self._config))
                there = self._there()
            except Exception as error:  # the scheduler may be on its way back; the futures tell when it is not
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
    """The processes that a run is spread over: of its `members` those that are still there, and newcomers in the
    places of the others; the members as they are when nobody is there."""
    left = members & there
    new = sorted(there - members)[: most - len(left)]
    return left | set(new) or members


def config_of_one(config: RegionCapConfig, processes: int) -> RegionCapConfig:
    """The config of one of `processes`: its share of each limit, and paths that mean the same everywhere.

    Raises UsageError for a limit that cannot be shared out.
    """
    changes: dict[str, Any] = {}
    for name in ("max_in_flight", "max_requests"):
        most = getattr(config, name)
        if most is None:
            continue
        if most < processes:
            raise UsageError(f"{name}: expected at least 1 for each of the {processes} Dask workers, got {most}")
        changes[name] = most // processes
    if config.max_usd is not None:
        changes["max_usd"] = config.max_usd / processes
    for name in LOCAL_PATHS:
        path = getattr(config, name)
        if path is not None and not is_url(path):
            changes[name] = str(Path(path).absolute()) + ("/" if path.endswith("/") else "")
    return config.model_copy(update=changes)


@contextlib.contextmanager
def dask_workers(context: RunContext) -> Iterator[DaskWorkers]:
    """The processes at the config's `dask_address`, until the block ends. Raises UsageError when they cannot do it."""
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
            workers.begin()
            yield workers
        except Exception as error:
            if isinstance(error, BudgetReached):
                workers.drain()
            raise workers.why(error) from None
        finally:
            workers.close()
