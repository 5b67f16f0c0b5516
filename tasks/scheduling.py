"""Which shards are in flight, and which workers they go to.

Shards are submitted as earlier ones finish: enough rows in flight that the captioner never waits, few enough to spare
memory and the Prefect server.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, cast

from prefect.futures import as_completed
from prefect.task_runners import ThreadPoolTaskRunner

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowsFailAlike, UsageError
from regioncap.output.join import ShardSteps
from regioncap.output.joined_ahead import join_ahead
from regioncap.output.lease import hold_output
from regioncap.output.output_parts import PartWriter, write_finished_parts
from regioncap.output.outputs import OutputPart, is_parts_folder
from regioncap.records import Counts, Shard
from regioncap.run.context import RunContext
from regioncap.tasks.workers import MAX_SHARDS_IN_FLIGHT, ShardFuture, Threads, Workers
from regioncap.tasks.write import first_reject, reject_codes

MIN_ROWS_IN_FLIGHT = 512
"""With this many rows in flight, which are those without an answer, no further shard is submitted, unless servers turn
out to take as many at once: enough to draw from while the next shard is read."""

MIN_SHARDS_IN_FLIGHT = 3
"""In each process, where it is not known how many of their rows are answered: one being captioned, one whose pixels are
worked on, one ready to follow."""

TARGET_ROWS_IN_FLIGHT = 2048
"""Where that is not known, with this many rows in flight no further shard is submitted beyond the minimum."""

CHECK_SECONDS = 0.2
"""Between two checks whether there is room for a shard."""

ROWS_THAT_FAIL_ALIKE = 500
"""When this many rows at the start all fail for one reason, so will the rest."""

# Typed as anything: the runner's future type is narrower than what `@flow` is declared to take.
RUNNER: Any = ThreadPoolTaskRunner(max_workers=MAX_SHARDS_IN_FLIGHT)
"""Prefect's threads for shard tasks; `ShardWindow` keeps most of them idle."""


class ShardWindow:
    """The shards of one pass over the input: those in flight, and those that are done."""

    def __init__(self, context: RunContext, processes: int = 1) -> None:
        self._context = context
        self._processes = processes
        knows_answered = context.captioner.paid and context.config.runner == "threads"
        self._target_rows = target_rows_in_flight(context.config, processes, knows_answered=knows_answered)
        self._min_shards = 1 if knows_answered else MIN_SHARDS_IN_FLIGHT * processes
        self._done: dict[int, ShardSteps] = {}
        self._in_flight: dict[ShardFuture, tuple[int, int]] = {}
        """(number, rows) of each shard that is not done."""
        self._watch = FailsAlike(context)
        self._parts = PartWriter(context) if is_parts_folder(context.config.output) else None
        self.reused_shards = 0
        self.reused_rows = 0

    @property
    def parts(self) -> list[OutputPart]:
        """The parts of the output that are written, where it is in parts."""
        return self._parts.parts if self._parts is not None else []

    def reuse(self, steps: ShardSteps) -> None:
        """Take a shard from the cache."""
        rows = steps[0].rows
        self.reused_shards += 1
        self.reused_rows += rows
        self._context.progress.add(Counts(rows=rows, rows_reused=rows, rejects=steps[-1].rejects))
        self._finish(steps)

    def add(self, shard: Shard, future: ShardFuture) -> None:
        """Take a shard that was submitted."""
        self._in_flight[future] = (shard.index, len(shard.lines))

    def wait_for_room(self) -> None:
        """Return when another shard may be submitted. Raises what a shard raised, and OutputInUse."""
        hold_output(self._context)
        while not self._has_room():
            if any(future.wrapped_future.done() for future in self._in_flight):
                self._wait_for_one()
            else:  # the servers may turn out to take more
                threading.Event().wait(CHECK_SECONDS)

    def wait_for_all(self) -> list[ShardSteps]:
        """Wait for every shard; returns their steps in the order of the input. Raises what a shard raised."""
        while self._in_flight:
            self._wait_for_one()
        return [self._done[index] for index in sorted(self._done)]

    def _has_room(self) -> bool:
        # Rows that are answered but for a few slow ones keep their shard, and must not keep others from being sent.
        # What waits for other machines before it is drawn does so while the shard before it is captioned.
        if len(self._in_flight) < max(self._min_shards, 2 if self._context.shard_runs.wait_for_others else 1):
            return True
        rows = sum(self._context.shard_runs.waiting(*shard) for shard in self._in_flight.values())
        width = self._context.allowance.width() if self._context.config.max_in_flight is None else 0
        target = max(self._target_rows, 2 * width)
        return len(self._in_flight) < MAX_SHARDS_IN_FLIGHT * self._processes and rows < target

    def _wait_for_one(self) -> None:
        future = cast(ShardFuture, next(as_completed(list(self._in_flight))))
        del self._in_flight[future]
        steps = future.result()
        self._finish(steps)
        if self._parts is None:
            join_ahead(steps, self._context)

    def _finish(self, steps: ShardSteps) -> None:
        self._done[steps[0].shard] = steps
        self._watch.check(self._done)
        if self._parts is not None:
            write_finished_parts(steps, self._parts)


def target_rows_in_flight(config: RegionCapConfig, processes: int = 1, *, knows_answered: bool = True) -> int:
    """Rows in flight that keep the captioner busy while the next shard is prepared: twice what it takes at once, as far
    as the config says it, over all processes. `knows_answered`: whether rows that are answered do not count."""
    if config.max_in_flight is not None:
        return max(MIN_ROWS_IN_FLIGHT * processes, 2 * config.max_in_flight)
    few = knows_answered or config.captioner_name == "pixels"
    return (MIN_ROWS_IN_FLIGHT if few else TARGET_ROWS_IN_FLIGHT) * processes


class FailsAlike:
    """Stops a run whose first rows are all rejected for one reason."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._next = 0
        self._rows = 0
        self._codes: set[str] = set()
        # max_reject_share=1 disables this check.
        self._watching = context.config.max_reject_share < 1

    def check(self, done: dict[int, ShardSteps]) -> None:
        """Check the shards that are done without a gap from the first on. Raises RowsFailAlike."""
        while self._watching and self._next in done:
            steps = done[self._next]
            self._codes |= reject_codes(self._context, steps)
            self._rows += steps[0].rows
            self._next += 1
            if "" in self._codes or len(self._codes) > 1:
                self._watching = False
            elif self._rows >= ROWS_THAT_FAIL_ALIKE:
                raise RowsFailAlike(
                    f"all of the first {self._rows:,} rows were rejected for one reason, so the run stops here. The "
                    f"first: {first_reject(self._context, done[0])}. Fix this and rerun; it resumes. "
                    "max_reject_share=1 disables this check."
                )


@contextlib.contextmanager
def open_workers(context: RunContext) -> Iterator[Workers]:
    """The workers that the config asks for, until the block ends. Raises UsageError for packages that are missing."""
    runner = context.config.runner
    if runner == "threads":
        yield Threads(context)
        return
    try:
        from regioncap.tasks.dask_workers import dask_workers, local_workers
    except ImportError as error:
        raise UsageError(
            f"runner: {runner!r} needs packages that are not installed ({error}): pip install 'regioncap[dask]'"
        ) from None
    with (dask_workers if runner == "dask" else local_workers)(context) as workers:
        yield workers
