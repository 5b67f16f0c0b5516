"""Step 6, `caption`: every region gets its sentence.

Looks up which answers are there, asks the captioner for the rest and keeps each answer as it comes. Adds `captions`
(one a region, in order), `prompt` and `usage`.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from prefect import State, task
from prefect.cache_policies import NO_CACHE

from tasks.caching import StepSpec, run_step
from tasks.captioners.base import CaptionRequest, CaptionResult, Prompt
from tasks.config import RegionCapConfig
from tasks.context import RunContext, context_of
from tasks.errors import RowReject
from tasks.flags import FLAGS_VERSION, flags_of
from tasks.records import Row, Step, rejected
from tasks.rows import Stopped, map_rows
from tasks.storage.answers import answer_key
from tasks.storage.steps import Manifest, digest
from tasks.vision.drawing import DRAW_VERSION
from tasks.visualize import marked_jpeg, read_unchanged

STEP_VERSION = 1
KEY_VERSION = 1
LOOK_FOR_STOP_SECONDS = 0.25

DRAWING_FIELDS = ("max_pixels", "dim")

EFFORT_FIELDS = ("max_tokens", "max_repairs", "structure", "max_caption_chars")
"""Fields that are in no key, but may have a row succeed that failed: with others, a row that rests is asked again."""

STRIKES = 3
"""Runs that a row may fail for its own sake (refused, never complete); then it rests."""


@dataclass
class Asked:
    """One row on its way through the captioner. `future`: gives the captions of all of its regions.

    `owner`: whether this row asks, and not another with the same picture and prompt.
    """

    row: Row
    prompt: str
    future: Future[CaptionResult]
    owner: bool = True


def request_of(row: Row, context: RunContext) -> CaptionRequest:
    """What a captioner is told of a row: all regions are wanted. The pictures are read when it asks for them."""
    return CaptionRequest(
        name=row["image"],
        image=lambda: read_unchanged(row, context.images.read),
        marked=lambda: marked_jpeg(row, context),
        width=row["width"],
        height=row["height"],
        bbox=row["bbox"],
        wanted=tuple(range(1, row["valid_bboxes_num"] + 1)),
        fields=row.get("fields", {}),
        region_fields=row.get("region_fields", ()),
    )


def key_of_answer(row: Row, prompt: Prompt, context: RunContext, request: CaptionRequest | None = None) -> str:
    """The name of the row's answer: everything that decides its words, and nothing else.

    `request`: given for one that asks again, whose answer is kept apart from the first.
    """
    return answer_key(
        {
            "key_version": KEY_VERSION,
            "image_sha256": row["image_sha256"],
            "bbox": row["bbox"],
            "marks": {**context.config.fields(DRAWING_FIELDS), "draw_version": DRAW_VERSION},
            "prompt": prompt.text,
            "system_prompt": prompt.system,
            **context.captioner.identity(),
            **({"again": list(request.wanted)} if request is not None and request.again else {}),
        }
    )


def keys_of_answers(row: Row, context: RunContext) -> Iterator[str]:
    """The names of all answers that may be looked up for a drawn row: the first, and what is asked again."""
    request = request_of(row, context)
    yield key_of_answer(row, context.captioner.prompt(request), context)
    for number in request.wanted if context.config.repair_flags else ():
        again = replace(request, wanted=(number,), again=True)
        yield key_of_answer(row, context.captioner.prompt(again), context, again)


@dataclass(frozen=True)
class Kept:
    """An answer that is there: `captions` by region number, and what they cost."""

    captions: dict[int, str] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    strikes: int = 0
    """Runs with the same effort that asked for the rest in vain."""
    failure: str = ""
    """What the last of them met."""

    def rests(self, config: RegionCapConfig) -> bool:
        """Whether the row failed too often to be asked for again."""
        return self.strikes >= STRIKES and not config.retry_rejects

    @classmethod
    def find(cls, key: str, context: RunContext) -> Kept:
        """The answer `key`, or an empty one."""
        found = context.answers.get(key) or {}
        captions = {int(number): str(text) for number, text in found.get("captions", {}).items()}
        failed = found.get("failed", {})
        strikes = failed.get("strikes", 0) if failed.get("effort") == effort_of(context) else 0
        return cls(captions, found.get("usage", {}), found.get("warnings", []), strikes, failed.get("message", ""))


def ask(row: Row, context: RunContext, *, anew: bool = False) -> Asked:
    """See which captions are there, and send for those that are missing; `anew`: for all of them.

    Raises RowReject for a row that lacks a field of the prompt.
    """
    return _ask(row, request_of(row, context), context, anew)


def _ask(row: Row, request: CaptionRequest, context: RunContext, anew: bool = False) -> Asked:
    prompt = context.captioner.prompt(request)
    if not context.captioner.paid:
        context.progress.add(captions_asked=len(request.wanted))
        return Asked(row, prompt.text, context.captioner.submit(request))
    key = key_of_answer(row, prompt, context, request)
    future, owner = context.in_flight.claim(key)
    if owner:
        try:
            _send(key, request, Kept() if anew else Kept.find(key, context), context)
        except BaseException as error:
            context.in_flight.settle(key, error)
            raise
    return Asked(row, prompt.text, future, owner)


def _send(key: str, request: CaptionRequest, kept: Kept, context: RunContext) -> None:
    """Have the answer `key` completed and settled; what comes is kept at once, whatever becomes of the rest."""
    missing = tuple(number for number in request.wanted if number not in kept.captions)
    if not missing:
        context.in_flight.settle(key, CaptionResult(kept.captions, kept.usage, kept.warnings))
        return
    if kept.rests(context.config):
        message = f"asked in vain in {kept.strikes} runs ({kept.failure}); rests until other settings, or retry_rejects"
        rests = CaptionResult(kept.captions, kept.usage, kept.warnings, "captions_incomplete", message, rests=True)
        context.in_flight.settle(key, rests)
        return

    def with_kept(result: CaptionResult) -> CaptionResult:
        usage = Counter(kept.usage)
        usage.update(result.usage)
        captions = {**kept.captions, **result.captions}
        return replace(result, captions=captions, usage=dict(usage), warnings=kept.warnings + result.warnings)

    def keep(result: CaptionResult) -> None:
        whole = with_kept(result)
        captions = {str(number): whole.captions[number] for number in sorted(whole.captions)}
        answer: dict[str, Any] = {"captions": captions, "usage": whole.usage, "model": context.captioner.model}
        if whole.warnings:
            answer["warnings"] = whole.warnings
        if result.own_fault:
            answer["failed"] = {"strikes": kept.strikes + 1, "effort": effort_of(context), "message": result.message}
        context.answers.put(key, answer)

    def settle(future: Future[CaptionResult]) -> None:
        error = future.exception()
        if error is not None:
            context.in_flight.settle(key, error)
            return
        result = future.result()
        result.rests = result.own_fault and kept.strikes + 1 >= STRIKES
        context.progress.add(captions_new=len(result.captions))
        context.in_flight.settle(key, with_kept(result))

    context.progress.add(captions_asked=len(missing))
    future = context.captioner.submit(replace(request, wanted=missing, keep=keep))
    future.add_done_callback(settle)


class AskedAhead:
    """Rows that are asked for as soon as they are drawn, so that the model need not wait for the rest of their shard.

    Their futures are kept until the step `caption` comes for them.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._asked: dict[str, dict[int, Asked]] = {}

    @classmethod
    def of(cls, context: RunContext) -> AskedAhead:
        """The context's one; it listens to what is drawn from now on."""
        with _ahead_lock:
            listening = context.when_drawn
            if not isinstance(listening, cls):
                context.when_drawn = listening = cls(context)
        return listening

    def __call__(self, key: str, place: int, row: Row) -> None:
        """Ask for a drawn row; `key` and `place`: of the step file that it will be in."""
        context = self._context
        if not context.captioner.paid:
            return
        if context.cache.is_local:
            self._ask(key, place, row)
        else:  # a look-up in an object store is not for the threads that draw
            context.io_pool.submit(self._ask, key, place, row)

    def _ask(self, key: str, place: int, row: Row) -> None:
        # What fails here fails again, and is told, when the step comes to the row.
        with contextlib.suppress(Exception):
            asked = ask(row, self._context)
            with self._lock:
                self._asked.setdefault(key, {})[place] = asked

    def take(self, key: str) -> dict[int, Asked]:
        """What was asked of the step file `key`, by the row's place."""
        with self._lock:
            return self._asked.pop(key, {})


