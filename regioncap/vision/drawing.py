"""Draws the marks: the numbered boxes on the picture that the model sees.

Each region gets an outline in its own colour around the box (not over it, so that small objects stay visible) and a
label with its number. Both have a thin contrasting edge that makes them visible on any background. Labels are placed
where they hide least (`regioncap/vision/labels.py`); a leader line connects a label that does not touch its region.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from regioncap.vision.boxes import box_iou, clip_xywh
from regioncap.vision.labels import place_labels

DRAW_VERSION = 2
"""Part of every answer's key: raising it, as any change of the marks' appearance requires, recaptions every picture."""

Pixels = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]
IntBox = tuple[int, int, int, int]
"""xyxy in whole pixels; right and bottom are exclusive."""
Colour = tuple[int, int, int]
"""Blue, green, red, each 0..255."""

PALETTE_RGB = (
    (230, 25, 75),
    (0, 130, 255),
    (255, 225, 25),
    (0, 158, 115),
    (240, 50, 230),
    (245, 130, 0),
    (70, 240, 240),
    (128, 0, 160),
    (190, 255, 80),
    (150, 75, 0),
    (255, 180, 200),
    (0, 0, 160),
)
"""Neighbours in the list differ in lightness as well as in hue, so that they can be distinguished in greyscale and by
colour-blind readers. Based on Okabe and Ito, https://jfly.uni-koeln.de/color/, and Trubetskoy's list, saturated."""

TINY_SIDE = 12
"""A region with a shorter side than this (px, at the size that the model sees) gets a warning in its row."""
SAME_IOU = 0.9
"""Two regions with a higher IoU get a warning in their row."""

MAX_WARNINGS = 5

_FONT = cv2.FONT_HERSHEY_DUPLEX
_DRAWN_AT = 96
"""Digits are drawn at this height (px) and scaled down: sharper than drawn small, and identical in OpenCV 4 and 5."""

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_CROWDED_FROM = 16
"""With more regions than this, marks shrink, down to a factor of 0.7."""


@dataclass(frozen=True)
class _Sizes:
    """Dimensions of the marks in pixels: the `line` and its contrasting `edge` on either side, the height of the
    `digits`, and the `pad` between the digits and the label's border."""

    line: int
    edge: int
    digits: int
    pad: int

    @property
    def ring(self) -> int:
        return self.line + 2 * self.edge


