"""What of a folder is read, data files or images, and how what is not read is counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from PIL import Image

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.inputs.found_files import FoundInput, find_files, in_words
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS, Place
from regioncap.vision.headers import EXTENSIONS, FORMATS

ROWS = b'{"image": "a.jpg"}\n{"image": "b.jpg"}\n'
COCO = json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}).encode()


@pytest.fixture(params=["disk", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty folder on each backend."""
    if request.param == "memory":
        yield "memory://in"
        fsspec.filesystem("memory").store.clear()
        return
    yield f"{request.getfixturevalue('bucket') if request.param == 's3' else tmp_path}/in"


def write(folder: str, **files: bytes) -> None:
    for name, data in files.items():
        Place(folder).child(name).write(data)


def found_in(address: str, **more: Any) -> FoundInput:
    config = RegionCapConfig(input=address, captioner="pixels", **{"output": "/nowhere/o.jsonl"} | more)
    return find_files(config, DEFAULT_FILESYSTEMS)


def names_of(found: FoundInput) -> list[str]:
    return [file.name for file in found.data] or found.images


def test_every_extension_of_the_formats_that_are_read_counts() -> None:
    Image.init()
    assert {name for name, kind in Image.EXTENSION.items() if kind in FORMATS} <= EXTENSIONS


def test_files_are_rows_or_are_counted(folder: str) -> None:
    images = ["B.JPG", "a.avif", "b.jfif", "c.JP2", "d/e.pgm", "h [1] #?.jpe"]
    others = ["notes.txt", "more.TXT", "IMG.HEIC", "README", "x.very long extension", ".DS_Store", "__MACOSX/._a.jpg"]
    write(folder, **dict.fromkeys([*images, *others], b"x"))
    found = found_in(folder)
    assert (found.data, found.images) == ([], images)
    assert found.left_out == {
        ".txt": 2, ".heic": 1, "without extension": 1, "other": 1, "hidden": 2,
    }  # fmt: skip
    assert len(images) + sum(found.left_out.values()) == len(images) + len(others)


@pytest.mark.parametrize(
    ("name", "data", "read"),
    [
        ("info.json", b'{"description": "photos of 2024", "url": "https://host/", "version": 1}', False),
        ("info.json", b'{\n "description": {\n  "year": 2024}\n}', False),
        ("README.json", b"not JSON at all", False),
        ("classes.csv", b"id,name\n1,dog\n2,cat\n", False),
        ("classes.json", b'["dog", "cat"]', False),
        ("empty.jsonl", b"", False),
        ("rows.jsonl", ROWS, True),
        ("one.json", b'{"image": "a.jpg"}', True),
        ("metadata.jsonl", b'{"file_name": "a.jpg", "text": "a dog"}\n', True),
        ("metadata.csv", b"file_name,text\na.jpg,a dog\n", True),
        ("rows.json", b'[{"image": "a.jpg"}, {"image": "b.jpg"}]', True),
        ("instances.json", COCO, True),
        ("broken.jsonl.gz", b"\x1f\x8b\x08 broken", True),
    ],
)
def test_a_data_file_beside_images_counts_if_its_rows_have_images(
    tmp_path: Path, name: str, data: bytes, read: bool
) -> None:
    write(str(tmp_path), **{name: data, "a.jpg": b"x", "b.jpg": b"x"})
    found = found_in(str(tmp_path))
    assert names_of(found) == ([name] if read else ["a.jpg", "b.jpg"])
    kind = Path(name.removesuffix(".gz")).suffix
    assert found.left_out == ({"images beside rows": 2} if read else {kind: 1})


def test_the_image_key_that_is_named_counts(tmp_path: Path) -> None:
    write(str(tmp_path), **{"x.csv": b"photo,id\na.jpg,1\n", "y.csv": b"name\na\n", "a.jpg": b"x"})
    assert names_of(found_in(str(tmp_path), image_key="photo")) == ["x.csv"]
    assert names_of(found_in(str(tmp_path))) == ["a.jpg"]


def test_a_label_file_for_each_image_hides_none(tmp_path: Path) -> None:
    labels = json.dumps({"imagePath": "a.jpg", "shapes": [{"label": "dog"}]}, indent=1).encode()
    files = {f"{number}.{kind}": data for number in range(30) for kind, data in (("jpg", b"x"), ("json", labels))}
    write(str(tmp_path), **files)
    found = found_in(str(tmp_path))
    assert (len(found.images), found.left_out) == (30, {".json": 30})


def test_of_many_data_files_the_further_ones_count_as_the_first(tmp_path: Path) -> None:
    write(str(tmp_path), **{f"{number:02}.jsonl": ROWS for number in range(30)}, **{"a.jpg": b"", "z.json": b"{}"})
    found = found_in(str(tmp_path))
    assert (len(found.data), found.left_out) == (30, {"images beside rows": 1, ".json": 1})


def test_without_images_every_data_file_counts(folder: str) -> None:
    write(folder, **{"a.jsonl": ROWS, "b.csv": b"id\n1\n", "c.md": b""})
    found = found_in(folder)
    assert (names_of(found), found.left_out) == (["a.jsonl", "b.csv"], {".md": 1})


def test_a_glob_counts_what_it_matches(folder: str) -> None:
    write(folder, **{"a.jpg": b"x", "b.jpeg": b"x", "b.txt": b"x", "d/c.jpg": b"x"})
    assert found_in(f"{folder}/*").left_out == {".txt": 1}
    assert found_in(f"{folder}/*.jp*g") == FoundInput(Place(folder), images=["a.jpg", "b.jpeg"])
    assert found_in(f"{folder}/**/*.jpg").images in (["a.jpg", "d/c.jpg"], ["d/c.jpg"])  # fsspec's versions differ


def test_rare_kinds_are_counted_together(tmp_path: Path) -> None:
    write(str(tmp_path), **{f"b.x{number}": b"" for number in range(40)}, **{"a.jpg": b"x", "c.txt": b"", "d.txt": b""})
    left_out = found_in(str(tmp_path)).left_out
    assert (left_out[".txt"], left_out["other"], sum(left_out.values())) == (2, 21, 42)


def test_nothing_to_read_says_what_is_there(tmp_path: Path) -> None:
    write(str(tmp_path), **{"a.heic": b"", "b.heic": b"", ".c.jpg": b""})
    with pytest.raises(UsageError, match=r"found: 2 \.heic, 1 hidden\); expected JSON Lines"):
        found_in(str(tmp_path))


def test_a_folder_of_hidden_files_says_so(tmp_path: Path) -> None:
    write(str(tmp_path), **{".c.jpg": b""})
    with pytest.raises(UsageError, match=r"there is no file in .* \(found: 1 hidden\)"):
        found_in(str(tmp_path))


def test_s3_is_asked_for_no_file(bucket: str) -> None:
    fs, _ = DEFAULT_FILESYSTEMS.open(bucket)
    calls: list[str] = []

    def noted(model: Any, **_: Any) -> None:
        calls.append(model.name)

    def asked_for(files: int) -> list[str]:
        write(f"{bucket}/in", **{f"{number}.jpg": b"x" for number in range(files)}, **{"a.txt": b""})
        calls.clear()
        assert len(found_in(f"{bucket}/in").images) == files
        return calls.copy()

    fs.s3.meta.events.register("before-call.s3", noted)
    try:
        assert asked_for(2) == asked_for(20)
    finally:
        fs.s3.meta.events.unregister("before-call.s3", noted)
    assert len(calls) < 10


def test_counts_in_words() -> None:
    assert in_words({".txt": 1200, "hidden": 1}) == "1,200 .txt, 1 hidden"
