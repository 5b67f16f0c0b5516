"""The fake model that sees: what it names is what is under the mark, and it mixes up what it is told to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from regioncap.captioners.fake.model import ParsedRequest, decoded
from regioncap.captioners.fake.sight import UNSEEN, Sight, look, marks_in
from regioncap.vision.drawing import draw_marks
from regioncap.vision.images import decode, encode_jpeg
from tests.support.panels import colour_in, panel_rows


def marked(folder: Path, regions: int, seed: int = 0) -> tuple[bytes, list[str]]:
    """A picture with marks, as a JPEG, and the colours under them by number."""
    (row,) = panel_rows(folder, 1, regions, seed)
    image = decode((folder / row["image"]).read_bytes(), max_image_pixels=1_000_000)
    height, width = image.shape[:2]
    drawn = draw_marks(image, row["bbox"], full_size_wh=(width, height), dim=1.0)
    return encode_jpeg(drawn, 85), row["colours"]


def said(sight: Sight, jpeg: bytes, numbers: Sequence[int], asking: str) -> dict[int, str]:
    return sight.describe(ParsedRequest(("",), tuple(numbers), {}, 1, 1, jpegs=(jpeg,), asking=asking))


def colours_said(sight: Sight, jpeg: bytes, numbers: Sequence[int], asking: str = "") -> list[str | None]:
    """The colours that it names, by number."""
    found = said(sight, jpeg, numbers, asking)
    return [colour_in(found[number]) for number in sorted(numbers)]


@pytest.mark.parametrize("regions", [1, 2, 5, 12])
def test_it_names_the_colour_under_each_mark(tmp_path: Path, regions: int) -> None:
    for seed in range(5):
        jpeg, colours = marked(tmp_path, regions, seed)
        image = decoded(jpeg)
        marks = marks_in(image)
        assert [look(image, marks, number)[0] for number in range(1, regions + 1)] == colours


def test_without_a_mark_it_sees_nothing(tmp_path: Path) -> None:
    jpeg, colours = marked(tmp_path, 2)
    assert said(Sight(), jpeg, [1, 4, 99], "") | {1: ""} == {1: "", 4: UNSEEN, 99: UNSEEN}
    assert colours_said(Sight(), jpeg, [1, 2]) == colours


def test_its_words_differ_from_sample_to_sample(tmp_path: Path) -> None:
    jpeg, colours = marked(tmp_path, 3)
    texts = [said(Sight(), jpeg, [1, 2, 3], f"{sample}") for sample in range(20)]
    assert len({text[1] for text in texts}) > 10
    assert {colour_in(text[1]) for text in texts} == {colours[0]}
    assert texts[0] == said(Sight(), jpeg, [1, 2, 3], "0")


def test_by_number_neighbours_in_number_are_swapped(tmp_path: Path) -> None:
    jpeg, (a, b, c) = marked(tmp_path, 3)
    sight = Sight({"number": 1.0})
    assert colours_said(sight, jpeg, [1, 2, 3]) == colours_said(sight, jpeg, [3, 2, 1]) == [b, a, c]
    assert colours_said(sight, jpeg, [2]) == [b]


def test_by_order_each_gets_the_caption_of_the_next(tmp_path: Path) -> None:
    jpeg, (a, b, c) = marked(tmp_path, 3)
    sight = Sight({"order": 1.0})
    assert colours_said(sight, jpeg, [1, 2, 3]) == [b, c, a]
    assert colours_said(sight, jpeg, [3, 2, 1]) == [c, a, b]


def test_mix_ups_come_in_their_share_of_the_requests(tmp_path: Path) -> None:
    jpeg, colours = marked(tmp_path, 2)
    sight = Sight({"number": 0.3})
    found = Counter(colours_said(sight, jpeg, [1, 2], f"{sample}") == colours for sample in range(200))
    assert 40 <= found[False] <= 80


def test_by_place_the_same_neighbours_are_swapped_each_time(tmp_path: Path) -> None:
    jpeg, colours = marked(tmp_path, 4)
    sight = Sight({"place": 1.0})
    found = [colours_said(sight, jpeg, [1, 2, 3, 4], f"{sample}") for sample in range(5)]
    assert all(one == found[0] for one in found)
    assert sorted(map(str, found[0])) == sorted(colours)
    assert not any(one == true for one, true in zip(found[0], colours, strict=True))
