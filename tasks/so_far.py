"""What a run has captioned so far, row by row: from the step files that are there, and from cached answers where the
captions of a shard are not written yet. Runs nothing, and reads no image.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from regioncap.captioners.base import CaptionRequest, CaptionResult, Prompt
from regioncap.errors import InputDamaged, RegionCapError, RowReject
from regioncap.output.join import ShardSteps
from regioncap.records import Row, Shard
from regioncap.row_work import row_work
from regioncap.run.context import RunContext
from regioncap.run.kept import KeptCaptions
from regioncap.storage.steps import STEP_NAMES, StepDamaged
from regioncap.tasks.answers import key_of_answer, request_of, requests_for_rejected
from regioncap.tasks.cached_answer import CachedAnswer
from regioncap.tasks.edited import captioned_row, corrected
from regioncap.tasks.shard import STEPS, input_step
from regioncap.tasks.step import made_of

LOAD, VISUALIZE, CAPTION = (STEP_NAMES.index(name) for name in ("load", "visualize", "caption"))

COUNT_SECONDS = 5.0
"""A run that stops spends no more than this on counting what it leaves: who stopped it is waiting."""


@dataclass(frozen=True)
class RowSoFar:
    """A row as far as it has come: its versions of `load`, `visualize` and `caption`.

    `drawn`: None before its marks are drawn. `result`: its captions or its reject, as `caption` has them; None while
    some captions are missing. `captions`: those that there are, by region number.
    """

    loaded: Row
    drawn: Row | None
    result: Row | None
    captions: dict[int, str] = field(default_factory=dict)


def steps_so_far(shard: Shard, context: RunContext) -> ShardSteps:
    """The shard's input and what was made of it, as far as that goes; rows that will be tried again are included."""
    steps = [input_step(shard)]
    for spec in STEPS:
        made = made_of(spec, context, steps[-1])
        if made is None:
            break
        steps.append(made)
    return tuple(steps)


def rows_so_far(context: RunContext, steps: ShardSteps) -> Iterator[RowSoFar]:
    """The rows of a shard that was loaded. Raises StepDamaged, StorageError."""
    loaded, latest = context.storage.read(steps[LOAD]), context.storage.read(steps[-1])
    drawn: list[Row | None] = [None] * len(loaded)
    if len(steps) > VISUALIZE:
        drawn = [*context.storage.read(steps[VISUALIZE])]
    captioned = len(steps) > CAPTION

    def of(rows: tuple[Row, Row | None, Row]) -> RowSoFar:
        loaded, drawn, last = rows
        return _row(loaded, drawn, last if captioned or "reject" in last else None, context)

    # A look-up in an object store takes its time: many at once.
    in_order: Callable[..., Iterable[RowSoFar]] = map if context.cache.is_local else context.threads.io.map
    yield from in_order(of, zip(loaded, drawn, latest, strict=True))


def _row(loaded: Row, drawn: Row | None, result: Row | None, context: RunContext) -> RowSoFar:
    if result is not None and "reject" not in result:
        return RowSoFar(loaded, drawn, result, dict(enumerate(result["captions"], start=1)))
    if drawn is None or "reject" in drawn or not context.captioner.paid:
        return RowSoFar(loaded, drawn, result)
    return _row_from_answer(loaded, drawn, result, context)


def _row_from_answer(loaded: Row, drawn: Row, reject: Row | None, context: RunContext) -> RowSoFar:
    """A drawn row with what the cache holds of its answer: that may have come after the step file was written."""
    try:
        with row_work("caption", drawn["image"]):
            request = request_of(drawn, context)
            prompt = context.captioner.prompt(request)
            edits = context.edits.of_row(drawn)
            others = {
                again.wanted[0]: _cached(drawn, again, context) for again in requests_for_rejected(drawn, context)
            }
            result = corrected(_cached(drawn, request, context, prompt), edits, others)
    except RowReject:
        return RowSoFar(loaded, drawn, reject)
    captions = {number: result.captions[number] for number in sorted(result.captions)}
    if len(captions) < len(request.wanted):
        return RowSoFar(loaded, drawn, reject, captions)
    return RowSoFar(loaded, drawn, captioned_row(drawn, prompt.text, result, edits), captions)


def _cached(row: Row, request: CaptionRequest, context: RunContext, prompt: Prompt | None = None) -> CaptionResult:
    """What is cached of the answer to a request. Raises RowReject for a row that lacks a field of the prompt."""
    key = key_of_answer(row, prompt or context.captioner.prompt(request), context, request)
    answer = CachedAnswer.find(key, request.wanted, context)
    return CaptionResult(answer.captions, answer.usage, answer.warnings)


# --- how many captions a stopped run leaves


def count_kept(stopped: RunContext, seconds: float = COUNT_SECONDS) -> KeptCaptions:
    """How many captions, of all regions of the input, a rerun of the `stopped` run will find in the cache.

    Takes at most `seconds`; what is not counted by then makes the number a lower bound.
    """
    counting = _Counting(stopped)
    # A thread, since a store that does not answer is a reason to stop, and must not be waited for.
    thread = threading.Thread(target=counting.run, name="count-kept", daemon=True)
    thread.start()
    thread.join(seconds)
    counting.over.set()
    if counting.complete:
        return KeptCaptions(counting.captions)
    return KeptCaptions(max(counting.captions, stopped.progress.counts.captions_new), exact=False)


class _Counting:
    """A count that can be broken off."""

    def __init__(self, stopped: RunContext) -> None:
        self._stopped = stopped
        self.captions = 0
        self.complete = False
        self.over = threading.Event()

    def run(self) -> None:
        # A store that is gone may be what ended the run.
        with contextlib.suppress(RegionCapError), contextlib.closing(RunContext(self._stopped.config)) as context:
            with contextlib.suppress(InputDamaged):  # no run has come beyond that
                for shard in context.shards():
                    self._count(shard, context)
                    if self.over.is_set():
                        return
            self.complete = True

    def _count(self, shard: Shard, context: RunContext) -> None:
        with contextlib.suppress(StepDamaged):  # a rerun does that shard again
            for captions in _captions_of(shard, context, self._stopped.shard_runs.requested_early(shard.index)):
                self.captions += captions
                if self.over.is_set():
                    return


def _captions_of(shard: Shard, context: RunContext, requested: Mapping[str, int]) -> Iterator[int]:
    """How many captions there are of each row of a shard. `requested`: its answers that were requested before its marks
    were all drawn, by key, each with its number of regions."""
    steps = steps_so_far(shard, context)
    if len(steps) > CAPTION and not steps[-1].rejects:  # nothing came after that file
        yield from (len(row["captions"]) for row in context.storage.read(steps[-1]))
    elif len(steps) > VISUALIZE:
        yield from (len(row.captions) for row in rows_so_far(context, steps))
    else:
        for key, regions in requested.items():
            yield len(CachedAnswer.find(key, range(1, regions + 1), context).captions)
