"""Images that stand in rows are taken out of them as the rows are read; everything else stays as it is."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from regioncap.inputs.inline_images import images_apart
from regioncap.records import Shard
from regioncap.storage.row_images import digest_in, file_name_in
from tests.support.inline_rows import base64_of, data_uri, forms_of, photo_file

PNG = photo_file(1)
DIGEST = hashlib.sha256(PNG).hexdigest()
FORMS = forms_of(PNG)


def apart(row: Any, image_key: str = "image") -> tuple[Any, dict[str, bytes], int]:
    """The row as it is afterwards, the images, and how many rows hold bare base64."""
    text = row if isinstance(row, bytes) else json.dumps(row).encode()
    shard, bare = images_apart(Shard(0, "", [(1, text)], 1.0), image_key)
    return json.loads(shard.lines[0][1]), shard.images, bare


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_image_is_known(form: str) -> None:
    row, images, _ = apart({"id": 7, "image": FORMS[form]})
    name = row["image"]
    assert (row["id"], digest_in(name), images) == (7, DIGEST, {name: PNG})
    assert name.startswith("data:image/png;")


def test_the_files_name_is_kept() -> None:
    names = {form: file_name_in(apart({"image": value})[0]["image"]) for form, value in FORMS.items()}
    told = {form: name for form, name in names.items() if name}
    objects = ("object", "object as text", "object as Python prints it")
    assert told == {"parameters": "a b.png", **dict.fromkeys(objects, "photos/a b.png")}


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".jp2", ".ppm", ".gif"])
def test_base64_of_every_format_is_known(ending: str) -> None:
    try:
        data = photo_file(1, ending)
    except AssertionError:
        pytest.skip(f"OpenCV writes no {ending} here")
    for text in (json.dumps(base64_of(data)), json.dumps(base64_of(data)).replace("/", "\\/")):
        row, images, bare = apart(b'{"image": %s}' % text.encode())
        assert (images, bare) == ({row["image"]: data}, 1)


PATHS = [
    "a.jpg", "data:a.jpg", "", "/9j/photos/2024", "AAAAphotos/x", "Qk0abcde/photos", "iVBORw0KGgo", "UDYKx", "b'",
    "s3://bucket/data:image/png;base64,AAAA", "b'a.jpg", "{x}.jpg", "b'\\x'",
    "data:image/png;sha256=" + DIGEST, base64_of(b"no picture, but bytes that are long enough to be one, who knows"),
]  # fmt: skip
NO_IMAGES = [
    *({"bytes": None, "path": "a.jpg"}, {"path": "a.jpg"}, {"bytes": 5}, {"url": FORMS["uri"]}),
    *(None, 5, [], ["a.jpg", "b.jpg"]),
]


@pytest.mark.parametrize("value", [*PATHS, *NO_IMAGES])
def test_everything_else_is_left_as_it_is(value: Any) -> None:
    text = json.dumps({"image": value}, indent=1).replace("\n", " ").encode()
    shard = Shard(0, "", [(3, text)], 1.0)
    assert images_apart(shard, "image") == (shard, 0)


@pytest.mark.parametrize("text", [str({"bytes": None, "path": "it's a.jpg"}), '{"bytes": null, "path": "it\'s a.jpg"}'])
def test_a_path_in_a_cell_of_csv_is_unwrapped(text: str) -> None:
    assert apart({"image": text}) == ({"image": "it's a.jpg"}, {}, 0)


def test_images_under_other_keys_are_carried() -> None:
    row = {"image": "a.jpg", "mask": FORMS["uri"], "bytes": FORMS["base64"]}
    assert apart(row) == (row, {}, 0)


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("data.image", {"data": {"image": FORMS["base64"]}}),
        ("data.image", {"data.image": FORMS["base64"]}),
        ("images.1", {"images": ["a.jpg", FORMS["base64"]]}),
        ("images", {"images": [FORMS["object"]]}),
        ("messages.image", {"messages": [{"text": "x"}, {"image": FORMS["uri"]}]}),
        ('the "pic"', {'the "pic"': FORMS["uri"]}),
    ],
)
def test_a_key_may_lead_into_the_row(key: str, row: Any) -> None:
    found, images, _ = apart(row, key)
    assert list(images.values()) == [PNG]
    assert base64_of(PNG)[:40] not in json.dumps(found)


@pytest.mark.parametrize(
    "value", [data_uri(PNG)[:-9] + "!", data_uri(PNG) + "=AAA", {"bytes": "not base64!", "path": "a.png"}]
)
def test_what_cannot_be_decoded_is_named_by_its_digest_alone(value: Any) -> None:
    row, images, _ = apart({"image": value})
    assert (images, digest_in(row["image"]), len(row["image"]) < 120) == ({}, None, True)
    assert "undecodable=" in row["image"]


def test_a_long_text_that_is_no_path_is_no_path() -> None:
    data = bytes(range(256)) * 20
    row, images, _ = apart({"image": base64_of(data)})
    assert images == {row["image"]: data}
    assert row["image"].startswith("data:application/octet-stream;")


@pytest.mark.parametrize(
    "text", [b'{"image": "data:,', b"[1]", b'"data:,x"', b"\0not a row: x\0{", b'{"image": {"a": 1}}']
)
def test_lines_that_are_no_rows_are_left_to_load(text: bytes) -> None:
    shard = Shard(0, "", [(1, text)], 1.0)
    assert images_apart(shard, "image") == (shard, 0)


def test_equal_images_are_kept_once() -> None:
    text = json.dumps({"image": FORMS["base64"]}).encode()
    shard, bare = images_apart(Shard(0, "", [(1, text), (2, b"{}"), (3, text)], 1.0), "image")
    assert (list(shard.images.values()), bare, shard.lines[1]) == ([PNG], 2, (2, b"{}"))
