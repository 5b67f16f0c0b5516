"""Shards on other processes, of a Dask cluster or of this machine: the run has one set of limits and one of counts.

Step files and answers are where they always are, so every process must reach the input, images and cache. The rest goes
through `Client.run`, see `tasks/dask_remote.py`: again and again each process is granted what it may send of what the
run may, and gives its counts, so that they are right even if it is lost; the end is sent to all, so that nothing goes
on after a run that was stopped.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import dask
from dask.base import annotate
from distributed import KilledWorker
from distributed.comm.core import CommClosedError
from prefect_dask.task_runners import DaskTaskRunner

from regioncap.captioners.allowance import Use
from regioncap.config.model import RegionCapConfig
from regioncap.errors import BudgetReached, UsageError, WorkersLost
from regioncap.records import Counts, Step
from regioncap.run.context import RunContext
from regioncap.run.shared_limits import SharedLimits
from regioncap.run.threads import ContextThreads
from regioncap.storage.urls import is_url
from regioncap.tasks import dask_remote
from regioncap.tasks.shard import caption_shard
from regioncap.tasks.worker_check import check_workers, warn_of_few_threads, worker_title
from regioncap.tasks.worker_processes import threads_of_one, worker_processes
from regioncap.tasks.workers import ShardFuture, steps_as_task_runs

T = TypeVar("T")

CONNECT_SECONDS = 30
POLL_SECONDS = 0.25
ASKED_AT_ONCE = 64
"""Processes; one that does not answer keeps the others waiting only when there are as many of those."""

GONE_SECONDS = 60.0
"""The run stops when none of the processes that a shard may go to has been there for this long."""

logger = logging.getLogger("regioncap")


class DaskWorkers:
    """See `regioncap.tasks.workers.Workers`; made by `dask_workers` and `local_workers`.

    `replaced`: whether a process that is lost is replaced by whoever starts them: no shard is tied to a process then.
    """

    def __init__(self, runner: DaskTaskRunner, context: RunContext, *, replaced: bool = False) -> None:
        self._runner = runner
        self._client: Any = runner.client  # Dask has no types
        self._context = context
        self._replaced = replaced
        self._run = uuid.uuid4().hex
        self._members = self._there()
        self.processes = len(self._members)
        self._config = config_elsewhere(context.config)
        self._limits = SharedLimits(context.config)
        context.allowance.width = lambda: self._limits.width
        self._lock = threading.Lock()
        self._known: dict[str, Counts] = {}
        """By process the counts that it sent last; kept when the process is lost."""
        self._futures: list[tuple[Any, set[str]]] = []
        """Shards in flight, each with the processes that it may go to; none where it may go to any."""
        self._over = threading.Event()
        self._calls: dict[str, Future[dict[str, tuple[Use, Counts]]]] = {}
        """By process what it was asked and has not answered."""
        self._callers = ContextThreads(ASKED_AT_ONCE, thread_name_prefix="dask-calls")
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._keep_up,), name="dask-counts", daemon=True)

    def start(self) -> None:
        """Check that all processes can do the work; from now on they are granted what they may send. Raises
        UsageError."""
        context = self._context
        check_workers(context, self._run, partial(self._ask, dask_remote.arrive, self._config))
        where = ""
        if context.config.runner == "dask":
            warn_of_few_threads(self._client.ncores())
            where = f" at {context.config.dask_address}"
        logger.info("%d %s%s", self.processes, worker_title(context, self.processes), where)
        self._thread.start()

    def submit(self, step: Step) -> ShardFuture:
        """See `Workers`."""
        as_task_runs = steps_as_task_runs(step, self._context)
        parameters = {"step": step, "config": self._config, "as_task_runs": as_task_runs, "run": self._run}
        # Only to processes that were checked; one that comes later takes the place of a lost one.
        members = set() if self._replaced else self._members
        with annotate(workers=sorted(members)) if members else contextlib.nullcontext():
            future = self._runner.submit(caption_shard.task, parameters)
        in_flight = [(earlier, pinned) for earlier, pinned in self._futures if not earlier.done()]
        self._futures = [*in_flight, (future.wrapped_future, members)]
        return cast(ShardFuture, future)

    def close_captioners(self) -> None:
        """See `Workers`."""
        self._take(self._ask(dask_remote.close_captioner, self._config))
        self._context.close_captioner()

    def drain(self) -> None:
        """No process sends more requests; returns when those in flight have come back: they are paid for."""
        with contextlib.suppress(Exception):  # a cluster that is gone has nothing in flight
            self._ask(dask_remote.drain, self._config)

    def close(self) -> None:
        """Stop what is in flight in any process; its counts are taken first."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._callers.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(Exception):  # a cluster that is gone has stopped
            self._take(self._ask(dask_remote.counts, self._config))
            for requested in self._ask(dask_remote.close_run, self._config).values():
                if isinstance(requested, dict):  # else the process could not answer
                    self._context.shard_runs.stopped_elsewhere(requested)

    def explained(self, error: BaseException) -> BaseException:
        """An error of one of the processes, or of the cluster, as one that says what to do."""
        if isinstance(error, KilledWorker):
            return WorkersLost(
                f"one shard ended several {worker_title(self._context, 2)} ({error}): see their logs; out of memory? "
                "Give them more, or use a smaller shard_size. Then rerun; it resumes."
            )
        if isinstance(error, CancelledError | CommClosedError):
            if self._replaced:
                return WorkersLost("the worker processes are gone. Rerun; it resumes.")
            return WorkersLost(
                f"the Dask cluster at {self._context.config.dask_address} is gone. Start it and rerun; it resumes."
            )
        return error

    def _there(self) -> set[str]:
        return set(self._client.ncores())

    def _ask(self, do: Callable[..., T], *args: Any, workers: list[str] | None = None) -> dict[str, T]:
        call = partial(dask_remote.call_in_run, do, self._run, *args)
        replies: dict[str, T] = self._client.run(call, workers=workers, on_error="return")
        return replies

    def _keep_up(self) -> None:
        seen = time.monotonic()
        while True:
            try:
                there = self._there()
                self._note_replies()  # first: of one that is lost, it tells how much of its lot was used
                self._note_members(there)
                self._grant(there)
            except Exception as error:  # the scheduler may come back; the futures fail when it does not
                logger.debug("no counts: %s", error)
                there = None
            futures = self._futures
            if there is not None:
                if all(not pinned or pinned & there for future, pinned in futures if not future.done()):
                    seen = time.monotonic()
                elif time.monotonic() - seen > GONE_SECONDS:
                    self._client.cancel([future for future, _ in futures], force=True)
                    return
            if self._over.wait(POLL_SECONDS):
                return

    def _note_members(self, there: set[str]) -> None:
        for lost in self._members - there:
            self._limits.lose(lost)
        self._members = there if self._replaced else taken_over(self._members, there, self.processes)

    def _grant(self, there: set[str]) -> None:
        """Have each process go by what it may send now, unless it has not answered the last time."""
        for worker in self._members & there - self._calls.keys():
            allowance = self._limits.grant(worker, time.monotonic())
            self._calls[worker] = self._callers.submit(
                self._ask, dask_remote.settle, self._config, allowance, workers=[worker]
            )

    def _note_replies(self) -> None:
        for worker, call in list(self._calls.items()):
            if not call.done():
                continue
            del self._calls[worker]
            with contextlib.suppress(Exception):  # it is gone, or will be asked again
                use, counts = call.result()[worker]
                self._take({worker: counts})
                self._limits.report(worker, use)

    def _take(self, replies: dict[str, Counts]) -> None:
        """Add to the run's counts what the processes have counted since they were last asked."""
        with self._lock:
            for worker, counts in replies.items():
                known = self._known.get(worker, Counts())
                # Else the process could not answer, or another answer of it has overtaken this one.
                if isinstance(counts, Counts) and counts.includes(known):
                    new = counts.since(known)
                    self._context.progress.add(new)
                    self._limits.spend(new)
                    self._known[worker] = counts


