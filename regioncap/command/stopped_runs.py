"""The rows of a run, also those that it did not come to: for what a stopped run would look up when it is resumed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RETRYABLE_CODES
from regioncap.image_ref import ref_of
from regioncap.records import Row, Shard, Step
from regioncap.run.context import RunContext
from regioncap.storage.steps import StepDamaged
from regioncap.tasks.region_questions import QUESTION
from regioncap.tasks.shard import STEPS, find_cached_steps, keep_input, made_steps
from regioncap.tasks.step import StepSpec, run_step

UNTIL_NORMALIZED = STEPS[:4]
"""An answer's key depends on the image and its boxes, not on what the marks look like when drawn."""

NOT_READ_CODES = RETRYABLE_CODES | {"image_missing"}
"""Rejects of rows that may be captioned once their images are back."""


class RowsOfRun:
    """The rows of a run's input as `normalize` makes them, from the cache where they are there; else they are made
    again, in a temporary folder: that reads their images.

    `unknown`: rows so far whose images cannot be read now.
    """

    def __init__(self, config: RegionCapConfig) -> None:
        self._config = config
        self.unknown = 0

    def shards(self) -> Iterator[list[Row]]:
        """The rows shard by shard, without rejects that no answer belongs to. Raises what `RunContext.shards` raises,
        and StorageError."""
        with contextlib.ExitStack() as closed:
            context = closed.enter_context(contextlib.closing(RunContext(self._config)))
            folder = closed.enter_context(tempfile.TemporaryDirectory(prefix="regioncap-images-"))
            apart = closed.enter_context(
                contextlib.closing(RunContext(self._config.model_copy(update={"cache_path": folder})))
            )
            # Regions that a model named are known; to have it name others is not this one's business.
            apart.asks_nobody, apart.answers = True, context.answers
            for shard in context.shards():
                yield list(self._rows(shard, context, apart))
                for made in Path(folder).iterdir():  # at most one shard at a time
                    shutil.rmtree(made, ignore_errors=True)

    def _rows(self, shard: Shard, context: RunContext, apart: RunContext) -> Iterator[Row]:
        made = _read(find_cached_steps(shard, context, UNTIL_NORMALIZED), context)
        if made is None:
            # What was made last counts, too: the images may have changed since, and change back.
            before = _read(made_steps(shard, context, UNTIL_NORMALIZED), context) or []
            yield from filter(has_answers, before)
            made = _make(shard, apart)
            known = [at < len(before) and "reject" not in before[at] for at in range(len(made))]
            self.unknown += sum(
                row["reject"]["code"] in NOT_READ_CODES
                for row, is_known in zip(made, known, strict=True)
                if "reject" in row and not is_known
            )
        yield from filter(has_answers, made)


def has_answers(row: Row) -> bool:
    """Whether answers may belong to a row: a reject has one at most, about its regions."""
    return "reject" not in row or QUESTION in row


def _read(steps: Sequence[Step] | None, context: RunContext) -> list[Row] | None:
    with contextlib.suppress(StepDamaged):
        return context.storage.read(steps[-1]) if steps is not None else None
    return None


def _make(shard: Shard, context: RunContext) -> list[Row]:
    load, route, extract, normalize = UNTIL_NORMALIZED
    routed = _result(route, context, _result(load, context, keep_input(shard, context)))
    images = [ref_of(row) for row in context.storage.read(routed) if "reject" not in row]
    with context.images.fetched(images, context.threads.io):
        return context.storage.read(_result(normalize, context, _result(extract, context, routed)))


def _result(spec: StepSpec, context: RunContext, step: Step) -> Step:
    return run_step(spec, context, step).result()
