"""Answers for drawn rows: found where they are kept, sent for where they are missing, kept as they come.

An answer is named by everything that decides its words; rows that want the same one share it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from regioncap.captioners.base import CaptionRequest, CaptionResult, Part, Prompt
from regioncap.config.model import RegionCapConfig
from regioncap.records import Counts, Row
from regioncap.run.context import RunContext
from regioncap.run.in_flight import PendingAnswer
from regioncap.storage.answers import answer_key
from regioncap.storage.steps import digest
from regioncap.tasks.draw_row import marked_jpeg, read_unchanged
from regioncap.vision.drawing import DRAW_VERSION

KEY_VERSION = 1

DRAWING_FIELDS = ("max_pixels", "dim")

EFFORT_FIELDS = ("max_tokens", "max_repairs", "structure", "max_caption_chars")
"""Fields that are in no key, but may have a row succeed that failed: with others, a row that rests is asked again."""

STRIKES = 3
"""Runs that a row may fail for its own sake (refused, never complete); then it rests."""


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
        parts=[
            Part(tuple(part["regions"]), partial(marked_jpeg, row, context, number))
            for number, part in enumerate(row.get("parts", []))
        ],
    )


def key_of_answer(row: Row, prompt: Prompt, context: RunContext, request: CaptionRequest | None = None) -> str:
    """The name of the row's answer: everything that decides its words, and nothing else.

    `request`: given for one that asks again, whose answer is kept apart from the first.
    """
    marks = {**context.config.fields(DRAWING_FIELDS), "draw_version": DRAW_VERSION}
    groups = context.config.groups_of(len(row["bbox"]))
    if len(groups) > 1:  # else all are seen together, whatever the setting
        marks["groups"] = [len(group) for group in groups]
    return answer_key(
        {
            "key_version": KEY_VERSION,
            "image_sha256": row["image_sha256"],
            "bbox": row["bbox"],
            "marks": marks,
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
class CachedAnswer:
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
    def find(cls, key: str, context: RunContext) -> CachedAnswer:
        """The answer `key`, or an empty one."""
        found = context.answers.get(key) or {}
        captions = {int(number): str(text) for number, text in found.get("captions", {}).items()}
        failed = found.get("failed", {})
        strikes = failed.get("strikes", 0) if failed.get("effort") == effort_of(context) else 0
        return cls(captions, found.get("usage", {}), found.get("warnings", []), strikes, failed.get("message", ""))


def effort_of(context: RunContext) -> str:
    """Names how hard the model is asked."""
    return digest(context.config.fields(EFFORT_FIELDS))


def ask(
    row: Row, context: RunContext, *, anew: bool = False, early: Mapping[str, PendingAnswer] = MappingProxyType({})
) -> PendingAnswer:
    """See which captions are there, and send for those that are missing; `anew`: for all of them.

    `early`: what was requested before, by the answer's name. Raises RowReject for a row that lacks a field of the
    prompt.
    """
    return send_for(row, request_of(row, context), context, anew, early)


def send_for(
    row: Row,
    request: CaptionRequest,
    context: RunContext,
    anew: bool = False,
    early: Mapping[str, PendingAnswer] = MappingProxyType({}),
) -> PendingAnswer:
    """As `ask`, for a request of one's own making."""
    prompt = context.captioner.prompt(request)
    if not context.captioner.paid:
        context.progress.add(Counts(captions_asked=len(request.wanted)))
        return PendingAnswer(row, prompt.text, context.captioner.submit(request))
    key = key_of_answer(row, prompt, context, request)
    if key in early:
        return replace(early[key], row=row, prompt=prompt.text)
    future, owner = context.in_flight.claim(key)
    if owner:
        try:
            _send(key, request, CachedAnswer() if anew else CachedAnswer.find(key, context), context)
        except BaseException as error:
            context.in_flight.settle(key, error)
            raise
    return PendingAnswer(row, prompt.text, future, owner, key)


def _send(key: str, request: CaptionRequest, kept: CachedAnswer, context: RunContext) -> None:
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
        if any(number not in whole.captions for number in request.wanted):
            # Another run on this cache may have got further meanwhile: what it paid for is not given up for less.
            whole.captions = {**CachedAnswer.find(key, context).captions, **whole.captions}
            whole.own_fault = any(number not in whole.captions for number in request.wanted) and whole.own_fault
        captions = {str(number): whole.captions[number] for number in sorted(whole.captions)}
        answer: dict[str, Any] = {"captions": captions, "usage": whole.usage, "model": context.captioner.model}
        if whole.warnings:
            answer["warnings"] = whole.warnings
        if whole.own_fault:
            answer["failed"] = {"strikes": kept.strikes + 1, "effort": effort_of(context), "message": result.message}
        context.answers.put(key, answer)

    def settle(future: Future[CaptionResult]) -> None:
        error = future.exception()
        if error is not None:
            context.in_flight.settle(key, error)
            return
        result = future.result()
        result.rests = result.own_fault and kept.strikes + 1 >= STRIKES
        context.progress.add(Counts(captions_new=len(result.captions)))
        context.in_flight.settle(key, with_kept(result))

    context.progress.add(Counts(captions_asked=len(missing)))
    future = context.captioner.submit(replace(request, wanted=missing, keep=keep))
    future.add_done_callback(settle)
