"""Known boxes in every form, in every convention of coordinates, on pictures of every size, and things that are none.

The forms are those of the fake server. What a box is in pixels is reckoned here from the numbers that it wrote.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regioncap.captioners.fake.box_forms import BOX_FORMS, DOUBTFUL, Find
from regioncap.captioners.fake.boxes import Boxes
from regioncap.captioners.reading.found_boxes import FoundBoxes, read_found
from regioncap.config.coordinates import QWEN_25, Coordinates
from regioncap.vision.found_regions import Regions, found_in

CONVENTIONS = {
    "px": Coordinates("px"),
    "px-yxyx": Coordinates("px", y_first=True),
    "resized": Coordinates("px", resize=QWEN_25),
    "0-1": Coordinates("0-1"),
    "0-1-yxyx": Coordinates("0-1", y_first=True),
    "0-1000": Coordinates("0-1000"),
    "0-1000-yxyx": Coordinates("0-1000", y_first=True),
}
SIZES = [
    (640, 480), (480, 640), (1537, 832), (33, 7), (8, 8), (7, 5), (999, 1000), (1001, 1003), (1, 400), (4000, 3000),
    (3000, 4000), (12_000, 90),
]  # fmt: skip
"""Photos, turned photos, odd, tiny and huge ones."""
QUESTION = "Find dog, red cup, ампула, 自転車 in the image, as bbox_2d."


def finds_of(form: str, coordinates: Coordinates, wh: tuple[int, int], seed: str) -> list[Find]:
    return Boxes(form, coordinates).finds(seed, wh, QUESTION, "some-model")


def rounded(found: FoundBoxes, wh: tuple[int, int]) -> list[list[int]]:
    """The boxes in whole pixels, as every finder's are."""
    returned = Regions([region.box for region in found.regions])
    return found_in(returned, wh, wh, max_boxes=100, min_score=-1).boxes if found.regions else []


def pixels_of(find: Find, wh: tuple[int, int]) -> list[int]:
    """The box xywh that its numbers mean: at borders of pixels where such round to them, else rounded outwards."""
    ends: list[int] = []
    sides, scales = (wh, find.scale_wh) if not find.y_first else (wh[::-1], find.scale_wh[::-1])
    for place, number in enumerate(find.numbers):
        side, scale = sides[place % 2], Fraction(scales[place % 2])
        step = Fraction(1, 1000) if scale == 1 and coarse(find) else Fraction(1)
        exact = Fraction(str(number)) * side / scale
        near, outwards = round(exact), math.floor(exact) if place < 2 else math.ceil(exact)
        ends.append(near if abs(exact - near) <= step * side / scale / 2 else outwards)
    a, b, c, d = ends
    x1, y1, x2, y2 = (b, a, d, c) if find.y_first else (a, b, c, d)
    return [x1, y1, x2 - x1, y2 - y1]


def coarse(find: Find) -> bool:
    """Whether its numbers are shares of the picture, in thousandths."""
    return any(isinstance(number, float) for number in find.numbers)


