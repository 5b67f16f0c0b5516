"""The regions of a picture that brought none, by asking a model: each question is asked once, and its answer kept.

A question is a request like those for captions, and its answer is stored and found again like theirs: see
`tasks/answers.py`. The answer is stored as the model gave it, and read each time: see
`regioncap/captioners/reading/found_boxes.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from regioncap.captioners.base import CaptionRequest, CaptionResult, Prompt
from regioncap.captioners.chat import REGIONS
from regioncap.captioners.prompts import fill
from regioncap.captioners.reading.found_boxes import BOX_RULES_VERSION, FoundBoxes, read_found
from regioncap.config.coordinates import Coordinates
from regioncap.config.model import RegionCapConfig
from regioncap.config.templates import EVERY_OBJECT
from regioncap.errors import RowReject
from regioncap.masking import outside_text
from regioncap.records import QUOTED_CHARS, WITHOUT_BBOX, Row, cut_text, rejected
from regioncap.run.context import RunContext
from regioncap.run.in_flight import PendingAnswer
from regioncap.storage.answers import answer_key
from regioncap.tasks.answers import obtain
from regioncap.tasks.cached_answer import CachedAnswer
from regioncap.tasks.draw_row import read_unchanged
from regioncap.vision.boxes import PIXEL_DECIMALS
from regioncap.vision.found_regions import LABEL, Regions, found_in
from regioncap.vision.images import Picture, encode_jpeg, fit_size

KEY_VERSION = 1
"""Of the answers' keys."""

QUESTION = "question"
"""The key of a row that has the name of the answer that gave it its regions, or none. Later steps of a row may lack the
fields that the question was made of."""

FINDER_VERSION = 2
"""Raise it when the same boxes in an answer become other regions."""


@dataclass(frozen=True)
class ModelFinds:
    """What a model's answer gives for a row.

    `boxes`: xywh, whole pixels. `labels`: one each, None where it gave none. `dropped`: boxes of the answer that are no
    regions, as `dropped_bbox` has them. `said`: its begin, to be quoted. `problem`: why there are no boxes. `warnings`:
    sentences for the row.
    """

    boxes: list[list[int]]
    labels: list[str | None]
    dropped: list[Row]
    said: str
    problem: str
    warnings: list[str]


def coordinates_of(config: RegionCapConfig) -> Coordinates:
    """How the model gives boxes; the config was checked for it."""
    coordinates = config.find_box_coordinates
    assert coordinates is not None
    return coordinates


def question_of(config: RegionCapConfig, fields: dict[str, Any]) -> Prompt:
    """What is asked about a row's picture. `fields`: the row's keys that templates name. Raises RowReject `bad_row`
    when the row lacks one."""
    coordinates = coordinates_of(config)
    listed = {name: _listed(value) for name, value in fields.items()}
    values = {
        **fields,
        "find": fill(config.find, listed).strip() or EVERY_OBJECT,
        "box_form": coordinates.form,
        "box_key": "box_2d" if coordinates.y_first else "bbox_2d",
        "max_boxes": config.max_boxes,
    }
    return Prompt(fill(config.find_prompt, values))


def _listed(value: Any) -> Any:
    """A list of words as they are named in a sentence."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value


def identity_of(context: RunContext) -> dict[str, Any]:
    """The model that is asked for regions, and how: what decides its answer besides the picture and the question."""
    # How captions are asked for is nothing to this question.
    return {name: value for name, value in context.region_model.identity().items() if name != "prompt_mode"}


def key_parts(context: RunContext) -> dict[str, Any]:
    """What decides the regions of rows besides the settings that `extract` reads: part of that step's key."""
    return {
        "asked": identity_of(context),
        "coordinates": asdict(coordinates_of(context.config)),
        "max_pixels": context.config.max_pixels,
        "rules": [BOX_RULES_VERSION, FINDER_VERSION],
    }


def sent_size(row: Row, config: RegionCapConfig) -> tuple[int, int]:
    """(width, height) in pixels of the picture that the model gets of a row."""
    return fit_size((row["width"], row["height"]), max_pixels=config.max_pixels)


def key_of_question(row: Row, question: Prompt, context: RunContext) -> str:
    """The key of the answer to the question about a row: everything that decides its words, and nothing else."""
    return answer_key(
        {
            "key_version": KEY_VERSION,
            "asked_for": REGIONS,
            "image_sha256": row["image_sha256"],
            "sent_wh": list(sent_size(row, context.config)),
            "prompt": question.text,
            "system_prompt": question.system,
            **identity_of(context),
        }
    )


