"""Step 6, `caption`: every region gets its sentence.

Looks up which answers are there, asks the captioner for the rest and keeps each answer as it comes: see
`tasks/answers.py`. Adds `captions` (one a region, in order), `prompt` and `usage`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from prefect import State, task
from prefect.cache_policies import NO_CACHE

from regioncap.captioners.base import CaptionResult
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject, Stopped
from regioncap.output.caption_flags import FLAGS_VERSION, flags_of
from regioncap.records import Counts, Row, Step, rejected
from regioncap.run.context import RunContext
from regioncap.run.in_flight import PendingAnswer
from regioncap.run.runs import RUNS
from regioncap.storage.steps import Manifest
from regioncap.tasks.answers import ask, request_of, retry_settings_key, send_for
from regioncap.tasks.map_rows import map_rows
from regioncap.tasks.step import StepSpec, run_step

STEP_VERSION = 1
LOOK_FOR_STOP_SECONDS = 0.25


def finish(asked: PendingAnswer, context: RunContext) -> Row:
    """The row with all its captions, or as a reject that keeps those that came.

    Raises CaptionerError when no row can be captioned any more, Stopped.
    """
    result = _result(asked.future, context)
    if not context.captioner.paid:
        context.progress.add(Counts(captions_new=len(result.captions)))
    missing = [number for number in range(1, asked.row["valid_bboxes_num"] + 1) if number not in result.captions]
    if missing:
        captions = {"captions": {str(number): text for number, text in sorted(result.captions.items())}}
        message = result.message or f"no caption for regions {missing}"
        reject = rejected(
            "caption", result.code or "captions_incomplete", message, **captions if result.captions else {}
        )
        if result.rests:
            reject["reject"]["rests"] = retry_settings_key(context)
        return reject
    texts = [result.captions[number] for number in sorted(result.captions)]
    warnings = {"warnings": result.warnings} if result.warnings else {}
    return {"captions": texts, "prompt": asked.prompt, "usage": result.usage, **warnings}


def ask_again(row: Row, told: Row, context: RunContext) -> dict[int, PendingAnswer]:
    """Send for the captions of a captioned row that have one of the flags to repair; by region number."""
    request = request_of(row, context)
    sent = {}
    for number, names in enumerate(flags_of(told["captions"]), start=1):
        if set(names) & set(context.config.repair_flags):
            sent[number] = send_for(row, replace(request, wanted=(number,), again=True), context)
    return sent


def repaired(told: Row, sent: dict[int, PendingAnswer], context: RunContext) -> Row:
    """A captioned row with the new captions that have fewer of the flags to repair than the old ones."""
    captions, warnings = list(told["captions"]), list(told.get("warnings", []))
    usage: Counter[str] = Counter(told["usage"])
    for number, asked in sent.items():
        result = _result(asked.future, context)
        usage.update(result.usage)
        if number not in result.captions:
            warnings.append(f"the caption of region {number} is flagged, and was not told better: {result.message}")
            continue
        better = [*captions[: number - 1], result.captions[number], *captions[number:]]
        if _to_repair(better, number, context) < _to_repair(captions, number, context):
            captions = better
    return {**told, "captions": captions, "usage": dict(usage), **({"warnings": warnings} if warnings else {})}


def _to_repair(captions: list[str], number: int, context: RunContext) -> int:
    return len(set(flags_of(captions)[number - 1]) & set(context.config.repair_flags))


def _repaired_rows(rows: list[Row], told: list[Row], context: RunContext) -> list[Row]:
    """Captioned rows with flagged captions asked for again, all at once; they keep the old where that is in vain."""

    def send(pair: Row) -> Row:
        try:
            return {**pair, "sent": ask_again(pair["row"], pair["told"], context)}
        except RowReject:
            return {**pair, "sent": {}}  # the closer prompt wants a key that this row has not

    pairs = [one if "reject" in one else {"row": row, "told": one} for row, one in zip(rows, told, strict=True)]
    sent = map_rows("caption", send, pairs, stop=context.stop)
    return map_rows("caption", lambda pair: repaired(pair["told"], pair["sent"], context), sent, stop=context.stop)


def _result(future: Future[CaptionResult], context: RunContext) -> CaptionResult:
    """What the captioner said; waits for it, but not beyond the end of the run."""
    while not wait([future], LOOK_FOR_STOP_SECONDS).done:
        if context.stop.is_set():
            raise Stopped
    return future.result()


def caption_rows(
    rows: list[Row], context: RunContext, early: Mapping[str, PendingAnswer] = MappingProxyType({})
) -> list[Row]:
    """Every row with its captions. All are sent before the first is waited for, so that none waits for another.

    `early`: what was sent for already, by the answer's name.
    """

    def send(row: Row) -> Row:
        return {"image": row["image"], "asked": ask(row, context, early=early)}

    def receive(row: Row) -> Row:
        told = finish(row["asked"], context)
        context.progress.add(Counts(rows=1))
        return told

    # Answers are looked up here: in an object store all at once, on disk that is not worth the handing over.
    pool = None if context.cache.is_local else context.threads.io
    sent = map_rows("caption", send, rows, pool=pool, stop=context.stop)
    context.progress.add(Counts(rows=sum("reject" in row for row in sent)))
    told = map_rows("caption", receive, sent, stop=context.stop)
    return _repaired_rows(rows, told, context) if context.config.repair_flags else told


def _body(context: RunContext, step: Step) -> list[Row]:
    return caption_rows(context.storage.read(step), context, context.shard_runs.of(step).pending())


def _identity(context: RunContext) -> dict[str, Any]:
    repairs = {"repair_flags": sorted(context.config.repair_flags), "flags_version": FLAGS_VERSION}
    return {
        **context.captioner.identity(),
        **context.captioner.templates(),
        **(repairs if context.config.repair_flags else {}),
    }


def _fresh(context: RunContext, manifest: Manifest, read: Callable[[], list[Row]]) -> bool:
    """Whether no row that rests is to be asked again."""
    if not manifest.rejects:
        return True
    effort = retry_settings_key(context)
    resting = [row["reject"]["rests"] for row in read() if "rests" in row.get("reject", ())]
    return not any(context.config.retry_rejects or then != effort for then in resting)


CAPTION = StepSpec("caption", STEP_VERSION, (), _body, fresh=_fresh, extra=_identity)


@task(name="caption", task_run_name="caption {step.shard:05d}", cache_policy=NO_CACHE)
def caption(step: Step, config: RegionCapConfig) -> State[Step]:
    """Step 6: every region gets its sentence; what was answered before is not asked again."""
    return run_step(CAPTION, RUNS.context(config), step)
