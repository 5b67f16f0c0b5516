"""Marks: the numbered boxes on the picture that the model sees.

Each region has an outline in its colour around the box (not over it, so that small things stay visible) and a tab
with its number. Outline and tab have a thin contrasting edge, so they show on any background. Tabs are put where
they hide least: not each other, not small boxes, not the corners of large ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from tasks.vision.boxes import box_iou, clip_xywh

DRAW_VERSION = 1
"""Part of the key of every answer: raise it when marks look different, and every picture is captioned again."""

Pixels = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]
IntBox = tuple[int, int, int, int]
"""Corners in whole pixels, right and bottom not included."""

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
"""Neighbours in the list differ in lightness as well as in hue, so they are told apart by colour-blind readers and
in greyscale; from Okabe and Ito, https://jfly.uni-koeln.de/color/, and Trubetskoy's list, made more vivid."""

TINY_SIDE = 8
SAME_IOU = 0.9
MOST_WARNINGS = 5

_FONT = cv2.FONT_HERSHEY_DUPLEX
_DRAWN_AT = 96
"""Digits are drawn this high (px) and shrunk: sharper than small ones, and the same in OpenCV 4 and 5."""

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_MANY = 16
"""From so many regions on, tabs get smaller, down to 0.7."""


@dataclass(frozen=True)
class _Sizes:
    """Measures of the marks, in pixels: `line` and its contrasting `edge` on either side, height of the `digits`,
    and `pad` between the digits and the tab's border."""

    line: int
    edge: int
    digits: int
    pad: int

    @property
    def ring(self) -> int:
        return self.line + 2 * self.edge


