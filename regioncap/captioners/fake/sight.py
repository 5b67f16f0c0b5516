"""A fake model that sees: it finds a region by its mark and names the flat colour inside, in other words each time.

It mixes regions up as models do, on demand, so that what measures such mistakes can be tried out. It sees the marks of
numbers that have a colour of their own, and colours of `COLOURS`, which no mark resembles.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt

from regioncap.captioners.fake.model import ParsedRequest, decoded
from regioncap.vision.drawing import PALETTE_RGB

Pixels = npt.NDArray[np.uint8]

COLOURS: Mapping[str, tuple[tuple[int, int, int], str]] = {
    "charcoal": ((60, 60, 60), "burnt logs after campfires"),
    "grey": ((128, 128, 128), "wet concrete under bridges"),
    "ivory": ((250, 245, 230), "old piano keys in museums"),
    "forest": ((20, 80, 20), "dense firs near mountains"),
    "slate": ((90, 110, 140), "roof shingles of villages"),
    "plum": ((90, 40, 80), "ripe fruit at markets"),
    "sand": ((210, 180, 130), "desert dunes with camels"),
    "sky": ((150, 200, 255), "summer mornings by lakes"),
    "mint": ((150, 240, 180), "chewing gum and toothpaste"),
    "lavender": ((180, 150, 230), "blooming fields around Provence"),
    "maroon": ((90, 10, 10), "aged wine from cellars"),
    "coral": ((250, 120, 110), "shallow reefs off islands"),
}
"""Names of colours, each with its red, green and blue, 0..255, and what it makes the model think of."""

MIX_UPS: Mapping[str, str] = {
    "number": "share of the requests in which regions 1 and 2, 3 and 4, … are swapped",
    "order": "share of the requests in which each region gets the caption of the one asked for after it",
    "place": "share of the pictures in which neighbours from left to right are swapped, each time",
}
"""How regions are mixed up, by name."""

BLURRED = (1.0, 0.8, 0.65, 0.5)
"""What a JPEG leaves of the chroma of a line, wide or thin."""
FARTHEST = 17.0
"""Distance in luma and chroma up to which a pixel may have a colour."""
BITS = 5
"""Of each channel that tell colours apart."""
BAR_PIXELS = 8
"""At least the width of an outline's bar, at most that of a region."""

OPENINGS = ("A", "There is a", "We see a", "It shows a", "Here hangs a", "Clearly a")
NOUNS = ("panel", "tile", "board", "sheet", "plate", "slab")
ENDINGS = ("", ", quite smooth", ", evenly lit", ", seen from the front", ", without a pattern", ", flat and plain")
UNSEEN = "Something blurred that is hard to name."


@dataclass(frozen=True)
class Sight:
    """What the model sees. `mix_ups`: shares by name, of `MIX_UPS`. `seed`: of its words and its mistakes."""

    mix_ups: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    def describe(self, request: ParsedRequest) -> dict[int, str]:
        """What the model says of each region, by the number that it gives it."""
        image = decoded(request.jpegs[0])
        marks = marks_in(image)
        seen = {number: look(image, marks, number) for number in request.numbers}
        rng = random.Random(f"{self.seed} {request.asking}")
        meant = self._mixed_up(seen, request.numbers, rng)
        return {number: _words(seen[meant[number]][0], rng) for number in request.numbers}

    def _mixed_up(
        self, seen: Mapping[int, tuple[str, float]], numbers: Sequence[int], rng: random.Random
    ) -> dict[int, int]:
        """By number, the number of the region that the model describes instead; mostly the same."""
        by_number, in_place = sorted(numbers), sorted(numbers, key=lambda number: seen[number][1])
        picture = random.Random(f"{self.seed} {[seen[number][0] for number in in_place]}")
        orders = {
            "number": (rng, _swapped(by_number)),
            "order": (rng, dict(zip(numbers, [*numbers[1:], *numbers[:1]], strict=True))),
            "place": (picture, _swapped(in_place)),
        }
        meant = {number: number for number in numbers}
        for name, (chance, instead) in orders.items():
            if chance.random() < self.mix_ups.get(name, 0.0):
                meant = {number: instead[other] for number, other in meant.items()}
        return meant


