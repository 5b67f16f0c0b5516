"""Step 6, `caption`: every region gets its sentence.

Looks up which answers are there, asks the captioner for the rest and keeps each answer as it comes. Adds `captions`
(one a region, in order), `prompt` and `usage`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from prefect import State, task
from prefect.cache_policies import NO_CACHE

from tasks.caching import StepSpec, run_step
from tasks.captioners.base import CaptionRequest, CaptionResult, Part, Prompt
from tasks.config import RegionCapConfig
from tasks.context import RunContext, context_of
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
        parts=[
            Part(tuple(part["regions"]), partial(marked_jpeg, row, context, number))
            for number, part in enumerate(row.get("parts", []))
        ],
    )


def key_of_answer(row: Row, prompt: Prompt, context: RunContext) -> str:
    """The name of the row's answer: everything that decides its words, and nothing else."""
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
        }
    )


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
    request = request_of(row, context)
    prompt = context.captioner.prompt(request)
    if not context.captioner.paid:
        context.progress.add(captions_asked=len(request.wanted))
        return Asked(row, prompt.text, context.captioner.submit(request))
    key = key_of_answer(row, prompt, context)
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


def _result(future: Future[CaptionResult], context: RunContext) -> CaptionResult:
    """What the captioner said; waits for it, but not beyond the end of the run."""
    while not wait([future], LOOK_FOR_STOP_SECONDS).done:
        if context.stop.is_set():
            raise Stopped
    return future.result()


def caption_rows(rows: list[Row], context: RunContext) -> list[Row]:
    """Every row with its captions. All are sent before the first is waited for, so that none waits for another."""

    def send(row: Row) -> Row:
        return {"image": row["image"], "asked": ask(row, context)}

    def receive(row: Row) -> Row:
        told = finish(row["asked"], context)
        context.progress.add(rows=1)
        return told

    # Answers are looked up here: in an object store all at once, on disk that is not worth the handing over.
    pool = None if context.cache.is_local else context.io_pool
    sent = map_rows("caption", send, rows, pool=pool, stop=context.stop)
    context.progress.add(rows=sum("reject" in row for row in sent))
    return map_rows("caption", receive, sent, stop=context.stop)


def _body(context: RunContext, step: Step) -> list[Row]:
    return caption_rows(context.storage.read(step), context)


def _identity(context: RunContext) -> dict[str, Any]:
    return {**context.captioner.identity(), **context.captioner.templates()}


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