_ahead_lock = threading.Lock()


def effort_of(context: RunContext) -> str:
    """Names how hard the model is asked."""
    return digest(context.config.fields(EFFORT_FIELDS))


def finish(asked: Asked, context: RunContext) -> Row:
    """The row with all its captions, or as a reject that keeps those that came.

    Raises CaptionerError when no row can be captioned any more, Stopped.
    """
    result = _result(asked.future, context)
    if not context.captioner.paid:
        context.progress.add(captions_new=len(result.captions))
    missing = [number for number in range(1, asked.row["valid_bboxes_num"] + 1) if number not in result.captions]
    if missing:
        captions = {"captions": {str(number): text for number, text in sorted(result.captions.items())}}
        message = result.message or f"no caption for regions {missing}"
        reject = rejected(
            "caption", result.code or "captions_incomplete", message, **captions if result.captions else {}
        )
        if result.rests:
            reject["reject"]["rests"] = effort_of(context)
        return reject
    texts = [result.captions[number] for number in sorted(result.captions)]
    warnings = {"warnings": result.warnings} if result.warnings else {}
    return {"captions": texts, "prompt": asked.prompt, "usage": result.usage, **warnings}


def ask_again(row: Row, told: Row, context: RunContext) -> dict[int, Asked]:
    """Send for the captions of a captioned row that have one of the flags to repair; by region number."""
    request = request_of(row, context)
    sent = {}
    for number, names in enumerate(flags_of(told["captions"]), start=1):
        if set(names) & set(context.config.repair_flags):
            sent[number] = _ask(row, replace(request, wanted=(number,), again=True), context)
    return sent