def draw_marks(image: Pixels, boxes: Sequence[Sequence[float]], *, full_size_wh: tuple[int, int], dim: float) -> Pixels:
    """A new picture: `image` with every box outlined and numbered, from 1.

    `image`: HxWx3 uint8, BGR, at the size that the model sees; it is not changed. `boxes`: N xywh in pixels of the
    full-size picture of `full_size_wh` (width, height); parts beyond its edges are left out. `dim`: brightness of
    the photo under the marks, 0..1 (1 leaves it as it is).

    Raises ValueError if `image` is not HxWx3 uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected HxWx3 uint8, got {image.shape} {image.dtype}; decode() gives that")
    canvas = np.array(cv2.convertScaleAbs(image, alpha=dim) if dim != 1 else image, dtype=np.uint8)
    height, width = canvas.shape[:2]
    places = [_scaled(box, full_size_wh, (width, height)) for box in boxes]
    sizes = _sizes(width, height, len(boxes))
    outlines = [_outline(place, sizes.ring, width, height) for place in places]
    # Small ones last: they would vanish under the lines of large ones.
    for number in sorted(range(len(boxes)), key=lambda i: -_area(places[i])):
        _draw_outline(canvas, outlines[number], number, sizes)
    for number, tab in enumerate(_place_tabs(places, outlines, sizes, width, height)):
        _draw_tab(canvas, tab, number, sizes)
    return canvas


def mark_warnings(
    boxes: Sequence[Sequence[float]], *, full_size_wh: tuple[int, int], model_size_wh: tuple[int, int]
) -> list[str]:
    """Sentences on regions that a model can hardly tell: tiny at the size that it sees, or nearly the same box.

    `boxes`: N xywh in pixels of the picture of `full_size_wh`; `model_size_wh`: size of the marked picture. At most
    `MOST_WARNINGS` sentences, the last of which counts what was left out.
    """
    if not boxes:
        return []
    clipped = np.array([clip_xywh(box, *full_size_wh) for box in boxes], dtype=np.float64)
    found = _tiny(clipped, full_size_wh, model_size_wh) + _nearly_same(clipped)
    if len(found) > MOST_WARNINGS:
        kept = found[: MOST_WARNINGS - 1]
        return [*kept, f"and {len(found) - len(kept)} more warnings of this kind"]
    return found


def _tiny(xywh: FloatArray, full: tuple[int, int], seen: tuple[int, int]) -> list[str]:
    sides = xywh[:, 2:] * (np.array(seen) / np.array(full))
    return [
        f"region {number} is {w:.3g}x{h:.3g} pixels at the size the model sees"
        for number, (w, h) in enumerate(sides, start=1)
        if min(w, h) < TINY_SIDE
    ]


def _nearly_same(xywh: FloatArray) -> list[str]:
    xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    iou = np.triu(box_iou(xyxy, xyxy), k=1)
    return [
        f"regions {a + 1} and {b + 1} are nearly the same box (IoU {iou[a, b]:.2f})"
        for a, b in np.argwhere(iou > SAME_IOU).tolist()
    ]


# --- outlines


def _sizes(width: int, height: int, count: int) -> _Sizes:
    """Measures for a picture: one of 1,000 x 1,000 has lines of 4 and digits of 26 pixels, one of 32 x 32 1 and 9."""
    scale = (width * height) ** 0.5
    crowd = max(0.7, min(1.0, (_MANY / max(count, 1)) ** 0.5))
    # Digits of fewer than 11 pixels are hard to read; on thumbnails those would hide the picture.
    digits = round(max(scale * 0.026 * crowd, min(11, 8 + scale / 60)))
    # A line of one pixel between its edges has no colour left.
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


def _draw_outline(canvas: Pixels, outer: IntBox, number: int, sizes: _Sizes) -> None:
    colour = _colour(number)
    edge, line = sizes.edge, sizes.line
    _draw_frame(canvas, outer, sizes.ring, _contrast(colour))
    x1, y1, x2, y2 = outer
    _draw_frame(canvas, (x1 + edge, y1 + edge, x2 - edge, y2 - edge), line, colour)


def _draw_frame(canvas: Pixels, box: IntBox, thickness: int, colour: tuple[int, int, int]) -> None:
    """A frame of `thickness` pixels, inwards from `box`; plain slices, since cv2.rectangle rounds its corners."""
    x1, y1, x2, y2 = box
    if x1 >= x2 or y1 >= y2:
        return
    canvas[y1 : min(y1 + thickness, y2), x1:x2] = colour
    canvas[max(y2 - thickness, y1) : y2, x1:x2] = colour
    canvas[y1:y2, x1 : min(x1 + thickness, x2)] = colour
    canvas[y1:y2, max(x2 - thickness, x1) : x2] = colour


def _colour(number: int) -> tuple[int, int, int]:
    red, green, blue = PALETTE_RGB[number % len(PALETTE_RGB)]
    return blue, green, red


def _contrast(bgr: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever is read more easily on the colour."""
    luminance = 0.114 * bgr[0] + 0.587 * bgr[1] + 0.299 * bgr[2]
    return _BLACK if luminance > 140 else _WHITE


# --- tabs


def _place_tabs(places: list[IntBox], outlines: list[IntBox], sizes: _Sizes, width: int, height: int) -> list[IntBox]:
    """Where each number goes; the smallest boxes choose first, since they have the fewest good places."""
    if not places:
        return []
    wh = [_tab_size(number, sizes, width, height) for number in range(len(places))]
    tabs = np.stack([_candidates(outline, *size, width, height) for outline, size in zip(outlines, wh, strict=True)])
    costs = _costs(tabs, np.array(places, dtype=np.float64))
    taken = np.zeros((0, 4))
    chosen: dict[int, IntBox] = {}
    for number in sorted(range(len(places)), key=lambda i: _area(places[i])):
        on_tabs = _shared(tabs[number], taken).sum(axis=1) / (wh[number][0] * wh[number][1])
        best = tabs[number, int(np.argmin(costs[number] + 100 * on_tabs))]
        taken = np.vstack([taken, best])
        x1, y1, x2, y2 = best.astype(int).tolist()
        chosen[number] = (x1, y1, x2, y2)
    return [chosen[number] for number in range(len(places))]


