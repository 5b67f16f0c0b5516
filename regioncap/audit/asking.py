"""An audit's requests: rows of an output are asked about again in every arm, in the way of a run.

Answers are stored like those of a run, under keys of their own: an audit that is repeated, or was stopped, asks only
for what is not there yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from regioncap.audit.arms import ArmRow, arm_rows, row_in_run
from regioncap.audit.rows import AuditedRow
from regioncap.captioners.base import CaptionRequest, CaptionResult
from regioncap.config.derived import AuditArm
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.output.caption_flags import flags_of
from regioncap.output.reading import Captioned
from regioncap.records import Counts, Row
from regioncap.run.context import RunContext
from regioncap.run.in_flight import PendingAnswer
from regioncap.run.threads import result_of
from regioncap.tasks.answers import key_of_answer, repair_request, request_of, send_for
from regioncap.tasks.cached_answer import CachedAnswer
from regioncap.tasks.map_rows import map_rows


@dataclass(frozen=True)
class AskedAgain:
    """What came. `rows`: those with captions in some arm. `left_out`: the number of others, by the code of their
    reject. `answers`: keys of the answers that the audit rests on; empty where captions cost nothing."""

    rows: list[AuditedRow]
    left_out: dict[str, int]
    answers: list[str]


def asked_again(
    rows: Sequence[Captioned], context: RunContext, count: Callable[[Counts], None] = lambda counts: None
) -> AskedAgain:
    """The captions of `rows` in every arm of the audit. All are requested before the first is waited for.

    `count`: takes the rows that are done. Raises CaptionerError when no row can be captioned any more, StorageError,
    Stopped.
    """

    def received(row: Row, context: RunContext) -> Row:
        try:
            return _received(row, context)
        finally:
            count(Counts(rows=1))

    # These look up answers, and maybe read images: in an object store many at once.
    lookups = None if context.cache.is_local else context.threads.io
    audited: list[Row] = [{"image": row.image, "captioned": row} for row in rows]
    for change, pool in (
        (_prepared, lookups), (_sent, lookups), (received, None), (_sent_repairs, lookups), (_received_repairs, None),
        (_measurable, None),
    ):  # fmt: skip
        audited = map_rows("audit", partial(change, context=context), audited, pool=pool, stop=context.stop)
    left_out = Counter(row["reject"]["code"] for row in audited if "reject" in row)
    count(Counts(rejects=left_out.total()))
    came = [row for row in audited if "reject" not in row]
    keys = {key for row in came for asking in row["askings"] for key in asking.keys if key}
    return AskedAgain([row["audited"] for row in came], dict(sorted(left_out.items())), sorted(keys))


@dataclass
class _Asking:
    """One row in one arm. `again`: the numbers of the regions whose captions the run got when it asked for them once
    more, one by one. Numbers are those of this arm."""

    of: ArmRow
    request: CaptionRequest
    again: Collection[int]
    pending: PendingAnswer | None = None
    repairs: dict[int, PendingAnswer] = field(default_factory=dict)
    captions: dict[int, str] = field(default_factory=dict)
    result: CaptionResult = field(default_factory=lambda: CaptionResult({}))
    keys: list[str] = field(default_factory=list)

    def send(self, request: CaptionRequest, context: RunContext) -> PendingAnswer:
        pending = send_for(self.of.row, request, context)
        self.keys.append(pending.key)
        return pending

    def caption_of(self, box: int) -> str | None:
        return self.captions.get(self.of.number_of(box))


# --- what happens to a row, in this order; RowReject leaves it out


def _prepared(row: Row, context: RunContext) -> Row:
    in_run = row_in_run(row["captioned"], context.config, context.images.read)
    again = _asked_again_by_run(in_run, row["captioned"].captions, context)
    askings = []
    for of in arm_rows(in_run, context.config):
        request = request_of(of.row, context)
        wanted = request.wanted[::-1] if of.arm == "reversed" else request.wanted
        request = replace(request, arm=of.arm, wanted=wanted)
        askings.append(_Asking(of, request, {of.number_of(box) for box in again}))
    return {**row, "askings": askings}


def _asked_again_by_run(row: Row, captions: Sequence[str], context: RunContext) -> list[int]:
    """The boxes whose captions are those that the run got when it asked for the region once more.

    Only the answers tell: without them, all regions count as asked for together.
    """
    if not context.config.repair_flags or not context.captioner.paid:
        return []
    request = request_of(row, context)
    found = []
    for box, text in enumerate(captions):
        again = repair_request(request, box + 1)
        key = key_of_answer(row, context.captioner.prompt(again), context, again)
        if CachedAnswer.find(key, again.wanted, context).captions.get(box + 1) == text:
            found.append(box)
    return found


def _sent(row: Row, context: RunContext) -> Row:
    for asking in row["askings"]:
        asking.pending = asking.send(asking.request, context)
    return row


def _received(row: Row, context: RunContext) -> Row:
    for asking in row["askings"]:
        asking.result = result_of(asking.pending.future, context.stop)
        asking.captions = dict(asking.result.captions)
    return row


def _sent_repairs(row: Row, context: RunContext) -> Row:
    for asking in row["askings"]:
        for number in sorted({*asking.again, *_flagged(asking.captions, context.config)}):
            asking.repairs[number] = asking.send(repair_request(asking.request, number), context)
    return row


def _flagged(captions: dict[int, str], config: RegionCapConfig) -> list[int]:
    names = flags_of(list(captions.values()))
    return [number for number, of in zip(captions, names, strict=True) if set(of) & set(config.repair_flags)]


def _received_repairs(row: Row, context: RunContext) -> Row:
    for asking in row["askings"]:
        for number, pending in asking.repairs.items():
            text = result_of(pending.future, context.stop).captions.get(number)
            if text and (number in asking.again or _has_fewer_flags(text, number, asking.captions, context.config)):
                asking.captions[number] = text
    return row


def _has_fewer_flags(text: str, number: int, captions: dict[int, str], config: RegionCapConfig) -> bool:
    """Whether a caption has fewer of the flags to repair than the one that there is."""

    def count(of_row: dict[int, str]) -> int:
        names = dict(zip(of_row, flags_of(list(of_row.values())), strict=True))
        return len(set(names[number]) & set(config.repair_flags))

    return count({**captions, number: text}) < count(captions)


def _measurable(row: Row, context: RunContext) -> Row:
    """The row with what the audit measures. Raises RowReject if nothing came in any arm."""
    captioned, askings = row["captioned"], row["askings"]
    if not any(asking.captions for asking in askings):
        result = askings[0].result
        raise RowReject(result.code or "captions_incomplete", result.message)
    return {**row, "audited": _audited(captioned, {asking.of.arm: asking for asking in askings})}


def _audited(captioned: Captioned, askings: dict[AuditArm, _Asking]) -> AuditedRow:
    # A caption that a person has approved or written says nothing about the model.
    edited = captioned.edited

    def by_box(arm: AuditArm) -> list[str | None]:
        asking = askings.get(arm)
        boxes = range(len(captioned.bbox))
        return [asking.caption_of(box) if asking is not None and not edited[box] else None for box in boxes]

    return AuditedRow(
        captioned.number, captioned.image, captioned.width, captioned.height, captioned.bbox, captioned.captions,
        by_box("permuted"), by_box("reversed"), by_box("control"),
        image_sha256=str(askings["control"].of.row["image_sha256"]),
    )  # fmt: skip


# --- what it would ask for


@dataclass(frozen=True)
class LeftToAsk:
    """What the audit of one row would request: `requests`, for `regions` captions. `known`: the answer tokens per
    region of those answers that are there."""

    row: Captioned
    requests: int
    regions: int
    known: list[float]


def left_to_ask(rows: Sequence[Captioned], context: RunContext) -> list[LeftToAsk]:
    """What `asked_again` would request for each of the rows that it can ask about. Sends nothing."""
    found: list[Row] = [{"image": row.image, "captioned": row} for row in rows]
    lookups = None if context.cache.is_local else context.threads.io
    for change in (_prepared, _left):
        found = map_rows("audit", partial(change, context=context), found, pool=lookups, stop=context.stop)
    return [row["left"] for row in found if "reject" not in row]


def _left(row: Row, context: RunContext) -> Row:
    requests = regions = 0
    known: list[float] = []
    for asking in row["askings"]:
        for request in (asking.request, *(repair_request(asking.request, number) for number in sorted(asking.again))):
            key = key_of_answer(asking.of.row, context.captioner.prompt(request), context, request)
            answer = CachedAnswer.find(key, request.wanted, context)
            missing = {*request.wanted} - answer.captions.keys()
            one_each = request.again or context.config.prompt_mode == "focal"
            requests += (
                len(missing) if one_each else sum(not missing.isdisjoint(part.regions) for part in request.shown())
            )
            regions += len(missing)
            if answer.captions and answer.usage.get("completion_tokens"):
                known.append(answer.usage["completion_tokens"] / len(answer.captions))
    return {**row, "left": LeftToAsk(row["captioned"], requests, regions, known)}
