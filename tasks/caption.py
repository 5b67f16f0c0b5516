"""Step 6, `caption`: every region gets its sentence.

Looks up which answers are there, asks the captioner for the rest and keeps each answer as it comes. Adds `captions`
(one a region, in order), `prompt` and `usage`.
"""

from __future__ import annotations

from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any

from prefect import State, task
from prefect.cache_policies import NO_CACHE

from tasks.caching import StepSpec, run_step
from tasks.captioners.base import CaptionRequest, CaptionResult
from tasks.config import RegionCapConfig
from tasks.context import RunContext, context_of
from tasks.errors import RowReject
from tasks.records import Row, Step
from tasks.rows import Stopped, map_rows
from tasks.storage.answers import answer_key
from tasks.vision.drawing import DRAW_VERSION
from tasks.visualize import marked_jpeg, read_unchanged

STEP_VERSION = 1
KEY_VERSION = 1
LOOK_FOR_STOP_SECONDS = 0.25

DRAWING_FIELDS = ("max_pixels", "dim")


@dataclass
class Asked:
    """One row on its way through the captioner. `have`: captions kept from before, by region number."""

    row: Row
    key: str
    prompt: str
    have: dict[int, str]
    future: Future[CaptionResult] | None = None

    @property
    def missing(self) -> tuple[int, ...]:
        """Numbers of the regions without a caption from before."""
        return tuple(n for n in range(1, self.row["valid_bboxes_num"] + 1) if n not in self.have)


def request_of(row: Row, context: RunContext, wanted: tuple[int, ...]) -> CaptionRequest:
    """What a captioner is told of a row. The pictures are read when it asks for them."""
    return CaptionRequest(
        name=row["image"],
        image=lambda: read_unchanged(row, context.images.read),
        marked=lambda: marked_jpeg(row, context),
        width=row["width"],
        height=row["height"],
        bbox=row["bbox"],
        wanted=wanted,
    )


def key_of_answer(row: Row, prompt: str, context: RunContext) -> str:
    """The name of the row's answer: everything that decides its words, and nothing else."""
    return answer_key(
        {
            "key_version": KEY_VERSION,
            "image_sha256": row["image_sha256"],
            "bbox": row["bbox"],
            "marks": {**context.config.fields(DRAWING_FIELDS), "draw_version": DRAW_VERSION},
            "prompt": prompt,
            **context.captioner.identity(),
        }
    )


def look_up(row: Row, context: RunContext) -> Asked:
    """The row with the captions that are there already."""
    everything = tuple(range(1, row["valid_bboxes_num"] + 1))
    prompt = context.captioner.prompt(request_of(row, context, everything))
    if not context.captioner.paid:
        return Asked(row, "", prompt, {})
    key = key_of_answer(row, prompt, context)
    kept = (context.answers.get(key) or {}).get("captions", {})
    return Asked(row, key, prompt, {int(number): text for number, text in kept.items()})


def ask(row: Row, context: RunContext) -> Asked:
    """Look up the row's captions, and send for those that are missing."""
    asked = look_up(row, context)
    if asked.missing:
        asked.future = context.captioner.submit(request_of(row, context, asked.missing))
        context.progress.add(captions_asked=len(asked.missing))
    return asked


def finish(asked: Asked, context: RunContext) -> Row:
    """The row with all its captions; what came is kept in any case.

    Raises RowReject when captions are missing, CaptionerError when no row can be captioned any more, Stopped.
    """
    result = _result(asked.future, context)
    captions = {**asked.have, **result.captions}
    context.progress.add(captions_new=len(result.captions), **result.usage)
    if result.captions and context.captioner.paid:
        kept = {str(number): captions[number] for number in sorted(captions)}
        context.answers.put(asked.key, {"captions": kept, "usage": result.usage, "model": context.captioner.model})
    missing = [number for number in asked.missing if number not in captions]
    if missing:
        raise RowReject(result.code or "captions_incomplete", result.message or f"no caption for regions {missing}")
    texts = [captions[number] for number in sorted(captions)]
    return {"captions": texts, "prompt": asked.prompt, "usage": result.usage}


def _result(future: Future[CaptionResult] | None, context: RunContext) -> CaptionResult:
    """What the captioner said; waits for it, but not beyond the end of the run."""
    while future is not None and not wait([future], LOOK_FOR_STOP_SECONDS).done:
        if context.stop.is_set():
            raise Stopped
    return future.result() if future is not None else CaptionResult({})


def caption_rows(rows: list[Row], context: RunContext) -> list[Row]:
    """Every row with its captions. All are sent before the first is waited for, so that none waits for another."""

    def send(row: Row) -> Row:
        return {"image": row["image"], "asked": ask(row, context)}

    def receive(row: Row) -> Row:
        try:
            return finish(row["asked"], context)
        finally:
            context.progress.add(rows=1)

    sent = map_rows("caption", send, rows, stop=context.stop)
    context.progress.add(rows=sum("reject" in row for row in sent))
    return map_rows("caption", receive, sent, stop=context.stop)


def _body(context: RunContext, step: Step) -> list[Row]:
    return caption_rows(context.storage.read(step), context)


def _identity(context: RunContext) -> dict[str, Any]:
    return context.captioner.identity()


CAPTION = StepSpec("caption", STEP_VERSION, (), _body, extra=_identity)


@task(name="caption", task_run_name="caption {step.shard:05d}", cache_policy=NO_CACHE)
def caption(step: Step, config: RegionCapConfig) -> State[Step]:
    """Step 6: every region gets its sentence; what was answered before is not asked again."""
    return run_step(CAPTION, context_of(config), step)