def places_of(seed: str, wh: tuple[int, int]) -> list[list[int]]:
    return [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in Boxes().places(seed, wh)]


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("form", BOX_FORMS)
def test_known_boxes_are_read_exactly(form: str, convention: str) -> None:
    coordinates = CONVENTIONS[convention]
    for seed, wh, scale in itertools.product("abc", SIZES, (1, 3)):
        sent_wh = (-(-wh[0] // scale), -(-wh[1] // scale))
        finds = finds_of(form, coordinates, sent_wh, seed)
        found = read_found(BOX_FORMS[form].write(finds), wh, sent_wh, coordinates)
        assert (found.problem, found.dropped) == ("", ())
        assert [region.label for region in found.regions] == [find.name for find in finds]
        assert rounded(found, wh) == [pixels_of(find, wh) for find in finds]
        if scale == 1 and all(most >= side for most, side in zip(finds[0].scale_wh, wh, strict=True)):
            assert rounded(found, wh) == places_of(seed, wh)  # no less fine than pixels


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("form", DOUBTFUL)
def test_what_is_no_answer_gives_no_box(form: str, convention: str) -> None:
    coordinates = CONVENTIONS[convention]
    for seed, wh in itertools.product("abc", SIZES):
        text = DOUBTFUL[form].write(finds_of(form, coordinates, wh, seed))
        ends = [len(text)] if form != "cut" else range(len(text) - 2)
        for end in ends:
            assert read_found(text[:end], wh, wh, coordinates, cut=form == "cut").regions == ()


@settings(max_examples=300)
@given(
    st.sampled_from([*BOX_FORMS]), st.sampled_from([*CONVENTIONS]), st.integers(0, 99), st.floats(0, 1), st.booleans()
)
def test_of_an_answer_that_breaks_off_only_whole_boxes_are_read(
    form: str, convention: str, seed: int, share: float, cut: bool
) -> None:
    wh, coordinates = (640, 480), CONVENTIONS[convention]
    finds = finds_of(form, coordinates, wh, str(seed))
    text = BOX_FORMS[form].write(finds)
    found = read_found(text[: int(share * len(text))], wh, wh, coordinates, cut=cut)
    whole = [pixels_of(find, wh) for find in finds]
    assert rounded(found, wh) == whole[: len(found.regions)]


COUNTS = [
    "[{n}, {n}, {n}]", "[{n}, {n}, {n}, {n}, {n}]", "({n},{n}),({n})", "({n}, {n})", "[{n}]",
    "[[{n}, {n}], [{n}, {n}]]", "[{n}, {n}, x, {n}]", "[{n}, {n}, NaN, {n}]", "[{n}, {n}, {n} {n}, {n}]",
    "[{n}, {n}, 9%, {n}]", "[, {n}, {n}, {n}]", "[{n}; {n}; {n}; {n}]", "{n} {n} {n} {n}", "[{n}, {n}, {n}, {n}",
    "{n}, {n}, {n}, {n}]",
]  # fmt: skip
"""What is no box, with numbers of any size."""
AROUND = [
    '{{"bbox_2d": {}, "label": "dog"}}', '[{{"box_2d": {}}}]', "<box>{}", "<ref>dog</ref>{}", "dog: {}", "- dog {}",
    "{}", "<|box_start|>{}", "dog{}", '{{"label": "dog", "box": "{}"}}', "```json\n{}\n```", '{{"dog": {}}}',
    "The dog is {}.", "<quad>{}</quad>", '{{"bbox": {{"x": {}}}}}', "<think>{}</think>", "{}</box>",
    "<loc0001><loc0002><loc0003>{}",
]  # fmt: skip
ITEM = st.builds(
    lambda around, count, numbers: around.format(count.replace("{n}", "{}").format(*numbers)),
    st.sampled_from(AROUND),
    st.sampled_from(COUNTS),
    st.lists(st.integers(-50, 2000) | st.floats(0, 1).map(lambda share: round(share, 3)), min_size=8, max_size=8),
)

NO_BRACKETS = st.characters(exclude_characters="[](){}<>")  # these could make a box of a piece that is none


@settings(max_examples=400)
@given(
    st.lists(ITEM | st.text(NO_BRACKETS, max_size=12), max_size=6),
    st.sampled_from("\n "),
    st.sampled_from([*CONVENTIONS]),
)
def test_garbage_never_becomes_a_box(pieces: list[str], between: str, convention: str) -> None:
    found = read_found(between.join(pieces), (640, 480), (640, 480), CONVENTIONS[convention])
    assert found.regions == ()


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [*"[](){}<>,:\"'|/;\n ", "bbox_2d", "label", "box", "ref", "dog", "\x07", "<loc0100>", "[1, 2, 3, 4]"]
        )
        | st.integers(-20, 1100).map(str)
        | st.text(max_size=4)
        | ITEM
        | st.tuples(*[st.integers(0, 500)] * 4).map(
            lambda n: f'{{"bbox_2d": {[n[0], n[1], n[0] + n[2], n[1] + n[3]]}, "label": "a {n[0]}"}}'
        ),
        max_size=20,
    ).map("".join),
    st.sampled_from([*CONVENTIONS]),
    st.booleans(),
)
def test_whatever_comes_a_region_is_one(text: str, convention: str, cut: bool) -> None:
    found = read_found(text, (640, 480), (640, 480), CONVENTIONS[convention], cut=cut)
    for region in found.regions:
        x, y, width, height = region.box
        assert min(x, y) >= 0 < min(width, height)
        assert x + width <= 640 + 1e-6
        assert y + height <= 480 + 1e-6
        label = region.label
        assert label is None or (label == " ".join(label.split()) and len(label) <= 200)
        assert label is None or (
            any(map(str.isalpha, label)) and label.isprintable() and not set(label) & set("<>[]{}")
        )
    assert all(len(dropped.text) <= 200 and dropped.reason for dropped in found.dropped)
