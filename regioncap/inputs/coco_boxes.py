"""The box of a COCO annotation: its `bbox`, or where it has none the smallest box round its segmentation.

Segmentations: https://cocodataset.org/#format-data. Run lengths as in the COCO API (`maskApi.c`, `rleFrString` and
`rleToBbox`): columns from left to right, each from the top, beginning with a run of background.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from regioncap.records import Row

Corners = tuple[float, float, float, float]
"""(x1, y1, x2, y2) in pixels."""

DECIMALS = 3
"""Those of a box made here: differences of floats have more than their terms."""


def has_box(annotation: Row) -> bool:
    """Whether an annotation says where it is."""
    return is_box(annotation.get("bbox")) or bool(annotation.get("segmentation"))


def is_box(value: Any) -> bool:
    """Whether `value` has the form of a box; its numbers are judged later."""
    return isinstance(value, list) and len(value) == 4


def box_from(annotation: Row, box_format: str | None) -> list[Any]:
    """The `bbox` of an annotation as it is given, or the box round its segmentation in `box_format` (None: in none).

    Four nulls where there is neither: such a box is dropped later, with a reason.
    """
    if is_box(annotation.get("bbox")):
        return list(annotation["bbox"])
    corners = hull_of(annotation.get("segmentation")) if box_format else None
    if corners is None:
        return [None] * 4
    x1, y1, x2, y2 = corners
    width, height = x2 - x1, y2 - y1
    box = {
        "xyxy": (x1, y1, x2, y2),
        "cxcywh": (x1 + width / 2, y1 + height / 2, width, height),
    }.get(box_format or "", (x1, y1, width, height))
    return [round(number, DECIMALS) for number in box]


def hull_of(segmentation: Any) -> Corners | None:
    """The smallest box round polygons (lists of x, y, x, y, …) or a mask in run lengths (`counts`, `size`).

    None where there is none: nothing in it, or not of these forms.
    """
    try:
        if isinstance(segmentation, dict):
            height = int(segmentation["size"][0])
            return _hull_of_runs(_runs(segmentation["counts"]), height) if height > 0 else None
        return _hull_of_polygons(segmentation)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError):
        return None


def _hull_of_polygons(polygons: Any) -> Corners | None:
    flat = polygons if polygons and isinstance(polygons[0], list) else [polygons]
    points = [(float(x), float(y)) for one in flat for x, y in zip(one[::2], one[1::2], strict=True)]
    if len(points) < 2 or not all(math.isfinite(number) for point in points for number in point):
        return None
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _hull_of_runs(runs: Sequence[int], height: int) -> Corners | None:
    left = top = math.inf
    right = bottom = 0
    start = 0
    for place, length in enumerate(runs):
        if length < 0:
            raise ValueError("a run of negative length")
        if place % 2 and length:
            (x1, y1), (x2, y2) = divmod(start, height), divmod(start + length - 1, height)
            if x1 != x2:
                y1, y2 = 0, height - 1  # goes on at the top of the next column
            left, top, right, bottom = min(left, x1), min(top, y1), max(right, x2 + 1), max(bottom, y2 + 1)
        start += length
    return (left, top, right, bottom) if right else None


def _runs(counts: Any) -> list[int]:
    """Run lengths from a list, or from COCO's text: six bits a character; from the fourth, less the last but one."""
    if not isinstance(counts, str):
        return [int(count) for count in counts]
    runs: list[int] = []
    for number in _numbers(counts.encode("ascii")):
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
    return runs


def _numbers(text: bytes) -> Iterator[int]:
    number = shift = 0
    for sign in text:
        bits = sign - 48
        if not 0 <= bits < 64:
            raise ValueError("not a mask in COCO's text")
        number |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            yield number - (1 << shift) if bits & 0x10 else number
            number = shift = 0
    if shift:
        raise ValueError("the mask is cut off")
