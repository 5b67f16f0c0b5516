"""Pictures besides the marked one: a closer view of a region, and a picture to try a server out with."""

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


TEXTURE = (4, 40.0)
"""Grain (px) and contrast (standard deviation, of 255) of a picture that weighs about 0.3 bytes a pixel as JPEG: nine
in ten photos weigh less."""


def typical_picture(pixels: int) -> bytes:
    """A square JPEG of at most `pixels` pixels that weighs what photos weigh, the same for each size.

    Servers and the proxies before them refuse pictures for their pixels and for their bytes.
    """
    side = max(1, math.isqrt(pixels))
    grain, contrast = TEXTURE
    coarse = max(1, side // grain)
    noise = np.random.default_rng(0).normal(128, contrast, (coarse, coarse, 3)).clip(0, 255).astype(np.uint8)
    return encode_jpeg(np.asarray(cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8), QUALITY)
