"""Texts without labels count by place only where nothing says that they are in another order."""

from __future__ import annotations

import json

import pytest

from regioncap.captioners.reading.parsing import parse

DOG, CAT, SUN = "A dog runs on grass", "A cat sleeps", "The sun sets over a lake"

SWAPPED = [
    f"{CAT} (region 2).\n{DOG} (region 1).\n{SUN} (region 3).",
    f"{CAT} <region2>\n{DOG} <region1>\n{SUN} <region3>",
    f"{CAT} [2]\n{DOG} [1]\n{SUN} [3]",
    f"{CAT} - 2\n{DOG} - 1\n{SUN} - 3",
    f"{CAT}, as region two shows.\n{DOG}.\n{SUN}.",
    f"The box numbered 2 shows {CAT}.\nThe box numbered 1 shows {DOG}.\nThe box numbered 3 shows {SUN}.",
    f"Green box: {CAT}.\nRed box: {DOG}.\nBlue box: {SUN}.",
    f"Middle: {CAT}.\nLeft: {DOG}.\nRight: {SUN}.",
    json.dumps([f"{CAT} (region 2)", f"{DOG} (region 1)", f"{SUN} (region 3)"]),
    json.dumps([f"{CAT} [2]", f"{DOG} [1]", f"{SUN} [3]"]),
]
FIELDS = [
    ("slot", (2, 1, 3)),
    ("regionNumber", ("2", "1", "3")),
    ("title", ("Region 2", "Region 1", "Region 3")),
    ("name", ("second", "first", "third")),
    ("region", ("B", "A", "C")),
    ("region", ("middle", "left", "right")),
]
OF_ANOTHER = [
    f"The box numbered 2 shows {CAT}.",
    f"The object labeled 2 is {CAT}.",
    f"{CAT} (region 2)",
    f"{CAT} <region2>",
    f"{CAT} [2]",
    f"2 → {CAT}",
]


def _as_meant(captions: dict[int, str]) -> bool:
    """Whether no region has another's text."""
    return all({1: "dog", 2: "cat", 3: "sun"}[number] in text for number, text in captions.items())


@pytest.mark.parametrize("text", SWAPPED)
def test_what_names_regions_is_not_read_by_place(text: str) -> None:
    assert _as_meant(parse(text, [1, 2, 3]))


@pytest.mark.parametrize(("field", "names"), FIELDS)
def test_objects_that_say_their_region_somehow_are_not_read_by_place(field: str, names: tuple[object, ...]) -> None:
    texts = zip(names, (CAT, DOG, SUN), strict=True)
    assert _as_meant(parse(json.dumps([{field: name, "caption": text} for name, text in texts]), [1, 2, 3]))


def test_objects_with_other_fields_are_read_by_place() -> None:
    text = json.dumps([{"label": "dog", "caption": DOG, "confidence": 0.9}, {"label": "cat", "caption": CAT}])
    assert parse(text, [1, 2]) == {1: DOG, 2: CAT}


@pytest.mark.parametrize("text", OF_ANOTHER)
def test_the_text_of_another_region_is_not_that_of_the_only_one(text: str) -> None:
    assert parse(text, [1]) == {}


def test_numbers_of_other_things_do_not_matter() -> None:
    assert parse(f"{DOG} with 14 puppies.\n{CAT} on a sofa.", [1, 2]) == {
        1: f"{DOG} with 14 puppies.",
        2: f"{CAT} on a sofa.",
    }
    assert parse("A player with number 7 on his back.", [1]) == {1: "A player with number 7 on his back."}


def test_attributes_that_are_words_for_regions_are_labels() -> None:
    text = f'<caption region="2">{CAT}</caption>\n<caption region="1">{DOG}</caption>'
    assert parse(text, [1, 2]) == {1: DOG, 2: CAT}


def test_a_draft_within_json_that_was_cut_off_never_counts() -> None:
    text = '{"draft": {"region1": "A wolf", "region2": "A fox"}, "final": {"region1": "A do'
    assert parse(text, [1, 2], cut=True, structured=True) == {}


def test_json_with_captions_for_keys_leaves_no_json_in_captions() -> None:
    assert parse(json.dumps({CAT: "region2", DOG: "region1"}), [1, 2]) == {}
