"""What the fake model finds where it is asked for boxes: things at known places, drawn from the picture's digest."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from regioncap.captioners.fake.box_forms import BOX_FORMS, DOUBTFUL, IN_BINS, Find
from regioncap.captioners.fake.model import ParsedRequest, decoded
from regioncap.config.coordinates import Coordinates, coordinates_of_model

THINGS = ("dog", "bicycle", "red cup", "lamp")
"""What it finds where the question names nothing."""

MAX_FOUND = 4

_QUESTION = re.compile(r"bbox|box_2d|bounding.?box|\[[xy]1, ?[xy]1, ?[xy]2, ?[xy]2\]", re.IGNORECASE)
_REGION = re.compile(r"<region\d+>")
_NAMED = re.compile(
    r"\b(?:find|locate|detect|where (?:is|are)) (.{1,400}?)(?: in (?:the|this) (?:image|picture)|[.?\n])", re.I
)
_ANYTHING = re.compile(r"\b(?:every|all|any)\b", re.IGNORECASE)
_UNITS = {"0-1": re.compile(r"from 0 to 1\b(?!000)"), "0-1000": re.compile(r"0 to 1,?000")}

PlacesOf = Callable[[str, tuple[int, int]], Sequence[tuple[int, int, int, int]]]
"""(digest of the picture, its width and height) -> the boxes that are there: corners, in pixels of that picture."""


def places_of(digest: str, wh: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """One to four boxes, each in a quarter of the picture of its own, so that none overlaps another."""
    rng = random.Random(digest)
    columns, rows = min(2, wh[0]), min(2, wh[1])
    quarters = [(column, row) for row in range(rows) for column in range(columns)]
    rng.shuffle(quarters)
    found = []
    for column, row in quarters[: rng.randint(1, MAX_FOUND)]:
        x1, x2 = _within(rng, column * wh[0] // columns, (column + 1) * wh[0] // columns)
        y1, y2 = _within(rng, row * wh[1] // rows, (row + 1) * wh[1] // rows)
        found.append((x1, y1, x2, y2))
    return found


def _within(rng: random.Random, low: int, high: int) -> tuple[int, int]:
    """Two places from `low` to `high`, the second greater, and not often close to the first."""
    least = max(1, (high - low) // 3)
    first = rng.randint(low, high - least)
    return first, rng.randint(first + least, high)


@dataclass(frozen=True)
class Boxes:
    """How the model answers where it is asked for boxes.

    `form`: of `BOX_FORMS` or `DOUBTFUL`. `coordinates`: those that it was trained with; None for the ones of its
    family, by its name, else those that the question asks for. `places`: what is in a picture.
    """

    form: str = "bbox_2d"
    coordinates: Coordinates | None = None
    places: PlacesOf = field(default=places_of)

    def finds(self, digest: str, wh: tuple[int, int], question: str, model: str) -> list[Find]:
        """What it finds in a picture of `wh` pixels."""
        coordinates = self.coordinates or coordinates_of_model(model) or asked_coordinates(question)
        names = asked_names(question)
        return [
            _find(box, names[place % len(names)], wh, coordinates, self.form)
            for place, box in enumerate(self.places(digest, wh))
        ]

    @property
    def ends_early(self) -> bool:
        """Whether its answers end at their limit."""
        return self.form == "cut"

    def answer(self, request: ParsedRequest, model: str) -> str:
        """What it answers."""
        height, width = decoded(request.jpegs[0]).shape[:2]
        finds = self.finds(request.pictures[0], (width, height), request.text, model)
        return (BOX_FORMS.get(self.form) or DOUBTFUL[self.form]).write(finds)


def _find(box: tuple[int, int, int, int], name: str, wh: tuple[int, int], coordinates: Coordinates, form: str) -> Find:
    shares = (box[0] / wh[0], box[1] / wh[1], box[2] / wh[0], box[3] / wh[1])
    if form in IN_BINS:
        bins = (IN_BINS[form],) * 2
        numbers = [min(number, IN_BINS[form] - 1) for number in _numbers(Coordinates("px", y_first=True), shares, bins)]
        return Find(name, tuple(numbers), bins, y_first=True)
    scale_wh: tuple[float, float] = (1, 1) if coordinates.unit == "0-1" else (1000, 1000)
    if coordinates.unit == "px":
        scale_wh = coordinates.resize.size(*wh) if coordinates.resize else wh
    return Find(name, _numbers(coordinates, shares, wh), scale_wh, coordinates.y_first)


def _numbers(
    coordinates: Coordinates, shares: tuple[float, float, float, float], wh: tuple[int, int]
) -> tuple[float, ...]:
    return tuple(json.loads(coordinates.text(shares, wh)))


def asks_for_boxes(request: ParsedRequest) -> bool:
    """Whether a request is one for boxes: it says how they are to be written, and asks for no region's caption."""
    return not request.numbers and _QUESTION.search(request.text) is not None and not _REGION.search(request.text)


def asked_coordinates(question: str) -> Coordinates:
    """Those that a question asks for, in the words of `Coordinates.form`; pixels where it does not say."""
    unit = next((unit for unit, pattern in _UNITS.items() if pattern.search(question)), "px")
    return Coordinates(unit, y_first="[y1" in question)


def asked_names(question: str) -> tuple[str, ...]:
    """What a question asks for: "Find dog, bicycle in the image." `THINGS` where it names nothing.

    >>> asked_names("Find dog, red car in the image."), asked_names("Find every object in the image.")[0]
    (('dog', 'red car'), 'dog')
    """
    named = _NAMED.search(question)
    if named is None or _ANYTHING.search(named[1]):
        return THINGS
    return tuple(name.strip() for name in re.split(r",| and ", named[1]) if name.strip()) or THINGS
