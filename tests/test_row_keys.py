"""What a row holds under the keys that settings name: one meaning, wherever a key is named."""

from __future__ import annotations

from typing import Any

import pytest

from regioncap.errors import RowReject
from regioncap.row_keys import (
    MAX_PATHS,
    MISSING,
    boxes_at,
    image_name_at,
    keys_in_words,
    near_key,
    paths_of,
    value_at,
)

BOX = [1, 2, 3, 4]
ROW: dict[str, Any] = {
    "bbox": [BOX],
    "none": None,
    "objects": {"bbox": [BOX], "none": None, "deep": {"a.b": 1}},
    "objects.id": "its own name",
    "a.b": {"c": 2, "d.e": 3},
    "annotations": [{"bbox": BOX, "id": 7}, {"id": 8}],
    "nested": [{"parts": [{"n": 1}, {"n": 2}]}, {"parts": []}, {}],
    "items": ["x", "y"],
    "empty": [],
    "text": "plain",
    "json": '[{"bbox": [1, 2, 3, 4]}]',
    "broken": "[{",
}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("bbox", [BOX]),
        ("none", None),
        ("objects.bbox", [BOX]),
        ("objects.none", None),
        ("objects.id", "its own name"),
        ("objects.deep.a.b", 1),
        ("a.b.c", 2),
        ("a.b.d.e", 3),
        ("annotations.id", [7, 8]),
        ("annotations.bbox", [BOX, None]),
        ("annotations.0.bbox", BOX),
        ("nested.parts.n", [[1, 2], [], None]),
        ("items.1", "y"),
        ("empty.bbox", []),
        ("json", '[{"bbox": [1, 2, 3, 4]}]'),
        ("json.bbox", [BOX]),
        ("broken.bbox", MISSING),
        ("missing", MISSING),
        ("objects.missing", MISSING),
        ("annotations.missing", MISSING),
        ("annotations.2", MISSING),
        ("annotations.1.bbox", MISSING),
        ("annotations.99999999999999999999", MISSING),
        ("items.x", MISSING),
        ("text.x", MISSING),
        ("text.0", MISSING),
        ("none.x", MISSING),
        ("", MISSING),
        (".", MISSING),
        ("objects.", MISSING),
        (".bbox", MISSING),
        ("objects..bbox", MISSING),
    ],
)
def test_the_value_at_a_key(key: str, expected: Any) -> None:
    assert value_at(ROW, key) == expected
    assert value_at(ROW, key, "default") == ("default" if expected is MISSING else expected)


@pytest.mark.parametrize("row", [None, "text", 3, [], [1]])
def test_what_is_no_row_has_no_key(row: Any) -> None:
    assert value_at(row, "bbox", None) in (None, [])


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"objects": {"bbox": [BOX, BOX]}}, [BOX, BOX]),
        ({"objects": {"bbox": BOX}}, [BOX]),
        ({"objects": {"bbox": "[[1, 2, 3, 4]]"}}, [BOX]),
        ({"objects": [{"bbox": BOX}, {"label": "no box"}]}, [BOX, [None] * 4]),
        ({"objects": []}, []),
        ({"objects": None}, None),
        ({}, None),
    ],
)
def test_boxes_at_a_path(row: dict[str, Any], expected: Any) -> None:
    assert boxes_at(row, "objects.bbox") == expected


def test_a_null_among_the_boxes_of_a_plain_key_is_refused() -> None:
    with pytest.raises(RowReject, match="box 1: expected four numbers, got None"):
        boxes_at({"bbox": [BOX, None]}, "bbox")


@pytest.mark.parametrize(
    "image",
    ["a.jpg", ["a.jpg"], [["a.jpg"]], {"path": "a.jpg", "bytes": None}, {"path": "a.jpg"}, [{"path": "a.jpg"}]],
)
def test_an_image_is_named_in_many_ways(image: Any) -> None:
    assert image_name_at({"image": image}, "image") == "a.jpg"
    assert image_name_at({"sample": {"image": image}}, "sample.image") == "a.jpg"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (["a.jpg", "b.jpg", "c.jpg"], r"'image' holds 3 images; expected one; image_key=image\.0 takes the first"),
        ([], "'image' holds no image; expected one"),
        (None, "expected the path or URL of an image, but 'image' is None; see image_key"),
        ([None], "but 'image' is None"),
        (" ", "but 'image' is ' '"),
        (3, "but 'image' is 3"),
        ({"path": None, "bytes": None}, "but 'image' is {'path': None"),
        ({"path": "a.jpg", "bytes": "aGk="}, "but 'image' is {'path': 'a.jpg'"),
    ],
)
def test_what_names_no_image_is_refused(image: Any, message: str) -> None:
    with pytest.raises(RowReject, match=message) as reject:
        image_name_at({"image": image}, "image")
    assert reject.value.code == "bad_row"
    with pytest.raises(RowReject, match="there is no key 'img'"):
        image_name_at({"image": image}, "img")


def test_the_paths_of_a_row_come_in_its_order() -> None:
    row = {"image": "a", "objects": {"bbox": [], "more": {"x": 1}}, "annotations": [{"id": 1}, {"bbox": []}]}
    assert paths_of(row) == [
        "image", "objects", "objects.bbox", "objects.more", "objects.more.x",
        "annotations", "annotations.id", "annotations.bbox",
    ]  # fmt: skip
    assert all(value_at(row, path) is not MISSING for path in paths_of(row))


def test_a_huge_row_has_few_paths() -> None:
    wide = {f"key{number}": {"a": number} for number in range(10_000)}
    deep: dict[str, Any] = {}
    for _ in range(150):
        deep = {"in": [deep, deep]}
    assert len(paths_of(wide)) == MAX_PATHS
    assert max(map(len, paths_of(deep))) < 20
    assert paths_of({"k" * 100_000: 1, "b": 2}) == ["b"]


@pytest.mark.parametrize(
    ("key", "known", "expected"),
    [
        ("boxs", ["image", "boxes", "label"], "boxes"),
        ("BBox", ["bbox", "boxes"], "bbox"),
        ("file-name", ["image", "file_name"], "file_name"),
        ("object.bbox", ["image", "objects", "objects.bbox"], "objects.bbox"),
        ("bbox", ["image", "objects", "objects.bbox"], "objects.bbox"),
        ("scores", ["objects.score", "image"], "objects.score"),
        ("titel", ["image", "title"], "title"),
        ("zzz", ["image", "title"], None),
        ("zzz", [], None),
    ],
)
def test_the_key_that_was_probably_meant(key: str, known: list[str], expected: str | None) -> None:
    assert near_key(key, known) == expected


def test_keys_in_a_message_are_few_and_without_secrets() -> None:
    assert keys_in_words("boxs", ["image", "boxes"]) == "did you mean 'boxes'? The rows have: image, boxes"
    assert keys_in_words("zzz", ["image"]) == "the rows have: image"
    long = keys_in_words("k" * 90, ["k" * 99, *(f"key number {number}" for number in range(500)), "sk-" + "1a" * 20])
    assert len(long) < 240
    assert "1a1a1a" not in keys_in_words("zzz", ["image", "sk-" + "1a" * 20])
