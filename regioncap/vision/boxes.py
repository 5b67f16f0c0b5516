"""Boxes as numbers: formats, clipping, overlap. No picture is needed for any of it.

`xywh`: x and y of the upper left corner, width, height. `xyxy`: upper left and lower right corner. `cxcywh`: centre,
width, height. x goes right, y goes down, and the picture spans 0..width and 0..height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

BoxFormat = Literal["xywh", "xyxy", "cxcywh"]
BoxUnit = Literal["px", "0-1", "0-1000"]
DropReason = Literal["not_finite", "no_area", "outside"]

FloatArray = npt.NDArray[np.float64]

NORMALIZED_DECIMALS = 3
PIXEL_DECIMALS = 2


def box_iou(xyxy_a: npt.ArrayLike, xyxy_b: npt.ArrayLike) -> FloatArray:
    """Intersection over union of each box with each: (N, 4) and (M, 4) xyxy give (N, M) float64 in 0..1.

    Boxes without area overlap nothing. Either side may be empty.

    >>> box_iou([[0, 0, 10, 10]], [[0, 0, 10, 5], [20, 20, 30, 30]]).tolist()
    [[0.5, 0.0]]
    """
    a, b = _as_boxes(xyxy_a)[:, None], _as_boxes(xyxy_b)[None, :]
    # Side by side, not by np.prod over an axis of two: four times as fast for the some 70 boxes of a picture.
    shared = np.maximum(np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0]), 0)
    shared *= np.maximum(np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1]), 0)
    together = _areas(a) + _areas(b) - shared
    iou: FloatArray = np.divide(shared, together, out=np.zeros_like(shared), where=shared > 0)
    return iou


def nms_xyxy(boxes: npt.ArrayLike, iou_threshold: float, limit: int) -> list[int]:
    """Greedy non-maximum suppression: the places of the boxes to keep, at most `limit`, in rank order.

    `boxes`: (N, 4) xyxy, best first. A box is left out if its IoU with one that was kept is over `iou_threshold`.
    """
    ranked = _as_boxes(boxes)
    overlaps = box_iou(ranked, ranked) > iou_threshold
    dead = np.zeros(len(ranked), dtype=bool)
    kept: list[int] = []
    for place in range(len(ranked)):
        if len(kept) >= limit:
            break
        if not dead[place]:
            kept.append(place)
            dead |= overlaps[place]
    return kept


def to_xywh(box: Sequence[float], box_format: BoxFormat, unit: BoxUnit, width: int, height: int) -> list[float]:
    """One box as xywh in pixels of a picture of `width` x `height` pixels.

    `box`: four numbers in `box_format` and `unit` (pixels, or parts of the picture's width and height: 0..1 or
    0..1000). xywh pixels are returned exactly as given; whole numbers stay whole; others have 2 decimals. Numbers
    beyond float64 become infinite, which `drop_reason` tells.

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
        full = 1 if unit == "0-1" else 1000
        a, b, c, d = a * width / full, b * height / full, c * width / full, d * height / full
    match box_format:
        case "xywh":
            return [a, b, c, d]
        case "xyxy":
            return [a, b, c - a, d - b]
        case "cxcywh":
            return [a - c / 2, b - d / 2, c, d]


def drop_reason(box: Sequence[float | None], width: int, height: int) -> DropReason | None:
    """Why the xywh pixel box cannot be a region of a picture of `width` x `height` pixels; None if it can.

    `not_finite`: a number is missing, NaN, infinite or beyond float64. `no_area`: width or height is not over 0.
    `outside`: nothing of it lies on the picture.
    """
    numbers = [_finite(number) for number in box]
    if None in numbers:
        return "not_finite"
    x, y, w, h = (number for number in numbers if number is not None)
    if w <= 0 or h <= 0:
        return "no_area"
    shared_w = min(x + w, width) - max(x, 0)
    shared_h = min(y + h, height) - max(y, 0)
    return None if shared_w > 0 and shared_h > 0 else "outside"


def clip_xywh(box: Sequence[float], width: int, height: int) -> list[float]:
    """The part of the xywh pixel box that lies on a picture of `width` x `height` pixels, as xywh.

    A box that lies outside has width or height 0.
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
    # Adding 0.0 makes -0.0, which JSON would show, into 0.0.
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
