"""The captioner without a model: says what can be measured of a region, and no more.

For trying a pipeline out, for tests, and for data sets that want plain facts. Deterministic: the same pixels give
the same words.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from regioncap.captioners.base import CaptionRequest, CaptionResult, Prompt, Setting
from regioncap.errors import RowReject
from regioncap.vision.images import decode

PIXELS_VERSION = 1
LONG_SIDE = 640
"""The picture is measured at this size (px): words for colour and texture need no more."""

Pixels = npt.NDArray[np.uint8]
Gradient = npt.NDArray[np.float32]

COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((0, 0, 0), (28, 28, 30)),
    "dark grey": ((64, 64, 66),),
    "grey": ((128, 128, 128), (104, 104, 106)),
    "light grey": ((190, 190, 190),),
    "white": ((255, 255, 255), (232, 232, 230)),
    "red": ((200, 30, 35), (150, 20, 25)),
    "orange": ((240, 130, 30), (215, 110, 40)),
    "yellow": ((245, 215, 50), (215, 185, 40)),
    "olive": ((115, 115, 35),),
    "green": ((50, 150, 60), (120, 180, 80)),
    "dark green": ((25, 65, 35),),
    "teal": ((25, 130, 130),),
    "light blue": ((140, 190, 230),),
    "blue": ((40, 90, 200), (70, 130, 200)),
    "dark blue": ((20, 35, 90),),
    "purple": ((120, 50, 150), (90, 60, 130)),
    "pink": ((240, 150, 180), (225, 90, 150)),
    "brown": ((120, 72, 40), (90, 55, 35), (150, 100, 65)),
    "dark brown": ((52, 34, 26),),
    "beige": ((220, 200, 165), (196, 168, 138)),
}
"""Names of colours and what they look like, RGB: the basic terms of English and a few between them."""

_ROWS = ("upper", "middle", "lower")
_COLUMNS = ("left", "centre", "right")
_PLACES = {
    ("middle", "centre"): "the centre",
    ("upper", "centre"): "the upper part",
    ("lower", "centre"): "the lower part",
    ("middle", "left"): "the left part",
    ("middle", "right"): "the right part",
}


@cache
def _prototypes() -> tuple[list[str], npt.NDArray[np.float32]]:
    """(names, Lab of each, (K, 3) float32)."""
    names = [name for name, shades in COLOURS.items() for _ in shades]
    rgb = np.array([[shade for shades in COLOURS.values() for shade in shades]], np.float32) / 255
    return names, cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0]


def place_words(box: Sequence[float], width: float, height: float) -> str:
    """Where a box (xywh) lies in a picture of `width` x `height`, in words.

    >>> place_words([0, 0, 10, 10], 100, 100)
    'the upper left'
    """
    x, y, w, h = box
    column = _COLUMNS[min(2, max(0, int(3 * (x + w / 2) / width)))]
    row = _ROWS[min(2, max(0, int(3 * (y + h / 2) / height)))]
    return _PLACES.get((row, column), f"the {row} {column}")


def size_words(share: float) -> str:
    """How much of the picture a region covers; `share` is 0..1."""
    for limit, word in ((0.01, "tiny"), (0.06, "small"), (0.25, "medium-sized"), (0.6, "large")):
        if share < limit:
            return word
    return "very large"


def shape_words(width: float, height: float) -> str:
    """`wide`, `tall` or nothing, by the ratio of the sides."""
    return "wide " if width > 2 * height else "tall " if height > 2 * width else ""


def colour_words(crop: Pixels) -> str:
    """The one or two colours that a crop (HxWx3 uint8 BGR) mostly has, by name."""
    names, shades = _prototypes()
    # Every nth pixel first: averaging a large crop costs more than all the rest, and changes no word.
    steps = (max(1, crop.shape[0] // 96), max(1, crop.shape[1] // 96))
    thinned = np.ascontiguousarray(crop[:: steps[0], :: steps[1]])
    small = cv2.resize(thinned, (24, 24), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_BGR2LAB).reshape(-1, 1, 3)
    nearest = np.argmin(((lab - shades[None]) ** 2).sum(axis=2), axis=1)
    shares: dict[str, float] = {}
    for index in nearest:
        shares[names[index]] = shares.get(names[index], 0) + 1 / len(nearest)
    first, *others = sorted(shares, key=lambda name: (-shares[name], name))
    second = others[0] if others and shares[others[0]] >= 0.2 else None
    amount = "mostly" if shares[first] >= 0.5 else "partly"
    return f"{amount} {first}" + (f" and {second}" if second else "")


def brightness_words(grey: Pixels) -> str:
    """`dark`, `mid-toned` or `bright`, by the mean of grey values (HxW uint8)."""
    mean = float(grey.mean())
    return "dark" if mean < 85 else "mid-toned" if mean < 170 else "bright"


def texture_words(gradient: Gradient) -> str:
    """How much detail there is, by the mean gradient (HxW float32, grey levels a pixel)."""
    if min(gradient.shape) < 3:
        return "too small to show any texture"
    mean = float(gradient.mean())
    for limit, words in ((1.2, "even"), (4.0, "smooth"), (9.0, "with some texture")):
        if mean < limit:
            return words
    return "with much fine detail"


@dataclass(frozen=True)
class Measured:
    """A picture and what is measured of it once for all of its regions.

    `image`: HxWx3 uint8 BGR, at any scale. `grey`: HxW uint8. `gradient`: HxW float32, grey levels a pixel.
    """

    image: Pixels
    grey: Pixels
    gradient: Gradient

    @classmethod
    def of(cls, image: Pixels) -> Measured:
        """The measures of `image`, HxWx3 uint8 BGR."""
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        # Sobel's weights add up to 8 grey levels a pixel.
        gradient = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)) / 8
        return cls(image, grey, np.asarray(gradient, np.float32))


def describe(picture: Measured, box: Sequence[float], width: int, height: int) -> str:
    """One sentence for one region of a picture of `width` x `height` pixels; `box`: xywh in those pixels."""
    rows, columns = picture.grey.shape
    x1, y1 = max(0.0, box[0]), max(0.0, box[1])
    x2, y2 = min(float(width), box[0] + box[2]), min(float(height), box[1] + box[3])
    left, top = min(columns - 1, int(x1 * columns / width)), min(rows - 1, int(y1 * rows / height))
    right, bottom = max(left + 1, round(x2 * columns / width)), max(top + 1, round(y2 * rows / height))
    part = np.s_[top:bottom, left:right]
    share = max(0.0, (x2 - x1) * (y2 - y1)) / (width * height)
    percent = "under 1 %" if share < 0.01 else f"about {round(100 * share)} %"
    size = f"{size_words(share)} {shape_words(x2 - x1, y2 - y1)}".strip()
    article = "An" if size[0] in "aeiou" else "A"
    where = place_words([x1, y1, x2 - x1, y2 - y1], width, height)
    return (
        f"{article} {size} area in {where} of the picture ({percent} of it), {colour_words(picture.image[part])}, "
        f"{brightness_words(picture.grey[part])} and {texture_words(picture.gradient[part])}."
    )


class PixelsCaptioner:
    """See `regioncap.captioners.base.Captioner`. Costs nothing, so its answers are kept in step files only."""

    name = "pixels"
    model = "none"
    paid = False

    def __init__(self, setting: Setting) -> None:
        config = setting.config
        self._max_image_pixels = config.max_image_pixels
        self._pool = ThreadPoolExecutor(config.threads or os.cpu_count() or 1, thread_name_prefix="describe")

    def check(self) -> None:
        """It can be had everywhere."""

    def identity(self) -> dict[str, Any]:
        """The captioner and its version: nothing else decides its words."""
        return {"captioner": self.name, "pixels_version": PIXELS_VERSION}

    def templates(self) -> dict[str, Any]:
        """None."""
        return {}

    def prompt(self, request: CaptionRequest) -> Prompt:
        """Empty: nobody is asked."""
        return Prompt()

    def get_ready(self) -> None:
        """Nothing takes time."""

    def submit(self, request: CaptionRequest) -> Future[CaptionResult]:
        """Measure the regions in a thread."""
        return self._pool.submit(self._measure, request)

    def stop_sending(self) -> None:
        """Nobody is asked."""

    def drain(self) -> None:
        """Nothing is ever under way."""

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _measure(self, request: CaptionRequest) -> CaptionResult:
        try:
            image = decode(request.image(), max_image_pixels=self._max_image_pixels, long_side=LONG_SIDE)
        except RowReject as reject:
            return CaptionResult({}, code=reject.code, message=reject.message)
        picture, size = Measured.of(image), (request.width, request.height)
        return CaptionResult({n: describe(picture, request.bbox[n - 1], *size) for n in request.wanted})