def repaired(told: Row, sent: dict[int, Asked], context: RunContext) -> Row:
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


def caption_rows(rows: list[Row], context: RunContext, ahead: Mapping[int, Asked] = MappingProxyType({})) -> list[Row]:
    """Every row with its captions. All are sent before the first is waited for, so that none waits for another.

    `ahead`: rows that were sent already, by place.
    """
    places = {id(row): place for place, row in enumerate(rows)}

    def send(row: Row) -> Row:
        return {"image": row["image"], "asked": ahead.get(places[id(row)]) or ask(row, context)}

    def receive(row: Row) -> Row:
        told = finish(row["asked"], context)
        context.progress.add(rows=1)
        return told

    # Answers are looked up here: in an object store all at once, on disk that is not worth the handing over.
    pool = None if context.cache.is_local else context.io_pool
    sent = map_rows("caption", send, rows, pool=pool, stop=context.stop)
    context.progress.add(rows=sum("reject" in row for row in sent))
    told = map_rows("caption", receive, sent, stop=context.stop)
    return _repaired_rows(rows, told, context) if context.config.repair_flags else told


def _body(context: RunContext, step: Step) -> list[Row]:
    return caption_rows(context.storage.read(step), context, AskedAhead.of(context).take(step.key))


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
    effort = effort_of(context)
    resting = [row["reject"]["rests"] for row in read() if "rests" in row.get("reject", ())]
    return not any(context.config.retry_rejects or then != effort for then in resting)


CAPTION = StepSpec("caption", STEP_VERSION, (), _body, fresh=_fresh, extra=_identity)


@task(name="caption", task_run_name="caption {step.shard:05d}", cache_policy=NO_CACHE)
def caption(step: Step, config: RegionCapConfig) -> State[Step]:
    """Step 6: every region gets its sentence; what was answered before is not asked again."""
    return run_step(CAPTION, context_of(config), step)
