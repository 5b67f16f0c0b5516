"""Box arithmetic: formats, clipping, overlap. Works on numbers alone, without pixels.

`xywh`: x and y of the top left corner, width, height. `xyxy`: top left and bottom right corner. `cxcywh`: centre,
width, height. x points right, y points down, and the picture spans 0..width and 0..height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

BoxFormat = Literal["xywh", "xyxy", "cxcywh"]
BoxUnit = Literal["px", "0-1", "0-100", "0-1000"]
DropReason = Literal["not_finite", "no_area", "outside"]

FloatArray = npt.NDArray[np.float64]

SCALES: dict[BoxUnit, int] = {"0-1": 1, "0-100": 100, "0-1000": 1000}
"""What the picture's whole width or height is in the units that are no pixels."""

NORMALIZED_DECIMALS = 3
PIXEL_DECIMALS = 2


def box_iou(xyxy_a: npt.ArrayLike, xyxy_b: npt.ArrayLike) -> FloatArray:
    """Pairwise intersection over union: (N, 4) and (M, 4) xyxy give (N, M) float64 in 0..1.

    The IoU of a box without area is 0. N and M may be 0.

    >>> box_iou([[0, 0, 10, 10]], [[0, 0, 10, 5], [20, 20, 30, 30]]).tolist()
    [[0.5, 0.0]]
    """
    a, b = _as_boxes(xyxy_a)[:, None], _as_boxes(xyxy_b)[None, :]
    # Both axes are written out: np.prod over an axis of length two is four times as slow for a picture's 70 boxes.
    intersection = np.maximum(np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0]), 0)
    intersection *= np.maximum(np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1]), 0)
    union = _areas(a) + _areas(b) - intersection
    iou: FloatArray = np.divide(intersection, union, out=np.zeros_like(union), where=intersection > 0)
    return iou


def nms_xyxy(boxes: npt.ArrayLike, iou_threshold: float, limit: int) -> list[int]:
    """Greedy non-maximum suppression: the indices of the boxes to keep, at most `limit`, in rank order.

    `boxes`: (N, 4) xyxy, best first. A box is suppressed if its IoU with a kept box exceeds `iou_threshold`.
    """
    ranked = _as_boxes(boxes)
    overlaps = box_iou(ranked, ranked) > iou_threshold
    suppressed = np.zeros(len(ranked), dtype=bool)
    kept: list[int] = []
    for index in range(len(ranked)):
        if len(kept) >= limit:
            break
        if not suppressed[index]:
            kept.append(index)
            suppressed |= overlaps[index]
    return kept


def to_xywh(box: Sequence[float], box_format: BoxFormat, unit: BoxUnit, width: int, height: int) -> list[float]:
    """One box as xywh in pixels of a picture of `width` x `height` pixels.

    `box`: four numbers in `box_format` and `unit` (pixels, or fractions of the picture's width and height scaled to
    0..1, 0..100 or 0..1000). xywh pixels are returned exactly as given; otherwise integers stay integers and floats are
    rounded to 2 decimals. A box that overflows float64 becomes four infinities, which `drop_reason` reports as
    `not_finite`.

    >>> to_xywh([100, 250, 300, 750], "xyxy", "0-1000", 640, 480)
    [64.0, 120.0, 128.0, 240.0]
    """
    if box_format == "xywh" and unit == "px":
        return list(box)
    try:
        return [round(number, PIXEL_DECIMALS) for number in _convert(box, box_format, unit, width, height)]
    except OverflowError:
        return [math.inf] * 4


def _convert(box: Sequence[float], box_format: BoxFormat, unit: BoxUnit, width: int, height: int) -> list[float]:
    a, b, c, d = box
    if unit != "px":
        scale = SCALES[unit]
        a, b, c, d = a * width / scale, b * height / scale, c * width / scale, d * height / scale
    match box_format:
        case "xywh":
            return [a, b, c, d]
        case "xyxy":
            return [a, b, c - a, d - b]
        case "cxcywh":
            return [a - c / 2, b - d / 2, c, d]


def drop_reason(box: Sequence[float | None], width: int, height: int) -> DropReason | None:
    """Why the xywh pixel box cannot be a region of a picture of `width` x `height` pixels; None if it can.

    `not_finite`: a number is missing, NaN, infinite or beyond float64. `no_area`: width or height is not positive.
    `outside`: it does not intersect the picture.
    """
    numbers = [_finite(number) for number in box]
    if None in numbers:
        return "not_finite"
    x, y, w, h = (number for number in numbers if number is not None)
    if w <= 0 or h <= 0:
        return "no_area"
    visible_w = min(x + w, width) - max(x, 0)
    visible_h = min(y + h, height) - max(y, 0)
    return None if visible_w > 0 and visible_h > 0 else "outside"


def clip_xywh(box: Sequence[float], width: int, height: int) -> list[float]:
    """The xywh pixel box clipped to a picture of `width` x `height` pixels, as xywh.

    A box outside the picture gets width or height 0.
    """
    x, y, w, h = box
    left, right = min(max(x, 0), width), min(max(x + w, 0), width)
    top, bottom = min(max(y, 0), height), min(max(y + h, 0), height)
    return [left, top, max(right - left, 0), max(bottom - top, 0)]


def normalize_xywh(box: Sequence[float], width: int, height: int) -> list[float]:
    """The xywh pixel box as `[x/W, y/H, (x+w)/W, (y+h)/H]`: xyxyn, clipped to 0..1, 3 decimals.

    >>> normalize_xywh([196, 104, 310, 495], 1537, 832)
    [0.128, 0.125, 0.329, 0.72]
    """
    x, y, w, h = (float(number) for number in box)
    corners = (x / width, y / height, (x + w) / width, (y + h) / height)
    # Adding 0.0 turns -0.0, which would show in the JSON, into 0.0.
    return [round(min(max(number, 0.0), 1.0), NORMALIZED_DECIMALS) + 0.0 for number in corners]


def _finite(number: float | None) -> float | None:
    try:
        value = math.nan if number is None else float(number)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _as_boxes(boxes: npt.ArrayLike) -> FloatArray:
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)


def _areas(xyxy: FloatArray) -> FloatArray:
    areas: FloatArray = np.maximum(xyxy[..., 2] - xyxy[..., 0], 0) * np.maximum(xyxy[..., 3] - xyxy[..., 1], 0)
    return areas
