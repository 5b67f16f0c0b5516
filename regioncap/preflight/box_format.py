"""Whether boxes have the format and unit that the config says, checked before the first run.

A wrong format shows: corners read as width and height reach beyond the picture, fractions of the picture read as pixels
are all 1 or less. A run with it would pay for captions of the wrong regions.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import get_args

from regioncap.config.fields_input import BoxFormat, BoxUnit
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject, UsageError
from regioncap.image_ref import ImageRef, ref_of
from regioncap.preflight.first_rows import FirstRows
from regioncap.records import Row
from regioncap.row_keys import boxes_at
from regioncap.row_work import row_work
from regioncap.run.context import RunContext
from regioncap.tasks.load import load_row
from regioncap.vision.boxes import to_xywh
from regioncap.vision.images import read_info

IMAGES_TO_READ = 64
"""Pictures whose size is read, where rows do not say it."""

MIN_BOXES = 3
"""With fewer boxes nothing is concluded."""

MAX_MISFITS = 0.3
"""Share of boxes that may not fit the given format before others are tried."""

MIN_FITS = 0.95
"""Share of boxes that another format must fit to be suggested."""

PLAIN_SIZE = (1000, 1000)
"""Stands for the size of a picture where it does not matter."""

MAX_SIDE = 10_000_000
"""A row that says a longer side does not speak of a picture."""

SLACK = 0.02
"""Share of the picture's side by which a box may reach beyond it: annotators and rounding cause that."""


@dataclass(frozen=True)
class RowBoxes:
    """The boxes (four finite numbers each, as given) of a picture of `width` x `height` pixels."""

    boxes: list[list[float]]
    width: int
    height: int


def check_box_format(context: RunContext, rows: FirstRows) -> None:
    """Raises UsageError when the first rows' boxes look like another format or unit than the config's.

    Skipped when the output's last run had the same input and box settings, or `box_check` is off.
    """
    config = context.config
    if not config.box_check or rows.are_known():
        return
    seen = _seen(context, rows)
    found = better_format(seen, config.bbox_format, config.bbox_unit)
    if found is None:
        return
    count = sum(len(one.boxes) for one in seen)
    example = next(box for one in seen for box in one.boxes)
    flags = " ".join(f"{_flag(name)} {value}" for name, value in found.items())
    raise UsageError(
        f"bbox: expected {config.bbox_format} in {config.bbox_unit}, but these look like {_named(found)}: {count:,} "
        f"boxes of the first rows, such as {example}. Set {flags}, or --no-box-check if they are right"
    )


def better_format(seen: list[RowBoxes], box_format: BoxFormat, unit: BoxUnit) -> dict[str, str] | None:
    """The `bbox_format` and `bbox_unit` that fit these boxes much better than the given ones, whichever differ; None if
    the given ones may be right, or no others fit."""
    count = sum(len(one.boxes) for one in seen)
    fractions = unit != "0-1" and _are_fractions(seen)
    if not fractions:
        few = count < MIN_BOXES or _misfits(seen, box_format, unit) <= MAX_MISFITS * count
        if few or not _misfits(seen, box_format, unit, slack=0.1):
            return None  # large boxes of a careless annotator stick out a little, all of them
    units: tuple[BoxUnit, ...] = ("0-1",) if fractions else get_args(BoxUnit)
    given = {"bbox_format": box_format, "bbox_unit": unit}
    # Those that share a setting with the given form are tried first.
    for other_unit in sorted(units, key=lambda one: one != unit):
        for other in sorted(get_args(BoxFormat), key=lambda one: one != box_format):
            found = {"bbox_format": other, "bbox_unit": other_unit}
            if found != given and _misfits(seen, other, other_unit) <= (1 - MIN_FITS) * count:
                return {name: value for name, value in found.items() if value != given[name]}
    return {"bbox_unit": "0-1"} if fractions else None


def _are_fractions(seen: list[RowBoxes]) -> bool:
    numbers = [number for one in seen for box in one.boxes for number in box]
    return bool(numbers) and all(0 <= number <= 1 for number in numbers)


def _misfits(seen: list[RowBoxes], box_format: BoxFormat, unit: BoxUnit, slack: float = SLACK) -> int:
    """How many boxes have no area, or reach beyond their picture, if read in this format and unit."""
    return sum(not _fits(box, one, box_format, unit, slack) for one in seen for box in one.boxes)


def _fits(box: list[float], one: RowBoxes, box_format: BoxFormat, unit: BoxUnit, slack: float) -> bool:
    x, y, w, h = to_xywh(box, box_format, unit, one.width, one.height)
    dx, dy = max(2.0, slack * one.width), max(2.0, slack * one.height)
    return w > 0 and h > 0 and x >= -dx and y >= -dy and x + w <= one.width + dx and y + h <= one.height + dy


def _named(found: dict[str, str]) -> str:
    return " in ".join(value for value in (found.get("bbox_format"), found.get("bbox_unit")) if value)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


# --- what there is to see


def _seen(context: RunContext, first: FirstRows) -> list[RowBoxes]:
    """The boxes of the first rows, with the size of their pictures: as the rows say, else read from a sample of the
    files."""
    rows = _rows_with_boxes(context.config, first)
    unsized = [RowBoxes(row["boxes"], *PLAIN_SIZE) for row in rows]
    if _are_fractions(unsized):
        return unsized
    known = [row for row in rows if row["size"] is not None]
    asked = [row for row in rows if row["size"] is None]
    asked = asked[:: max(1, len(asked) // IMAGES_TO_READ)][: max(0, IMAGES_TO_READ - len(known))]
    sizes = context.threads.io.map(lambda row: _size_of_file(row["ref"], context), asked)
    found = [(row, row["size"]) for row in known] + list(zip(asked, sizes, strict=True))
    return [RowBoxes(row["boxes"], *size) for row, size in found if size is not None]


def _rows_with_boxes(config: RegionCapConfig, first: FirstRows) -> list[Row]:
    found = []
    for source, number, text in first.lines():
        row = load_row(number, source, text, config.image_key)
        if "reject" in row:
            continue
        with contextlib.suppress(RowReject), row_work("box_check", row["image"]):
            boxes = boxes_at(row["row"], config.boxes_key) or []
            finite = [[float(number) for number in box if number is not None] for box in boxes]
            finite = [box for box in finite if len(box) == 4]
            if finite:
                found.append({"ref": ref_of(row), "boxes": finite, "size": _size_in(row["row"])})
    return found


def _size_in(row: Row) -> tuple[int, int] | None:
    width, height = row.get("width"), row.get("height")
    if not isinstance(width, int) or not isinstance(height, int) or not min(width, height) >= 1:
        return None
    return (width, height) if max(width, height) <= MAX_SIDE else None


def _size_of_file(image: ImageRef, context: RunContext) -> tuple[int, int] | None:
    with contextlib.suppress(RowReject), row_work("box_check", image):
        info = read_info(context.images.read(image), max_image_pixels=context.config.max_image_pixels)
        return info.width, info.height
    return None
