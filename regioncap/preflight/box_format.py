"""Whether boxes have the format and unit that the config says, checked before the first run.

A wrong format shows: corners read as width and height reach beyond the picture, fractions of the picture read as pixels
are all about 1 or less. A run with it would pay for captions of the wrong regions. Data is noisy, so shares of rows
decide, each row with the same weight; where they leave a doubt the run goes on with a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from regioncap.config.fields_input import BoxFormat, BoxUnit
from regioncap.errors import UsageError
from regioncap.preflight.box_fit import (
    PLAIN_SIZE,
    RowBoxes,
    count_boxes,
    ends_of,
    fills,
    is_fraction,
    misfits,
    share_of_fractions,
    usable,
)
from regioncap.preflight.box_sample import SampledRow, sample_rows
from regioncap.preflight.box_size import check_box_sizes, is_size_of_boxes
from regioncap.preflight.first_rows import FirstRows
from regioncap.run.context import RunContext
from regioncap.vision.boxes import SCALES

MIN_BOXES = 3
"""With fewer boxes nothing is concluded."""

MAX_MISFITS = 0.3
"""Share of boxes that may not fit the given format before others are tried."""

DOUBTFUL_MISFITS = 0.1
"""From this share on there is a warning; another format is suggested only if fewer boxes do not fit it."""

CARELESS_MISFITS = 0.2
"""Of boxes that only reach out a little, no more than these reach out by more than `CARELESS_SLACK`."""

FRACTIONS = 0.8
"""Share of boxes with numbers of about 0..1 from which all are taken for fractions."""

CARELESS_SLACK = 0.1

TIGHT_SLACK = 0.005
"""Where formats are compared with each other."""

RIVAL_MISFITS = 0.01
"""Share of boxes by which another format must fit better."""

ENOUGH_BOXES = 20
"""For what shows only in some boxes."""


def check_box_format(context: RunContext, rows: FirstRows) -> list[str]:
    """What is doubtful about the first rows' boxes, in words; nothing where nothing is.

    Skipped when the output's last run had the same input and box settings, or `box_check` is off. Raises UsageError
    when the boxes look like another format, unit or size than the config's.
    """
    config = context.config
    if not config.box_check or rows.are_known():
        return []
    sampled = sample_rows(context, rows)
    seen = seen_boxes(sampled, config.bbox_unit)
    found = better_format(seen, config.bbox_format, config.bbox_unit)
    if found is not None:
        flags = " ".join(f"{_flag(name)} {value}" for name, value in found.items())
        boxes = [box for one in seen for box in one.boxes]
        example = next(filter(is_fraction, boxes), boxes[0]) if found.get("bbox_unit") == "0-1" else boxes[0]
        raise UsageError(
            f"bbox: expected {config.bbox_format} in {config.bbox_unit}, but these look like {_named(found)}: "
            f"{len(boxes):,} boxes of the first rows, such as {example}. Set {flags}, or --no-box-check if they are "
            "right"
        )
    check_box_sizes(sampled, config)
    doubtful = doubt(seen, config.bbox_format, config.bbox_unit)
    return [f"bbox: {doubtful}"] if doubtful else []


def seen_boxes(sampled: Sequence[SampledRow], unit: BoxUnit) -> list[RowBoxes]:
    """The boxes with the size of the picture that they were made on: as the row tells it, else as its file does.

    Where they are fractions, also those of pictures whose size is not known: it does not matter.
    """
    every = [RowBoxes(row.boxes, *(row.header.shown if row.header else PLAIN_SIZE)) for row in sampled]
    if share_of_fractions(every) >= FRACTIONS:
        return every
    found = []
    for row in sampled:
        if row.stated is not None and is_size_of_boxes(row.boxes, row.stated, unit):
            found.append(RowBoxes(row.boxes, *row.stated))
        elif row.header is not None:
            found.append(RowBoxes(row.boxes, *row.header.shown))
    return found


def better_format(seen: list[RowBoxes], box_format: BoxFormat, unit: BoxUnit) -> dict[str, str] | None:
    """The `bbox_format` and `bbox_unit` that fit these boxes much better than the given ones, whichever differ; None if
    the given ones may be right, or no others fit."""
    fractions = share_of_fractions(seen) >= FRACTIONS
    most = DOUBTFUL_MISFITS
    if fractions:
        seen = [RowBoxes([box for box in one.boxes if is_fraction(box)], *PLAIN_SIZE) for one in seen]
    if not (fractions and unit != "0-1"):
        if misfits(seen, box_format, unit) <= MAX_MISFITS:
            return None
        seen = usable(seen)
        few = count_boxes(seen) < MIN_BOXES or misfits(seen, box_format, unit) <= MAX_MISFITS
        far = misfits(seen, box_format, unit, CARELESS_SLACK)
        if few or far <= CARELESS_MISFITS:
            return None  # large boxes of a careless annotator stick out a little, all of them
        most = min(most, far / 3)
    found = _best(seen, ("0-1",) if fractions else get_args(BoxUnit), (box_format, unit), most)
    if found is None:
        return {"bbox_unit": "0-1"} if fractions and unit != "0-1" else None
    given = {"bbox_format": box_format, "bbox_unit": unit}
    named = dict(zip(given, found, strict=True))
    return {name: value for name, value in named.items() if value != given[name]}


def doubt(seen: list[RowBoxes], box_format: BoxFormat, unit: BoxUnit) -> str:
    """What is doubtful about boxes that `better_format` accepts; "" where nothing is."""
    fractions = share_of_fractions(seen)
    if unit != "0-1" and fractions >= DOUBTFUL_MISFITS:
        return f"{fractions:.0%} of the boxes of the first rows look like fractions of the picture; see bbox_unit"
    share = misfits(seen, box_format, unit, CARELESS_SLACK)
    if count_boxes(seen) >= MIN_BOXES and share > DOUBTFUL_MISFITS:
        return (
            f"{share:.0%} of the boxes of the first rows reach beyond their pictures or have no area; see bbox_format, "
            "bbox_unit and box_size"
        )
    return _rival(seen, box_format, unit) or _unused_range(seen, box_format, unit)


def _rival(seen: list[RowBoxes], box_format: BoxFormat, unit: BoxUnit) -> str:
    """Few boxes reach beyond their pictures, but in another format none would: small boxes tell their format only at
    the borders."""
    share = misfits(seen, box_format, unit, TIGHT_SLACK)
    if count_boxes(seen) < ENOUGH_BOXES or share < RIVAL_MISFITS:
        return ""
    for other in get_args(BoxFormat):
        if other != box_format and misfits(seen, other, unit, TIGHT_SLACK) <= share / 5:
            return f"{share:.0%} of the boxes of the first rows reach beyond their pictures; as {other} they would not"
    return ""


def _unused_range(seen: list[RowBoxes], box_format: BoxFormat, unit: BoxUnit) -> str:
    """All boxes end before 100 or 1000, on pictures that are much longer."""
    for other in ("0-100", "0-1000"):
        most = SCALES[other]
        ends = [
            # Boxes amid larger pictures may begin, and be as large, below 1000; not all of them on much larger ones.
            max(box) if side >= 3 * most else max(ends_of(box, box_format))
            for one in seen
            if (side := _side(one, unit)) >= 1.5 * most
            for box in one.boxes
        ]
        if len(ends) >= ENOUGH_BOXES and 0.6 * most <= max(ends) <= 1.02 * most:
            return f"no box of the first rows reaches beyond {most}, on longer pictures; see bbox_unit {other}"
    return ""


def _side(one: RowBoxes, unit: BoxUnit) -> float:
    """The longer side of a picture in a unit."""
    return max(one.width, one.height) if unit == "px" else SCALES[unit]


def _best(
    seen: list[RowBoxes], units: Sequence[BoxUnit], given: tuple[BoxFormat, BoxUnit], most: float
) -> tuple[BoxFormat, BoxUnit] | None:
    """The form, other than the given one, that these boxes fit: of the given unit before others, in which any box of
    small pictures would fit; in this unit the format that they fit best, the given one in doubt."""
    formats: tuple[BoxFormat, ...] = get_args(BoxFormat)
    for unit in sorted(units, key=lambda one: one != given[1]):
        fit = [
            (misfits(seen, one, unit, TIGHT_SLACK) + (0 if one == given[0] else RIVAL_MISFITS), one)
            for one in formats
            if (one, unit) != given and misfits(seen, one, unit) <= most and fills(seen, one, unit)
        ]
        if fit:
            return min(fit)[1], unit
    return None


def _named(found: dict[str, str]) -> str:
    return " in ".join(value for value in (found.get("bbox_format"), found.get("bbox_unit")) if value)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
