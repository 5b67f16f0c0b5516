"""Pictures of a page: small enough that all of them together open at once."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.vision.boxes import clip_xywh
from tasks.vision.images import decode, encode_webp

PICTURES_BYTES = 13_500_000
"""Of all pictures together, before base64 makes a third more of them."""

MOST_BYTES, FEWEST_BYTES = 60_000, 2_500
LONG_SIDES = ((200, 720), (700, 480), (1 << 62, 320))
"""Up to so many pictures, so long a side."""

QUALITIES = (72, 58, 42, 26)


@dataclass(frozen=True)
class Thumb:
    """A picture as base64 of a WebP file, and its size in pixels."""

    data: str
    width: int
    height: int


def thumb_of(data: bytes, count: int, max_image_pixels: int) -> Thumb:
    """A small copy of the image file `data`, on a page of `count` pictures. Raises RowReject where it is no image."""
    side = next(side for most, side in LONG_SIDES if count <= most)
    room = min(MOST_BYTES, max(FEWEST_BYTES, PICTURES_BYTES // max(count, 1)))
    pixels = decode(data, max_image_pixels=max_image_pixels, long_side=side)
    for quality in QUALITIES:
        webp = encode_webp(pixels, quality)
        if len(webp) <= room:
            break
    else:
        pixels = decode(data, max_image_pixels=max_image_pixels, long_side=side * 2 // 3)
        webp = encode_webp(pixels, QUALITIES[-1])
    height, width = pixels.shape[:2]
    return Thumb(base64.b64encode(webp).decode("ascii"), width, height)


def boxes_on(
    thumb: Thumb, boxes: Sequence[Sequence[float]], size: tuple[int, int], font: float
) -> list[dict[str, float]]:
    """Where boxes (xywh in pixels of a picture of `size`) and their numbers lie on its thumb; large ones first, so that
    small ones lie on top of them."""
    found = []
    for number, box in enumerate(boxes, start=1):
        x, y, w, h = clip_xywh(box, *size)
        sx, sy = thumb.width / size[0], thumb.height / size[1]
        left, top, width, height = x * sx, y * sy, max(1.0, w * sx), max(1.0, h * sy)
        place = {"x": left, "y": top, "w": width, "h": height}
        place |= _number_at(left, top, width, height, font, thumb)
        found.append({"n": number, **{name: round(value, 1) for name, value in place.items()}})
    return sorted(found, key=lambda one: -one["w"] * one["h"])


def _number_at(left: float, top: float, width: float, height: float, font: float, thumb: Thumb) -> dict[str, float]:
    """Where a number's line begins: in the box's upper left corner, above a box that it would hide, in the picture."""
    small = min(width, height) < 2.2 * font
    above = small and top > 1.2 * font
    x, y = (left, top - 0.3 * font) if above else (left + 0.3 * font, top + font)
    return {"tx": max(0.2 * font, min(x, thumb.width - 1.2 * font)), "ty": min(max(y, font), thumb.height - 0.2 * font)}