def _tab_size(number: int, sizes: _Sizes, width: int, height: int) -> tuple[int, int]:
    text_h, text_w = _digits(str(number + 1), sizes.digits).shape
    around = 2 * (sizes.pad + sizes.edge)
    tab_h = text_h + around
    return min(max(text_w + around, round(tab_h * 0.8)), width), min(tab_h, height)


def _candidates(outline: IntBox, tab_w: int, tab_h: int, width: int, height: int) -> FloatArray:
    """(K, 4) xyxy inside the frame, best first: at corners, then at the middles of sides; outside the box, then in."""
    x1, y1, x2, y2 = outline
    right, bottom = x2 - tab_w, y2 - tab_h
    mid_x, mid_y = (x1 + right) // 2, (y1 + bottom) // 2
    above, left = y1 - tab_h, x1 - tab_w
    starts = [(x1, above), (x1, y1), (x1, y2), (right, above), (right, y1), (right, y2), (x1, bottom), (right, bottom)]
    starts += [(left, y1), (x2, y1), (left, bottom), (x2, bottom), (mid_x, above), (mid_x, y2)]
    starts += [(left, mid_y), (x2, mid_y), (mid_x, y1), (mid_x, bottom), (x1, mid_y), (right, mid_y)]
    inside = np.clip(np.array(starts, dtype=np.float64), 0, (width - tab_w, height - tab_h))
    return np.hstack([inside, inside + np.array([tab_w, tab_h])])


def _costs(tabs: FloatArray, boxes: FloatArray) -> FloatArray:
    """(N, K) what each of a region's K candidates hides of the N boxes: most of all its own, if that is small."""
    count, choices = tabs.shape[:2]
    flat = tabs.reshape(-1, 4)
    hidden = (_shared(flat, boxes) / np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)).reshape(count, choices, count)
    corners = _corners_inside(flat, boxes).reshape(count, choices, count)
    each = np.arange(count)
    own = hidden[each, :, each]
    hidden[each, :, each] = 0
    corners[each, :, each] = 0
    costs: FloatArray = 10 * np.maximum(own - 0.05, 0) + 6 * hidden.sum(axis=2) + 0.4 * corners.sum(axis=2)
    return costs + 0.02 * np.arange(choices)


def _shared(a: FloatArray, b: FloatArray) -> FloatArray:
    """(K, N) pixels that each of `a` shares with each of `b`, xyxy."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    np.maximum(sides, 0, out=sides)
    return np.asarray(sides[..., 0] * sides[..., 1], dtype=np.float64)


def _corners_inside(tabs: FloatArray, boxes: FloatArray) -> FloatArray:
    """(K, N) how many corners of each box lie under each tab."""
    x_in = [(tabs[:, None, 0] <= boxes[:, x]) & (boxes[:, x] <= tabs[:, None, 2]) for x in (0, 2)]
    y_in = [(tabs[:, None, 1] <= boxes[:, y]) & (boxes[:, y] <= tabs[:, None, 3]) for y in (1, 3)]
    return np.asarray(np.sum([x & y for x in x_in for y in y_in], axis=0), dtype=np.float64)


def _draw_tab(canvas: Pixels, tab: IntBox, number: int, sizes: _Sizes) -> None:
    colour = _colour(number)
    x1, y1, x2, y2 = tab
    canvas[y1:y2, x1:x2] = colour
    _draw_frame(canvas, tab, sizes.edge, _contrast(colour))
    ink = _digits(str(number + 1), sizes.digits)
    ink = ink[: y2 - y1, : x2 - x1, None]
    top, left = (y1 + y2 - ink.shape[0]) // 2, (x1 + x2 - ink.shape[1]) // 2
    under = canvas[top : top + ink.shape[0], left : left + ink.shape[1]]
    under[:] = np.rint(under + (np.array(_contrast(colour)) - under) * ink)


@lru_cache(maxsize=1024)
def _digits(text: str, height: int) -> npt.NDArray[np.float32]:
    """`text` in ink: `height` x W float32, 0 (none) to 1, without a border."""
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
