"""Step 6, `caption`: every region gets its caption.

Looks up which answers are cached, requests the rest and stores each answer as it comes: see `tasks/answers.py`. Adds
`captions` (one per region, in order), `prompt` and `usage`; `edited` where people corrected any: see `tasks/edited.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from regioncap.config.fields_captions import FlagName
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.output.audit_file import inconsistent_in
from regioncap.output.caption_flags import FLAGS_VERSION, INCONSISTENT, flags_of
from regioncap.output.edits import edits_of_shard
from regioncap.records import Counts, Row, Step, rejected
from regioncap.run.context import RunContext
from regioncap.run.in_flight import PendingAnswer
from regioncap.run.runs import RUNS
from regioncap.run.shard_run import ShardRun
from regioncap.run.threads import result_of
from regioncap.tasks.answers import ask, repair_request, request_of, send_for
from regioncap.tasks.cached_answer import put_on_hold, reading_rules, still_on_hold
from regioncap.tasks.edited import NO_CORRECTIONS, Corrections, captioned_row, corrected, corrections_of
from regioncap.tasks.lazy_task import lazy_task
from regioncap.tasks.map_rows import map_rows
from regioncap.tasks.step import StepSpec, run_step

if TYPE_CHECKING:
    from prefect import State

STEP_VERSION = 1


def finish(pending: PendingAnswer, context: RunContext, corrections: Corrections = NO_CORRECTIONS) -> Row:
    """Wait for a row's answer: the row with all its captions, or a reject that keeps those that came.

    `corrections`: what people decided on the row. Raises CaptionerError when no row can be captioned any more, Stopped.
    """
    result = result_of(pending.future, context.stop)
    if not context.captioner.paid:
        context.progress.add(Counts(captions_new=len(result.captions)))
    edits = corrections.edits
    others = {number: result_of(other.future, context.stop) for number, other in corrections.requested.items()}
    result = corrected(result, edits, others)
    missing = [number for number in range(1, pending.row["valid_bboxes_num"] + 1) if number not in result.captions]
    if missing:
        captions = {"captions": {str(number): text for number, text in sorted(result.captions.items())}}
        message = result.message or f"no caption for regions {missing}"
        reject = rejected(
            "caption", result.code or "captions_incomplete", message, **captions if result.captions else {}
        )
        return put_on_hold(reject, context) if result.on_hold else reject
    return captioned_row(pending.row, pending.prompt, result, edits)


def flags_to_repair(row: Row, captions: Sequence[str], context: RunContext) -> list[set[FlagName]]:
    """Of each caption of a drawn row, those of its flags that are to be repaired."""
    wanted = set(context.config.repair_flags)
    found = [wanted & {*names} for names in flags_of(captions)]
    if INCONSISTENT in wanted:
        for box in inconsistent_in(context).boxes(row["image_sha256"], row["bbox"], captions):
            found[box].add(INCONSISTENT)
    return found


def flagged(row: Row, captions: Sequence[str], context: RunContext) -> list[int]:
    """The numbers of those of a drawn row's captions that have one of the flags to repair. Those of regions that people
    decided on are left as they are."""
    edits, flags = context.edits.of_row(row), enumerate(flags_to_repair(row, captions, context), start=1)
    return [number for number, names in flags if names and number not in edits]


def request_repairs(row: Row, captioned: Row, context: RunContext) -> dict[int, PendingAnswer]:
    """Request the captions of a row again that have one of the flags to repair; by region number."""
    request = request_of(row, context)
    return {
        number: send_for(row, repair_request(request, number), context)
        for number in flagged(row, captioned["captions"], context)
    }


def repaired(row: Row, captioned: Row, repairs: dict[int, PendingAnswer], context: RunContext) -> Row:
    """A captioned row with those new captions that have fewer of the flags to repair than the old ones."""
    captions, warnings = list(captioned["captions"]), list(captioned.get("warnings", []))
    usage: Counter[str] = Counter(captioned["usage"])
    for number, pending in repairs.items():
        result = result_of(pending.future, context.stop)
        usage.update(result.usage)
        if number not in result.captions:
            warnings.append(f"the caption of region {number} is flagged; the retry gave no caption: {result.message}")
            continue
        better = [*captions[: number - 1], result.captions[number], *captions[number:]]
        before, after = (flags_to_repair(row, texts, context)[number - 1] for texts in (captions, better))
        if len(after) < len(before):
            captions = better
    return {**captioned, "captions": captions, "usage": dict(usage), **({"warnings": warnings} if warnings else {})}


def _repaired_rows(rows: list[Row], captioned: list[Row], context: RunContext) -> list[Row]:
    """Captioned rows with flagged captions requested again, all at once; the old stay where the new are no better."""

    def send(pair: Row) -> Row:
        try:
            return {**pair, "repairs": request_repairs(pair["row"], pair["captioned"], context)}
        except RowReject:
            return {**pair, "repairs": {}}  # the prompt for one region uses a key that this row lacks

    def receive(pair: Row) -> Row:
        return repaired(pair["row"], pair["captioned"], pair["repairs"], context)

    both = zip(rows, captioned, strict=True)
    pairs = [after if "reject" in after else {"row": row, "captioned": after} for row, after in both]
    return map_rows("caption", receive, map_rows("caption", send, pairs, stop=context.stop), stop=context.stop)


def caption_rows(rows: list[Row], context: RunContext, shard_run: ShardRun | None = None) -> list[Row]:
    """Every row with its captions. All are requested before the first is waited for, so that none waits for another.

    `shard_run`: what was requested ahead, and who wants to know what is requested now.
    """
    shard_run = shard_run or ShardRun()
    early = shard_run.pending()

    def send(row: Row) -> Row:
        pending = ask(row, context, early=early)
        return {"image": row["image"], "pending": pending, "corrections": corrections_of(row, context)}

    def receive(row: Row) -> Row:
        captioned = finish(row["pending"], context, row["corrections"])
        context.progress.add(Counts(rows=1))
        return captioned

    # This looks up answers: in an object store many at once; on a local disk handing it over costs more.
    pool = None if context.cache.is_local else context.threads.io
    sent = map_rows("caption", send, rows, pool=pool, stop=context.stop)
    requested = (row["pending"] for row in sent if "pending" in row)
    shard_run.all_requested(pending.future for pending in requested if pending.key not in early)
    context.progress.add(Counts(rows=sum("reject" in row for row in sent)))
    captioned = map_rows("caption", receive, sent, stop=context.stop)
    return _repaired_rows(rows, captioned, context) if context.config.repair_flags else captioned


def _body(context: RunContext, step: Step) -> list[Row]:
    return caption_rows(context.storage.read(step), context, context.shard_runs.of(step))


def _identity(context: RunContext) -> dict[str, Any]:
    rules = reading_rules(context)
    repairs = {"repair_flags": sorted(context.config.repair_flags), "flags_version": FLAGS_VERSION}
    return {
        **context.captioner.identity(),
        **context.captioner.templates(),
        **({"rules": rules} if rules is not None else {}),
        **(repairs if context.config.repair_flags else {}),
    }


def _of_shard(context: RunContext, drawn: Step) -> dict[str, Any]:
    """What the key has of people's corrections, and of what an audit found, where any concern the shard."""
    edits = edits_of_shard(drawn, context)
    again = {"focal_prompt": context.config.templates["focal_prompt"]} if edits.any_rejected else {}
    repairs = INCONSISTENT in context.config.repair_flags
    inconsistent = inconsistent_in(context).key_of_shard(drawn, context) if repairs else ""
    return {
        **({"edits": edits.key, **again} if edits.key else {}),
        **({INCONSISTENT: inconsistent} if inconsistent else {}),
    }


CAPTION = StepSpec(
    "caption", STEP_VERSION, _body, still_valid=still_on_hold, extra_key_parts=_identity, shard_key_parts=_of_shard
)


@lazy_task("caption", "caption {step.shard:05d}")
def caption(step: Step, config: RegionCapConfig) -> State[Step]:
    """Step 6: every region gets its caption; what was answered before is not requested again."""
    return run_step(CAPTION, RUNS.context(config), step)
