"""What works on the shards, and the simplest that does: Prefect's threads, in the process of the flow."""

from __future__ import annotations

from typing import Protocol, cast

from prefect.futures import PrefectFuture

from regioncap.output.join import ShardSteps
from regioncap.records import Step
from regioncap.run.context import RunContext
from regioncap.tasks.shard import caption_shard

MOST_SHARDS_WITH_STEPS = 1000
"""Beyond so many, a shard is one task run instead of seven: the UI's graph ends at 10,000 nodes."""


ShardFuture = PrefectFuture[ShardSteps]


class Workers(Protocol):
    """Takes shards, and gives back what was made of them."""

    processes: int
    """How many processes the shards are spread over."""

    def submit(self, step: Step) -> ShardFuture:
        """Have the six steps of a shard done. `step`: the reference to its input."""

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
        # The future of a task that returns a State gives what the State holds.
        return cast(ShardFuture, caption_shard.submit(step, self._context.config, as_task_runs))

    def close_captioners(self) -> None:
        """See `Workers`."""
        self._context.lazy_captioner.close()


def steps_as_task_runs(step: Step, context: RunContext) -> bool:
    """Whether each step of a shard is a task run of its own: not where the input seems to have too many shards."""
    expected = context.progress.rows_expected() / context.config.shard_size
    return max(step.shard, expected) < MOST_SHARDS_WITH_STEPS
