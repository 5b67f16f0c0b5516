"""Pictures besides the marked one: a closer view of a region, and a plain picture to try a server out with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from regioncap.vision.boxes import clip_xywh
from regioncap.vision.images import decode, encode_jpeg, fit_size

CONTEXT = 0.35
"""Margin of a closer view on each side, as a share of the box's longer side."""

SMALLEST_SIDE = 112
"""A closer view is enlarged to at least this (px): four patches of a usual vision encoder."""

QUALITY = 90


def closer_views(
    data: bytes,
    boxes: Sequence[Sequence[float]],
    size: tuple[int, int],
    *,
    max_pixels: int,
    max_image_pixels: int,
) -> list[bytes]:
    """A JPEG of each box with what is around it, from the image file `data`.

    `boxes`: N xywh in pixels of the picture as displayed, of `size` (width, height). `max_pixels`: of each view, at
    most. Raises RowReject when the image cannot be read.
    """
    image = decode(data, max_image_pixels=max_image_pixels)
    return [_view(image, box, size, max_pixels) for box in boxes]


def _view(image: np.ndarray, box: Sequence[float], size: tuple[int, int], max_pixels: int) -> bytes:
    height, width = image.shape[:2]
    x1, y1, w, h = clip_xywh(box, *size)
    x2, y2, margin = x1 + w, y1 + h, CONTEXT * max(w, h)
    scale = (width / size[0], height / size[1])
    left, top = max(0, int((x1 - margin) * scale[0])), max(0, int((y1 - margin) * scale[1]))
    right = max(left + 1, min(width, math.ceil((x2 + margin) * scale[0])))
    bottom = max(top + 1, min(height, math.ceil((y2 + margin) * scale[1])))
    crop = image[min(top, height - 1) : bottom, min(left, width - 1) : right]
    target = fit_size((crop.shape[1], crop.shape[0]), max_pixels=max_pixels)
    if min(target) < SMALLEST_SIDE:
        enlarge = min(SMALLEST_SIDE / min(target), math.sqrt(max_pixels / (target[0] * target[1])))
        target = (max(1, int(target[0] * enlarge)), max(1, int(target[1] * enlarge)))
    smaller = target[0] < crop.shape[1]
    resized = cv2.resize(crop, target, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return encode_jpeg(np.asarray(resized, np.uint8), QUALITY)


def plain_picture(pixels: int) -> bytes:
    """A grey square JPEG of at most `pixels` pixels: what a server does with it depends on its size only."""
    side = max(1, math.isqrt(pixels))
    return encode_jpeg(np.full((side, side, 3), 128, np.uint8), QUALITY)
