"""What works on the shards, and the simplest that does: Prefect's threads, in the process of the flow."""

from __future__ import annotations

from typing import Any, Protocol, cast

from prefect.futures import PrefectWrappedFuture

from regioncap.output.join import ShardSteps
from regioncap.records import Step
from regioncap.run.context import RunContext
from regioncap.tasks.shard import caption_shard

MAX_SHARDS_IN_FLIGHT = 64
"""In a process, however small they are: with thousands of concurrent task runs a Prefect server on SQLite answers
503."""

MAX_SHARDS_WITH_STEP_RUNS = 1000
"""With more, a shard is one task run instead of seven: Prefect's UI draws at most 10,000 nodes."""


ShardFuture = PrefectWrappedFuture[ShardSteps, Any]


class Workers(Protocol):
    """Works on shards, in this process or in others."""

    processes: int
    """Number of processes that the shards are spread over."""

    def submit(self, step: Step) -> ShardFuture:
        """Start the six steps of a shard. `step`: the reference to its input."""

    def close_captioners(self) -> None:
        """All shards are there: close the captioners and take the last counts. More may be submitted afterwards."""


class Threads:
    """Prefect's threads, in this process."""

    processes = 1

    def __init__(self, context: RunContext) -> None:
        self._context = context

    def submit(self, step: Step) -> ShardFuture:
        """See `Workers`."""
        as_task_runs = steps_as_task_runs(step, self._context)
        # The future of a task that returns a State resolves to what the State holds.
        return cast(ShardFuture, caption_shard.submit(step, self._context.config, as_task_runs))

    def close_captioners(self) -> None:
        """See `Workers`."""
        self._context.close_captioner()


def steps_as_task_runs(step: Step, context: RunContext) -> bool:
    """Whether each step of a shard is a task run of its own: not where the input is likely to have too many shards."""
    expected = context.progress.rows_expected() / context.config.shard_size
    return max(step.shard, expected) < MAX_SHARDS_WITH_STEP_RUNS
