"""The picture that boxes were made on, whose size a row tells, beside the same picture as it is displayed.

They differ where pictures were scaled after they were annotated, and where they were annotated as stored, before their
EXIF orientation was applied. Works on numbers alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from regioncap.errors import RowReject
from regioncap.vision.boxes import PIXEL_DECIMALS, BoxUnit

Size = tuple[int, int]
"""(width, height) in pixels."""

SIZE_KEYS = (("image_width", "image_height"), ("width", "height"))
"""The keys under which rows tell the size of their image; those that can mean nothing else first."""

MAX_SIDE = 10_000_000
"""A row that tells a longer side does not speak of a picture."""

TOLERANCE = 0.01
"""Share of a side by which a size may differ: no box is misplaced by that."""

NEARLY_SQUARE = 1.05
"""Up to this ratio of the sides nobody can tell whether a picture was turned."""

STRETCHED = 1.02
"""Ratio of the two scales from which a picture has another shape, not only another size."""

FIRST_TURNED = 5
"""EXIF orientations from this one on exchange width and height."""

Relation = Literal["same", "resized", "turned", "exchanged"]


def stated_size(row: Mapping[str, Any]) -> Size | None:
    """The size of the image that a row tells, as whole numbers or (from CSV) their text; None where it tells none.

    >>> stated_size({"image": "a.jpg", "width": "640", "height": "480.0"})
    (640, 480)
    """
    for names in SIZE_KEYS:
        width, height = (_side(row.get(name)) for name in names)
        if width is not None and height is not None:
            return width, height
    return None


def _side(value: Any) -> int | None:
    if isinstance(value, str):
        number = re.fullmatch(r"\s*(\d{1,8})(\.0*)?\s*", value, re.ASCII)
        value = int(number[1]) if number else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 1 <= value <= MAX_SIDE else None


def relation(stated: Size, shown: Size, orientation: int) -> Relation:
    """How the size that a row tells differs from that of its picture as displayed, given its EXIF orientation.

    `turned`: it lies across, and the orientation explains that: it is the size of the picture as stored. `exchanged`:
    it lies across, and nothing explains that.
    """
    across = (stated[0] - stated[1]) * (shown[0] - shown[1]) < 0
    if across and orientation >= FIRST_TURNED:
        return "turned"
    if same_size(stated, shown):
        return "same"
    nearly_square = min(max(size) / min(size) for size in (stated, shown)) <= NEARLY_SQUARE
    return "exchanged" if across and not nearly_square else "resized"


def same_size(one: Size, other: Size) -> bool:
    """Whether two sizes are the same, but for rounding."""
    return all(abs(a - b) <= max(1, TOLERANCE * b) for a, b in zip(one, other, strict=True))


@dataclass(frozen=True)
class Frame:
    """A picture of `size` that is scaled, and turned by EXIF `orientation` (1: not), to be displayed as `shown`."""

    size: Size
    shown: Size
    orientation: int = 1

    def place(self, box: Sequence[float]) -> list[float]:
        """The xywh pixel box on the picture as displayed, 2 decimals; four infinities if it overflows float64.

        >>> Frame((600, 300), (300, 600), 6).place([350, 50, 200, 100])
        [150.0, 350.0, 100.0, 200.0]
        """
        try:
            return [round(number, PIXEL_DECIMALS) + 0.0 for number in self._placed(*box)]
        except OverflowError:
            return [math.inf] * 4

    def _placed(self, x: float, y: float, w: float, h: float) -> list[float]:
        width, height = self.shown
        turned = self.orientation >= FIRST_TURNED
        before = (height, width) if turned else (width, height)
        scale_x, scale_y = before[0] / self.size[0], before[1] / self.size[1]
        x, y, w, h = x * scale_x, y * scale_y, w * scale_x, h * scale_y
        # As pixels are turned: see `regioncap.vision.images`.
        if turned:
            x, y, w, h = y, x, h, w
        if self.orientation in (2, 3, 6, 7):
            x = width - x - w
        if self.orientation in (3, 4, 7, 8):
            y = height - y - h
        return [x, y, w, h]


def frame_of(stated: Size, shown: Size, orientation: int) -> Frame | None:
    """The picture of the size that a row tells; None where it is the picture as displayed.

    Raises RowReject `bad_row` if nothing tells how the one became the other.
    """
    how = relation(stated, shown, orientation)
    if how == "exchanged":
        raise RowReject(
            "bad_row",
            f"{_sizes(stated, shown)}, and no EXIF orientation turns it, so nothing tells where the boxes are; correct "
            "the row's width and height, or set box_size=picture if its boxes are right",
        )
    if how == "turned":
        return Frame(stated, shown, orientation)
    return None if stated == shown else Frame(stated, shown)


def frame_warning(stated: Size, shown: Size, orientation: int) -> str:
    """What is doubtful about boxes made on a picture of the size that a row tells; "" where nothing is."""
    how = relation(stated, shown, orientation)
    unclear = orientation >= FIRST_TURNED and (stated[0] == stated[1] or shown[0] == shown[1])
    if 1 < orientation < FIRST_TURNED or unclear:
        return (
            f"EXIF orientation {orientation} is applied to the image, and its size does not tell whether the boxes "
            "were made before that; they are taken as made on the image as displayed"
        )
    across = shown[::-1] if how == "turned" else shown
    scales = [side / own for side, own in zip(across, stated, strict=True)]
    if max(scales) / min(scales) > STRETCHED and how != "same":
        return f"{_sizes(stated, shown)}, which has another shape; the boxes were stretched with it"
    return ""


def size_warning(stated: Size | None, shown: Size, boxes: Iterable[Sequence[float]], unit: BoxUnit) -> str:
    """What is doubtful about boxes (xywh pixels) that were taken as made on the picture as displayed; "" if nothing is.

    `unit`: that of the row's numbers; a picture that was scaled moves no fractions.
    """
    if stated is None or same_size(stated, shown) or not speaks_of_boxes(stated, boxes):
        return ""
    if unit != "px" and not same_size(stated, shown[::-1]):
        return ""
    return f"{_sizes(stated, shown)}; the boxes may be made for the other size, see box_size"


def speaks_of_boxes(size: Size, boxes: Iterable[Sequence[float]]) -> bool:
    """Whether at least half of the boxes (xywh pixels) lie on a picture of this size: else it is the size of something
    else, such as a product's."""
    fits = [x + w <= 1.02 * size[0] + 2 and y + h <= 1.02 * size[1] + 2 for x, y, w, h in boxes]
    return 2 * sum(fits) >= len(fits)


def _sizes(stated: Size, shown: Size) -> str:
    return f"the row tells a size of {stated[0]}x{stated[1]}, its image has {shown[0]}x{shown[1]}"
