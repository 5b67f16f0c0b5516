"""Who works on the shards: threads of this process, or the processes of a Dask cluster. Prefect's runners, both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol, cast

from prefect.futures import PrefectFuture

from regioncap.errors import UsageError
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

    def finish(self) -> None:
        """All shards are there: end the captioners, and take the last counts. More may be submitted afterwards."""


class Threads:
    """Prefect's threads, in this process."""

    processes = 1

    def __init__(self, context: RunContext) -> None:
        self._context = context

    def submit(self, step: Step) -> ShardFuture:
        """See `Workers`."""
        apart = steps_apart(step, self._context)
        # The future of a task that returns a State gives what the State holds.
        return cast(ShardFuture, caption_shard.submit(step, self._context.config, apart))

    def finish(self) -> None:
        """See `Workers`."""
        self._context.end_captioner()


def steps_apart(step: Step, context: RunContext) -> bool:
    """Whether each step of a shard is a task run of its own: not where the input seems to have too many shards."""
    expected = context.progress.rows_expected() / context.config.shard_size
    return max(step.shard, expected) < MOST_SHARDS_WITH_STEPS


@contextlib.contextmanager
def workers_of(context: RunContext) -> Iterator[Workers]:
    """The workers that the config asks for, until the block ends; they are told to stop when it fails."""
    if context.config.runner == "threads":
        yield Threads(context)
        return
    try:
        from regioncap.tasks.dask_workers import dask_workers
    except ImportError as error:
        raise UsageError(
            f"runner: 'dask' needs packages that are not installed here ({error}): pip install 'regioncap[dask]'"
        ) from None
    with dask_workers(context) as workers:
        yield workers