def ask_for_regions(
    row: Row,
    context: RunContext,
    *,
    ignore_cached: bool = False,
    early: Mapping[str, PendingAnswer] = MappingProxyType({}),
) -> PendingAnswer:
    """Look up what a model said about the regions of a row, and ask it if that is not stored.

    `row`: with `image`, `image_sha256`, `width`, `height`, `fields`. `early`: what was asked before, by the answer's
    key. Raises RowReject for a row that lacks a field.
    """
    question = question_of(context.config, row.get("fields", {}))
    key = key_of_question(row, question, context)
    if key in early:
        return early[key]
    request = CaptionRequest(
        name=row["image"],
        image=lambda: read_unchanged(row, context.images.read),
        marked=lambda: unmarked_jpeg(row, context),
        width=row["width"],
        height=row["height"],
        picture_wh=sent_size(row, context.config),
        bbox=(),
        wanted=(1,),
        fields=row.get("fields", {}),
        question=question,
    )
    return obtain(key, row, request, context, prompt=question.text, needed=(1,), ignore_cached=ignore_cached)


def known_answer(row: Row, context: RunContext) -> CaptionResult:
    """As `ask_for_regions`, of what is stored, asking nobody. Raises RowReject `no_regions` where nothing is."""
    question = question_of(context.config, row.get("fields", {}))
    cached = CachedAnswer.find(key_of_question(row, question, context), (1,), context)
    if not cached.captions:
        raise RowReject("no_regions", "no model was asked for its regions yet")
    return CaptionResult(cached.captions, cached.usage, cached.warnings, cut=cached.cut)


def keys_of_questions(row: Row, context: RunContext) -> Iterator[str]:
    """The key of the answer that gave a row its regions, or none; `row`: from `extract` or a later step, also a reject.

    Raises RowReject for a row that lacks a field of the question.
    """
    if QUESTION in row:
        yield row[QUESTION]
    elif context.config.asks_for_regions and row.get("type") == WITHOUT_BBOX:
        yield key_of_question(row, question_of(context.config, row.get("fields", {})), context)


def unmarked_jpeg(row: Row, context: RunContext) -> bytes:
    """The picture that the model gets: as displayed, scaled to `max_pixels`, without marks. Raises RowReject."""
    config = context.config
    picture = Picture(read_unchanged(row, context.images.read), max_image_pixels=config.max_image_pixels)
    return encode_jpeg(picture.pixels(max_pixels=config.max_pixels), config.jpeg_quality)


def regions_in(result: CaptionResult, row: Row, config: RegionCapConfig) -> ModelFinds:
    """What the answer about a row gives. Raises RowReject `caption_failed` where none came."""
    if 1 not in result.captions:
        why = result.message or "no answer came"
        raise RowReject("caption_failed", f"the model that was asked for the picture's regions gave none: {why}")
    said, size = result.captions[1], (row["width"], row["height"])
    found = read_found(said, size, sent_size(row, config), coordinates_of(config), cut=result.cut)
    boxes = [region.box for region in found.regions]
    # All of them: `normalize` drops those beyond `max_boxes`, on record.
    rounded = found_in(Regions(boxes), size, size, max_boxes=len(boxes), min_score=-math.inf).boxes
    labels = [region.label for region in found.regions]
    quoted = cut_text(outside_text(said[: 20 * QUOTED_CHARS], max_chars=20 * QUOTED_CHARS), QUOTED_CHARS)
    return ModelFinds(rounded, labels, _dropped(found), quoted, found.problem, list(result.warnings))


def _dropped(found: FoundBoxes) -> list[Row]:
    # What is no box of the picture has no numbers to show; the model's own words are beside it.
    return [
        {
            "bbox": [None] * 4 if drop.box is None else [round(number, PIXEL_DECIMALS) for number in drop.box],
            "reason": drop.reason,
            "text": drop.text,
        }
        for drop in found.dropped
    ]


def found_row(finds: ModelFinds, row: Row, fallback: Callable[[], list[list[int]]], context: RunContext) -> Row:
    """A row of `extract` with the regions of a model's answer. `fallback`: finds them where the model named none.

    A reject `no_regions` where there are none after all, with the boxes that were dropped.
    """
    config, why = context.config, f" ({finds.problem})" if finds.problem else ""
    boxes, labels, warnings = finds.boxes, finds.labels, [*row.get("warnings", []), *finds.warnings]
    if not boxes and config.find_fallback == "edges":
        boxes = fallback()
        labels = [None] * len(boxes)
        warnings.append(f"the model named no region{why}; the regions are those of 'edges'")
    if not boxes:
        too = ", and 'edges' found none" if config.find_fallback == "edges" else ""
        message = f"the model named no region{why}{too}; it said: {finds.said}"
        return rejected("extract", "no_regions", message, **_kept_of_reject(finds, row, context))
    (key,) = keys_of_questions(row, context)
    return {
        **row,
        QUESTION: key,
        "boxes": boxes,
        "found_fields": {LABEL: labels},
        **({"found_dropped": finds.dropped} if finds.dropped else {}),
        **({"warnings": warnings} if warnings else {}),
    }


def _kept_of_reject(finds: ModelFinds, row: Row, context: RunContext) -> Row:
    """What a reject keeps: the name of the answer, which was paid for, and the boxes that were dropped."""
    (key,) = keys_of_questions(row, context)
    dropped = [{"index": index, **drop} for index, drop in enumerate(finds.dropped)]
    return {QUESTION: key, **({"dropped_bbox": dropped} if dropped else {})}
