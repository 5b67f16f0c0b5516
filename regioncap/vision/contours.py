"""Region finders based on contours: the method of DataFlow's operator and a common recipe, as baselines.

Both were written from a description, so their boxes may differ from the operator's. Kernel sizes are in pixels of the
given image, so the result depends on its resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.int64]

CANNY_SHARES = (0.002, 0.9)
"""Minimum and maximum area of a `canny` box, as a fraction of the picture's."""

AREA_SHARES = (0.01, 0.8)
ASPECT_RATIOS = (0.1, 5.0)
MAX_SIDE_SHARE = 0.9
MAX_COVERED_SHARE = 0.3
"""The operator's filters: contour area as a fraction of the picture's; width over height; a side as a fraction of the
picture's; and the fraction of a box that an earlier one may cover."""


def canny(image: Image, *, max_boxes: int = 10, min_score: float = 0.0) -> Boxes:
    """A common recipe: bounding boxes of the outer contours of Canny edges, largest first.

    `image`: HxWx3 uint8 BGR; `min_score` is ignored. Returns (N, 4) int64 xywh in the image's pixels, N at most
    `max_boxes`.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (5, 5), 0)
    contours, _ = cv2.findContours(cv2.Canny(grey, 50, 150), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = _boxes_of(contours)
    share = boxes[:, 2] * boxes[:, 3] / (image.shape[0] * image.shape[1])
    return _largest_first(boxes[(share >= CANNY_SHARES[0]) & (share <= CANNY_SHARES[1])])[:max_boxes]


def adaptive(image: Image, *, max_boxes: int = 10, min_score: float = 0.0) -> Boxes:
    """The method of DataFlow's operator `ImageRegionCaptionGenerate`, with its parameters: contours of an adaptive
    threshold after closing, filtered by area, side lengths and aspect ratio, then suppressed, largest first.

    `image`: HxWx3 uint8 BGR; `min_score` is ignored. Returns (N, 4) int64 xywh in the image's pixels, N at most
    `max_boxes`.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (5, 5), 0)
    mask = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY_INV, 11, 2)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((8, 8), np.uint8))
    contours, _ = cv2.findContours(closed, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    height, width = image.shape[:2]
    boxes = _boxes_of(contours)
    w, h = boxes[:, 2], boxes[:, 3]
    area = np.array([cv2.contourArea(contour) for contour in contours]) / (height * width)
    keep = (
        (area >= AREA_SHARES[0]) & (area <= AREA_SHARES[1]) & (w >= ASPECT_RATIOS[0] * h) & (w <= ASPECT_RATIOS[1] * h)
    )
    keep &= (w <= MAX_SIDE_SHARE * width) & (h <= MAX_SIDE_SHARE * height)
    return _without_covered(_largest_first(boxes[keep]))[:max_boxes]


def _boxes_of(contours: Sequence[Any]) -> Boxes:
    """Bounding boxes of contours: (N, 4) int64 xywh."""
    return np.array([cv2.boundingRect(contour) for contour in contours], np.int64).reshape(-1, 4)


def _largest_first(boxes: Boxes) -> Boxes:
    ranked: Boxes = boxes[np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable")]
    return ranked


def _without_covered(boxes: Boxes) -> Boxes:
    """The operator's non-maximum suppression: a box is dropped if an earlier one covers too much of it."""
    kept: list[int] = []
    for index, (x, y, w, h) in enumerate(boxes):
        earlier = boxes[kept]
        across = np.minimum(x + w, earlier[:, 0] + earlier[:, 2]) - np.maximum(x, earlier[:, 0])
        down = np.minimum(y + h, earlier[:, 1] + earlier[:, 3]) - np.maximum(y, earlier[:, 1])
        if not np.any(np.maximum(across, 0) * np.maximum(down, 0) > MAX_COVERED_SHARE * w * h):
            kept.append(index)
    found: Boxes = boxes[kept]
    return found
