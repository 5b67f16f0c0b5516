"""Answers for drawn rows: looked up in the cache, requested where they are missing, stored as they come.

An answer's key is made of everything that decides its words; rows with the same key share it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from regioncap.captioners.base import CaptionRequest, CaptionResult, MarkGroup, Prompt
from regioncap.config.model import RegionCapConfig
from regioncap.records import Counts, Row
from regioncap.run.context import RunContext
from regioncap.run.in_flight import PendingAnswer
from regioncap.storage.answers import answer_key
from regioncap.storage.steps import digest
from regioncap.tasks.draw_row import marked_jpeg, read_unchanged
from regioncap.vision.drawing import DRAW_VERSION

KEY_VERSION = 1

MAX_FAILED_RUNS = 3
"""A row that the model failed (refused, never completed) in this many runs is put on hold."""


def request_of(row: Row, context: RunContext) -> CaptionRequest:
    """The first request for a row: all of its regions. Pictures are read when the captioner needs them."""
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
            MarkGroup(tuple(part["regions"]), partial(marked_jpeg, row, context, number))
            for number, part in enumerate(row.get("parts", []))
        ],
    )


def key_of_answer(row: Row, prompt: Prompt, context: RunContext, request: CaptionRequest | None = None) -> str:
    """The key of the row's answer: everything that decides its words, and nothing else.

    `request`: given where captions are requested again, since that answer is stored beside the first.
    """
    marks = {**context.config.values_read_by("drawing"), "draw_version": DRAW_VERSION}
    groups = context.config.groups_of(len(row["bbox"]))
    if len(groups) > 1:  # else all regions share one picture, whatever the setting
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
    """The keys of all answers that may be looked up for a drawn row: the first, and those requested again."""
    request = request_of(row, context)
    yield key_of_answer(row, context.captioner.prompt(request), context)
    for number in request.wanted if context.config.repair_flags else ():
        again = replace(request, wanted=(number,), again=True)
        yield key_of_answer(row, context.captioner.prompt(again), context, again)


@dataclass(frozen=True)
class CachedAnswer:
    """What is stored of an answer: `captions` by region number, and what they cost."""

    captions: dict[int, str] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    failed_runs: int = 0
    """Runs with the same retry settings that requested the rest, and the model failed it."""
    failure: str = ""
    """How the last of them failed."""

    def on_hold(self, config: RegionCapConfig) -> bool:
        """Whether the model failed too often for the rest to be requested again."""
        return self.failed_runs >= MAX_FAILED_RUNS and not config.retry_rejects

    def held_back(self) -> CaptionResult:
        """The result of an answer that is on hold: what there is, and why the rest is not requested."""
        message = (
            f"asked in vain in {self.failed_runs} runs ({self.failure}); rests until other settings, or retry_rejects"
        )
        return CaptionResult(self.captions, self.usage, self.warnings, "captions_incomplete", message, on_hold=True)

    @classmethod
    def find(cls, key: str, context: RunContext) -> CachedAnswer:
        """The answer stored under `key`, or an empty one."""
        found = context.answers.get(key) or {}
        captions = {int(number): str(text) for number, text in found.get("captions", {}).items()}
        failed = found.get("failed", {})
        failed_runs = failed.get("strikes", 0) if failed.get("effort") == retry_settings_key(context) else 0
        return cls(captions, found.get("usage", {}), found.get("warnings", []), failed_runs, failed.get("message", ""))


def retry_settings_key(context: RunContext) -> str:
    """A digest of the settings that are in no other key, but may let a row succeed that failed.

    When they change, rows on hold are requested again.
    """
    return digest(context.config.values_with_role("effort"))


def ask(
    row: Row,
    context: RunContext,
    *,
    ignore_cached: bool = False,
    early: Mapping[str, PendingAnswer] = MappingProxyType({}),
) -> PendingAnswer:
    """Look up which captions of a drawn row are cached, and request those that are missing.

    `ignore_cached`: request all of them. `early`: what was requested ahead, by the answer's key. Raises RowReject for a
    row that lacks a field of the prompt.
    """
    return send_for(row, request_of(row, context), context, ignore_cached, early)


def send_for(
    row: Row,
    request: CaptionRequest,
    context: RunContext,
    ignore_cached: bool = False,
    early: Mapping[str, PendingAnswer] = MappingProxyType({}),
) -> PendingAnswer:
    """As `ask`, for another request than the row's first."""
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
            cached = CachedAnswer() if ignore_cached else CachedAnswer.find(key, context)
            _complete(_Answer(key, request, cached, context))
        except BaseException as error:
            context.in_flight.settle(key, error)
            raise
    return PendingAnswer(row, prompt.text, future, owner, key)


def _complete(answer: _Answer) -> None:
    """Request what an answer lacks, if anything; its future is settled when all is there."""
    cached, context = answer.cached, answer.context
    missing = tuple(number for number in answer.request.wanted if number not in cached.captions)
    if not missing:
        answer.settle(CaptionResult(cached.captions, cached.usage, cached.warnings))
    elif cached.on_hold(context.config):
        answer.settle(cached.held_back())
    else:
        context.progress.add(Counts(captions_asked=len(missing)))
        future = context.captioner.submit(replace(answer.request, wanted=missing, keep=answer.keep))
        future.add_done_callback(answer.on_done)


@dataclass(frozen=True)
class _Answer:
    """An answer that is being completed: what is cached of it, and what comes."""

    key: str
    request: CaptionRequest
    cached: CachedAnswer
    context: RunContext

    def keep(self, result: CaptionResult) -> None:
        """Store what there is by now, whatever becomes of the rest."""
        whole = self._with_cached(result)
        if self._incomplete(whole):
            # Another run on this cache may have got further meanwhile: what it paid for is not given up for less.
            whole.captions = {**CachedAnswer.find(self.key, self.context).captions, **whole.captions}
            whole.model_failure = whole.model_failure and self._incomplete(whole)
        captions = {str(number): whole.captions[number] for number in sorted(whole.captions)}
        stored: dict[str, Any] = {"captions": captions, "usage": whole.usage, "model": self.context.captioner.model}
        if whole.warnings:
            stored["warnings"] = whole.warnings
        if whole.model_failure:
            stored["failed"] = {
                "strikes": self.cached.failed_runs + 1,
                "effort": retry_settings_key(self.context),
                "message": result.message,
            }
        self.context.answers.put(self.key, stored)

    def on_done(self, future: Future[CaptionResult]) -> None:
        """The captioner is done with what was missing."""
        error = future.exception()
        if error is not None:
            self.settle(error)
            return
        result = future.result()
        result.on_hold = result.model_failure and self.cached.failed_runs + 1 >= MAX_FAILED_RUNS
        self.context.progress.add(Counts(captions_new=len(result.captions)))
        self.settle(self._with_cached(result))

    def settle(self, result: CaptionResult | BaseException) -> None:
        """Hand the result to all rows that wait for it."""
        self.context.in_flight.settle(self.key, result)

    def _incomplete(self, result: CaptionResult) -> bool:
        return any(number not in result.captions for number in self.request.wanted)

    def _with_cached(self, result: CaptionResult) -> CaptionResult:
        usage = Counter(self.cached.usage)
        usage.update(result.usage)
        captions = {**self.cached.captions, **result.captions}
        return replace(result, captions=captions, usage=dict(usage), warnings=self.cached.warnings + result.warnings)