def _swapped(numbers: Sequence[int]) -> dict[int, int]:
    """First and second swapped, third and fourth, and so on; the last stays if it is left over.

    >>> _swapped([1, 2, 3])
    {1: 2, 2: 1, 3: 3}
    """
    pairs = {number: numbers[place ^ 1] for place, number in enumerate(numbers) if place ^ 1 < len(numbers)}
    return {number: pairs.get(number, number) for number in numbers}


def marks_in(image: Pixels) -> npt.NDArray[np.uint8]:
    """HxW: for each pixel (HxWx3 uint8, BGR) the number of the mark that has its colour, 0 for none."""
    blue, green, red = np.moveaxis(image >> (8 - BITS), -1, 0)
    marks: npt.NDArray[np.uint8] = _mark_of_colour()[red, green, blue]
    return marks


@cache
def _mark_of_colour() -> npt.NDArray[np.uint8]:
    """The number of the mark, 0 for none, by red, green and blue in `BITS` bits each."""
    steps = (np.arange(1 << BITS) + 0.5) * (1 << (8 - BITS))
    every = _luma_chroma(np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3))
    plain = _luma_chroma(np.array([(0, 0, 0), (255, 255, 255), *(rgb for rgb, _ in COLOURS.values())], float))
    lines = _luma_chroma(np.array(PALETTE_RGB, float))
    # A thin line keeps its luma, and loses chroma.
    blurred = [lines * (1.0, share, share) for share in BLURRED]
    numbers = np.array([0] * len(plain) + [*range(1, len(lines) + 1)] * len(BLURRED), np.uint8)
    distance = np.linalg.norm(every[:, None] - np.concatenate([plain, *blurred])[None], axis=-1)
    nearest = np.where(distance.min(axis=1) < FARTHEST, numbers[distance.argmin(axis=1)], 0)
    return nearest.astype(np.uint8).reshape((1 << BITS,) * 3)


def _luma_chroma(rgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N, 3): luma, blue and red chroma around 0, as JPEG has them (ITU-R BT.601)."""
    luma = rgb @ (0.299, 0.587, 0.114)
    return np.stack([luma, 0.564 * (rgb[:, 2] - luma), 0.713 * (rgb[:, 0] - luma)], axis=1)


def look(image: Pixels, marks: npt.NDArray[np.uint8], number: int) -> tuple[str, float]:
    """(the name of the colour in the middle of a region, how far to the right that is in pixels); ("", -1) for a region
    whose mark is not seen. `image`: HxWx3 uint8, BGR; `marks`: of it."""
    marked = marks == number
    if not marked.any():
        return "", -1.0
    left, right = _ends(marked.sum(axis=0))
    top, bottom = _ends(marked.sum(axis=1))
    across, down = (right - left) // 4, (bottom - top) // 4
    middle = image[top + down : bottom - down + 1, left + across : right - across + 1].reshape(-1, 3)
    return _name_of(np.median(middle, axis=0)), (left + right) / 2


def _ends(counts: npt.NDArray[np.int64]) -> tuple[int, int]:
    """The first and the last of an outline's two bars. `counts`: marked pixels of each row, or of each column."""
    one = int(counts.argmax())
    others = counts.copy()
    others[max(0, one - BAR_PIXELS) : one + BAR_PIXELS + 1] = 0
    other = int(others.argmax())
    return min(one, other), max(one, other)


def _name_of(bgr: npt.NDArray[np.floating]) -> str:
    return min(COLOURS, key=lambda name: float(np.linalg.norm(bgr[::-1] - COLOURS[name][0])))


def _words(colour: str, rng: random.Random) -> str:
    if not colour:
        return UNSEEN
    opening, noun, ending = rng.choice(OPENINGS), rng.choice(NOUNS), rng.choice(ENDINGS)
    return f"{opening} {colour} {noun} that recalls {COLOURS[colour][1]}{ending}."