def taken_over(members: set[str], there: set[str], most: int) -> set[str]:
    """The processes that a run is spread over: those of its `members` that are still `there`, and newcomers in place of
    the others, at most `most`; `members` unchanged when none is there."""
    left = members & there
    new = sorted(there - members)[: most - len(left)]
    return left | set(new) or members


def config_elsewhere(config: RegionCapConfig) -> RegionCapConfig:
    """The config for other processes: its paths mean the same everywhere, and they share this machine's CPUs."""
    absolute: dict[str, Any] = {
        name: str(Path(path).absolute()) + ("/" if path.endswith("/") else "")
        for name, path in config.values_read_by("path").items()
        if path is not None and not is_url(path)
    }
    if config.runner == "processes":
        absolute["threads"] = threads_of_one(config)
    return config.model_copy(update=absolute)


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
        with _at_work(DaskWorkers(runner, context)) as workers:
            yield workers


@contextlib.contextmanager
def local_workers(context: RunContext) -> Iterator[DaskWorkers]:
    """Worker processes of this machine, until the block ends. Raises UsageError when they cannot work, WorkersLost."""
    with worker_processes(context.config) as (address, security):
        options = {"timeout": CONNECT_SECONDS, "security": security}
        with (
            dask.config.set({"distributed.dashboard.link": ""}),  # no page is served
            DaskTaskRunner(address=address, client_kwargs=options) as runner,
            _logged_here(runner.client),
            _at_work(DaskWorkers(runner, context, replaced=True)) as workers,
        ):
            yield workers


@contextlib.contextmanager
def _logged_here(client: Any) -> Iterator[None]:
    """What the workers log is seen where lines of this process are; to the run's log in Prefect they send it."""
    client.forward_logging(logger.name)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):  # a cluster that is gone logs nothing
            client.unforward_logging(logger.name)


@contextlib.contextmanager
def _at_work(workers: DaskWorkers) -> Iterator[DaskWorkers]:
    """The workers, ended with the block; its errors say what to do."""
    try:
        workers.start()
        yield workers
    except Exception as error:
        if isinstance(error, BudgetReached):
            workers.drain()
        raise workers.explained(error) from None
    finally:
        workers.close()
