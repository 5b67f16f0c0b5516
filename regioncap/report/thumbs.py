"""Makes the pictures of a page: small enough that a browser opens all of them at once."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regioncap.vision.boxes import clip_xywh
from regioncap.vision.images import decode, encode_webp

PICTURES_BYTES = 13_500_000
"""Maximum size of all pictures together, before base64 adds a third."""

MAX_BYTES, MIN_BYTES = 60_000, 2_500
"""Bounds of the target size of one picture."""

LONG_SIDES = ((200, 720), (700, 480), (1 << 62, 320))
"""(maximum number of pictures on the page, long side of each in pixels)."""

QUALITIES = (72, 58, 42, 26)
"""WebP qualities, tried in turn until a picture fits."""


@dataclass(frozen=True)
class Thumb:
    """A picture as a base64-encoded WebP file, and its size in pixels."""

    data: str
    width: int
    height: int


def thumb_of(data: bytes, count: int, max_image_pixels: int) -> Thumb:
    """A small copy of the image file `data` for a page of `count` pictures. Raises RowReject if it is not an image."""
    side = next(side for most, side in LONG_SIDES if count <= most)
    room = min(MAX_BYTES, max(MIN_BYTES, PICTURES_BYTES // max(count, 1)))
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


def place_boxes(
    thumb: Thumb, boxes: Mapping[int, Sequence[float]], size: tuple[int, int], font: float
) -> list[dict[str, float]]:
    """The positions of boxes and of their numbers on a thumb, in its pixels, largest box first so that small ones are
    drawn on top.

    `boxes`: xywh by number, in pixels of the picture of `size` (width, height). `font`: font size in pixels. Returns
    dicts with `n`, the number; `x`, `y`, `w`, `h`, the box; `tx`, `ty`, the left end of the number's baseline.
    """
    sx, sy = thumb.width / size[0], thumb.height / size[1]
    found: list[dict[str, float]] = []
    for number, box in boxes.items():
        x, y, w, h = clip_xywh(box, *size)
        found.append({"n": number, "x": x * sx, "y": y * sy, "w": max(1.0, w * sx), "h": max(1.0, h * sy)})
    found.sort(key=lambda one: -one["w"] * one["h"])
    taken: list[tuple[float, float]] = []
    for one in reversed(found):  # small boxes first: they have the fewest good positions
        at = _number_at(one, font, thumb, taken)
        taken.append(at)
        one["tx"], one["ty"] = at
    return [{name: value if name == "n" else round(value, 1) for name, value in one.items()} for one in found]


def _number_at(
    box: dict[str, float], font: float, thumb: Thumb, taken: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """The left end of a number's baseline: in a corner of its box, or outside a small box; not on another number."""
    x, y, w, h = box["x"], box["y"], box["w"], box["h"]
    wide = font * (0.65 if box["n"] < 10 else 1.25)
    inside = [(x + 0.3 * font, y + font), (x + w - wide - 0.3 * font, y + font), (x + 0.3 * font, y + h - 0.3 * font)]
    around = [(x, y - 0.3 * font), (x + w - wide, y - 0.3 * font), (x, y + h + font), (x + w + 0.3 * font, y + font)]
    places = around + inside if min(w, h) < 2.2 * font else inside + around
    best = _in_picture(places[0], wide, font, thumb)
    for place in places:
        held = _in_picture(place, wide, font, thumb)
        if all(abs(held[0] - tx) > 1.1 * font or abs(held[1] - ty) > 1.1 * font for tx, ty in taken):
            return held
    return best


def _in_picture(place: tuple[float, float], wide: float, font: float, thumb: Thumb) -> tuple[float, float]:
    x, y = place
    return max(0.2 * font, min(x, thumb.width - wide - 0.2 * font)), min(max(y, font), thumb.height - 0.2 * font)