def draw_marks(
    image: Pixels,
    boxes: Sequence[Sequence[float]],
    *,
    full_size_wh: tuple[int, int],
    dim: float,
    only: Sequence[int] | None = None,
    copy: bool = True,
) -> Pixels:
    """`image` with every box outlined and numbered, from 1: HxWx3 uint8, BGR, of the same size.

    `image`: HxWx3 uint8, BGR, at the size that the model sees; modified only if `copy` is False. `boxes`: N xywh in
    pixels of the full-size picture of `full_size_wh` (width, height); they are clipped to it. `dim`: brightness of the
    photo under the marks, 0..1 (1 leaves it unchanged). `only`: numbers of the regions to mark, if not all; they keep
    the numbers and colours that they have among all.

    Raises ValueError if `image` is not HxWx3 uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected HxWx3 uint8, got {image.shape} {image.dtype}; decode() returns such arrays")
    if dim != 1:
        image = cv2.convertScaleAbs(image, alpha=dim).astype(np.uint8, copy=False)
    canvas = np.array(image, order="C") if copy and dim == 1 else np.require(image, requirements=["C", "W"])
    height, width = canvas.shape[:2]
    places = [_scaled(box, full_size_wh, (width, height)) for box in boxes]
    colours = region_colours(places)
    numbers = [number for number in range(1, len(boxes) + 1) if only is None or number in only]
    marked = [places[number - 1] for number in numbers]
    sizes = _sizes(width, height, len(numbers))
    outlines = [_outline(place, sizes.ring, width, height) for place in marked]
    plates = [_plate(str(number), sizes, colours[number - 1], width, height) for number in numbers]
    labels = _labels(marked, outlines, plates, (width, height))
    for at, label in enumerate(labels):
        _draw_leader(canvas, label, outlines[at], colours[numbers[at] - 1], sizes)
    # Small regions last: they would vanish under the outlines of large ones.
    for at in sorted(range(len(numbers)), key=lambda at: -_area(marked[at])):
        _draw_outline(canvas, outlines[at], colours[numbers[at] - 1], sizes)
    for label, plate in zip(labels, plates, strict=True):
        canvas[label[1] : label[3], label[0] : label[2]] = plate
    return canvas


def region_colours(boxes: Sequence[IntBox]) -> list[Colour]:
    """The regions' colours, in order: the palette first, then for each region the colour whose nearest region is
    farthest from it, so that neighbours differ."""
    palette = [(blue, green, red) for red, green, blue in PALETTE_RGB]
    chosen: list[int] = list(range(min(len(boxes), len(palette))))
    for number in range(len(palette), len(boxes)):
        nearest = [float("inf")] * len(palette)
        for colour, other in zip(chosen, boxes, strict=False):
            nearest[colour] = min(nearest[colour], _gap(boxes[number], other))
        farthest = max(nearest)
        # Ties go to the colour that would be next in a cycle.
        turns = [(number + step) % len(palette) for step in range(len(palette))]
        chosen.append(next(colour for colour in turns if nearest[colour] == farthest))
    return [palette[colour] for colour in chosen]


def _gap(a: IntBox, b: IntBox) -> float:
    """Distance between two boxes in pixels; negative if they overlap, and the lower the deeper."""
    across, down = max(a[0], b[0]) - min(a[2], b[2]), max(a[1], b[1]) - min(a[3], b[3])
    return float(max(across, down)) if across < 0 and down < 0 else float(np.hypot(max(across, 0), max(down, 0)))


def mark_warnings(
    boxes: Sequence[Sequence[float]], *, full_size_wh: tuple[int, int], model_size_wh: tuple[int, int]
) -> list[str]:
    """Warnings about regions that are hard for a model: tiny at the size that it sees, or nearly identical boxes.

    `boxes`: N xywh in pixels of the picture of `full_size_wh` (width, height); `model_size_wh`: size of the marked
    picture. At most `MAX_WARNINGS` sentences, the last of which counts those omitted.
    """
    clipped = [clip_xywh(box, *full_size_wh) for box in boxes]
    found = _tiny(clipped, full_size_wh, model_size_wh) + _nearly_same(clipped)
    if len(found) > MAX_WARNINGS:
        kept = found[: MAX_WARNINGS - 1]
        return [*kept, f"and {len(found) - len(kept)} more warnings of this kind"]
    return found


def _tiny(clipped: Sequence[Sequence[float]], full: tuple[int, int], seen: tuple[int, int]) -> list[str]:
    across, down = seen[0] / full[0], seen[1] / full[1]
    return [
        f"region {number} is {w * across:.3g}x{h * down:.3g} pixels at the size the model sees"
        for number, (_, _, w, h) in enumerate(clipped, start=1)
        if min(w * across, h * down) < TINY_SIDE
    ]


def _nearly_same(clipped: Sequence[Sequence[float]]) -> list[str]:
    # The IoU is at most the ratio of the areas, so comparing areas first rules out most pairs cheaply.
    xyxy = [(x, y, x + w, y + h) for x, y, w, h in clipped]
    areas = [w * h for _, _, w, h in clipped]
    pairs = [
        (a, b)
        for a, b in itertools.combinations(range(len(clipped)), 2)
        if min(areas[a], areas[b]) > SAME_IOU * max(areas[a], areas[b])
    ]
    if not pairs:
        return []
    iou = box_iou(xyxy, xyxy).tolist()
    return [
        f"regions {a + 1} and {b + 1} are nearly the same box (IoU {iou[a][b]:.2f})"
        for a, b in pairs
        if iou[a][b] > SAME_IOU
    ]


# --- outlines


def _sizes(width: int, height: int, count: int) -> _Sizes:
    """Dimensions for a picture: 1,000 x 1,000 pixels get lines of 4 and digits of 26 pixels, 32 x 32 get 1 and 9."""
    scale = (width * height) ** 0.5
    crowd = max(0.7, min(1.0, (_CROWDED_FROM / max(count, 1)) ** 0.5))
    # Digits below 11 pixels are hard to read, but on thumbnails 11 pixels would hide the picture.
    digits = round(max(scale * 0.026 * crowd, min(11, 8 + scale / 60)))
    # A line of one pixel between two edges no longer shows its colour.
    line = max(2 if scale > 200 else 1, round(scale * 0.004 * crowd))
    return _Sizes(line=line, edge=max(1, round(line / 3)), digits=digits, pad=round(digits * 0.25) - (digits < 11))


def _scaled(box: Sequence[float], full: tuple[int, int], seen: tuple[int, int]) -> IntBox:
    """The clipped box in whole pixels of the marked picture, at least 1x1 and inside it."""
    x, y, w, h = clip_xywh(box, *full)
    corners = []
    for start, size, axis in ((x, w, 0), (y, h, 1)):
        ratio = seen[axis] / full[axis]
        first = min(int(start * ratio), seen[axis] - 1)
        corners.append((first, min(max(first + 1, round((start + size) * ratio)), seen[axis])))
    return corners[0][0], corners[1][0], corners[0][1], corners[1][1]


def _outline(box: IntBox, ring: int, width: int, height: int) -> IntBox:
    x1, y1, x2, y2 = box
    return max(0, x1 - ring), max(0, y1 - ring), min(width, x2 + ring), min(height, y2 + ring)


def _draw_outline(canvas: Pixels, outer: IntBox, colour: Colour, sizes: _Sizes) -> None:
    edge, line = sizes.edge, sizes.line
    _draw_frame(canvas, outer, sizes.ring, _contrast(colour))
    x1, y1, x2, y2 = outer
    _draw_frame(canvas, (x1 + edge, y1 + edge, x2 - edge, y2 - edge), line, colour)


def _draw_frame(canvas: Pixels, box: IntBox, thickness: int, colour: Colour) -> None:
    """Draw a frame `thickness` pixels wide, inwards from `box`: four bars, since cv2.rectangle rounds the corners."""
    x1, y1, x2, y2 = box
    if x1 >= x2 or y1 >= y2:
        return
    wide, high = x2 - x1, y2 - y1
    across, down = _bars(colour, max(canvas.shape), thickness)
    canvas[y1 : y1 + min(thickness, high), x1:x2] = across[:high, :wide]
    canvas[max(y2 - thickness, y1) : y2, x1:x2] = across[:high, :wide]
    canvas[y1:y2, x1 : x1 + min(thickness, wide)] = down[:high, :wide]
    canvas[y1:y2, max(x2 - thickness, x1) : x2] = down[:high, :wide]


@lru_cache(maxsize=256)
def _bars(colour: Colour, length: int, thickness: int) -> tuple[Pixels, Pixels]:
    """Horizontal and vertical bars to copy the sides of frames from: a third of the time of filling pixels."""
    across = np.empty((thickness, length, 3), np.uint8)
    across[:] = colour
    return across, np.ascontiguousarray(across.transpose(1, 0, 2))


def _contrast(bgr: Colour) -> Colour:
    """Black or white, whichever is more legible on the colour (luma of ITU-R BT.601)."""
    luminance = 0.114 * bgr[0] + 0.587 * bgr[1] + 0.299 * bgr[2]
    return _BLACK if luminance > 140 else _WHITE


# --- labels


def _labels(
    places: list[IntBox], outlines: list[IntBox], plates: Sequence[Pixels], frame: tuple[int, int]
) -> list[IntBox]:
    """Where each label goes, as `IntBox`es; a label larger than its region should stand clear of it."""
    sizes = np.array([plate.shape[1::-1] for plate in plates], dtype=np.float64).reshape(-1, 2)
    dwarfed = [max(x2 - x1, y2 - y1) < plate.shape[0] for (x1, y1, x2, y2), plate in zip(places, plates, strict=True)]
    chosen = place_labels(np.array(outlines, dtype=np.float64).reshape(-1, 4), sizes, frame, dwarfed)
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in chosen.tolist()]


def _draw_leader(canvas: Pixels, label: IntBox, outline: IntBox, colour: Colour, sizes: _Sizes) -> None:
    """Draw a line between a label and its region, if they do not touch."""
    ends = [_nearest(label[axis], label[axis + 2], outline[axis], outline[axis + 2]) for axis in (0, 1)]
    (from_x, to_x), (from_y, to_y) = ends
    if max(abs(from_x - to_x), abs(from_y - to_y)) <= 1:
        return
    for bgr, thickness in ((_contrast(colour), sizes.ring), (colour, sizes.line)):
        cv2.line(canvas, (from_x, from_y), (to_x, to_y), bgr, thickness, cv2.LINE_8)


def _nearest(a1: int, a2: int, b1: int, b2: int) -> tuple[int, int]:
    """The closest points of the intervals a1..a2 and b1..b2 (ends exclusive), one of each."""
    if a2 <= b1:
        return a2 - 1, b1
    if b2 <= a1:
        return a1, b2 - 1
    middle = (max(a1, b1) + min(a2, b2) - 1) // 2
    return middle, middle


@lru_cache(maxsize=1024)
def _plate(text: str, sizes: _Sizes, colour: Colour, width: int, height: int) -> Pixels:
    """A label: HxWx3 uint8, BGR, digits on the region's colour with a contrasting edge; at most `width` x `height`.

    Read-only, since the cache shares it."""
    ink = _digits(text, sizes.digits)
    around = 2 * (sizes.pad + sizes.edge)
    high = ink.shape[0] + around
    wide, high = min(max(ink.shape[1] + around, round(high * 0.8)), width), min(high, height)
    plate = np.empty((high, wide, 3), np.uint8)
    plate[:] = colour
    _draw_frame(plate, (0, 0, wide, high), sizes.edge, _contrast(colour))
    ink = ink[:high, :wide, None]
    top, left = (high - ink.shape[0]) // 2, (wide - ink.shape[1]) // 2
    under = plate[top : top + ink.shape[0], left : left + ink.shape[1]]
    under[:] = np.rint(under + (np.array(_contrast(colour)) - under) * ink)
    plate.flags.writeable = False
    return plate


@lru_cache(maxsize=1024)
def _digits(text: str, height: int) -> npt.NDArray[np.float32]:
    """The ink coverage of `text`: `height` x W float32, 0..1, cropped to the glyphs."""
    thickness = _DRAWN_AT // 9
    scale = cv2.getFontScaleFromHeight(_FONT, _DRAWN_AT, thickness)
    sheet = np.zeros((3 * _DRAWN_AT, 2 * _DRAWN_AT * len(text)), np.uint8)
    cv2.putText(sheet, text, (_DRAWN_AT // 2, 2 * _DRAWN_AT), _FONT, scale, 255, thickness, cv2.LINE_AA)
    x, y, w, h = cv2.boundingRect(sheet)
    size = (max(1, round(w * height / h)), height)
    shrunk = cv2.resize(sheet[y : y + h, x : x + w], size, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk / 255, dtype=np.float32)


def _area(box: IntBox) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
