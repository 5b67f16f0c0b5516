"""How well boxes fit their pictures if they are read in a format and unit: shares of boxes, each row weighing the same.

Works on numbers alone. What the shares mean is decided in `regioncap.preflight.box_format`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import get_args

from regioncap.config.fields_input import BoxFormat, BoxUnit
from regioncap.vision.boxes import SCALES, to_xywh

PLAIN_SIZE = (1000, 1000)
"""Stands for the size of a picture where it does not matter."""

TINY_SIDE = 8
"""On pictures up to this size, boxes of a pixel are boxes."""

SLACK = 0.02
"""Share of the picture's side by which a box may reach beyond it: annotators and rounding cause that."""


@dataclass(frozen=True)
class RowBoxes:
    """The boxes (four finite numbers each, as given) of a picture of `width` x `height` pixels."""

    boxes: list[list[float]]
    width: int
    height: int


def count_boxes(seen: Sequence[RowBoxes]) -> int:
    """The number of boxes in all rows."""
    return sum(len(one.boxes) for one in seen)


def fills(seen: Sequence[RowBoxes], box_format: BoxFormat, unit: BoxUnit) -> bool:
    """Whether boxes use the range of a unit: some end far from its beginning."""
    if unit in ("px", "0-1"):
        return True
    ends = sorted(max(ends_of(box, box_format)) for one in seen for box in one.boxes)
    return bool(ends) and ends[int(0.9 * len(ends))] >= 0.7 * SCALES[unit]


def ends_of(box: Sequence[float], box_format: BoxFormat) -> tuple[float, float]:
    """The right and the bottom end of a box, in its own unit."""
    a, b, c, d = box
    match box_format:
        case "xywh":
            return a + c, b + d
        case "xyxy":
            return c, d
        case "cxcywh":
            return a + c / 2, b + d / 2


def share_of_fractions(seen: Sequence[RowBoxes]) -> float:
    """The share of boxes, 0 to 1, whose numbers are about 0..1; padding (four times the same number) and tiny pictures
    aside."""
    large = [one for one in seen if max(one.width, one.height) > TINY_SIDE]
    rows = [[is_fraction(box) for box in one.boxes if len(set(box)) > 1] for one in large]
    shares = [fmean(row) for row in rows if row]
    return fmean(shares) if shares else 0.0


def is_fraction(box: list[float]) -> bool:
    """Whether a box's numbers are about 0..1, and it is no padding."""
    return all(-0.1 <= number <= 1.1 for number in box) and len(set(box)) > 1


def usable(seen: list[RowBoxes]) -> list[RowBoxes]:
    """The boxes that fit some form: the others say nothing about which is right."""
    forms = [(one, unit) for one in get_args(BoxFormat) for unit in get_args(BoxUnit)]
    return [
        RowBoxes([box for box in one.boxes if any(_fits(box, one, *form) for form in forms)], one.width, one.height)
        for one in seen
    ]


def misfits(seen: Sequence[RowBoxes], box_format: BoxFormat, unit: BoxUnit, slack: float = SLACK) -> float:
    """The share of boxes, 0 to 1, that have no area, or reach beyond their picture, if read in this form."""
    shares = [fmean(not _fits(box, one, box_format, unit, slack) for box in one.boxes) for one in seen if one.boxes]
    return fmean(shares) if shares else 0.0


def _fits(box: list[float], one: RowBoxes, box_format: BoxFormat, unit: BoxUnit, slack: float = SLACK) -> bool:
    x, y, w, h = to_xywh(box, box_format, unit, one.width, one.height)
    dx, dy = max(2.0, slack * one.width), max(2.0, slack * one.height)
    return w > 0 and h > 0 and x >= -dx and y >= -dy and x + w <= one.width + dx and y + h <= one.height + dy
