"""One contract for every place: written once, run on disk, in memory and on S3 over HTTP."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from regioncap.errors import RowReject, StorageError
from regioncap.image_ref import ImageRef
from regioncap.storage.answers import Answers, answer_key
from regioncap.storage.filesystem import Place
from regioncap.storage.finding import HIDDEN, FoundFiles
from regioncap.storage.images import ImageFiles
from regioncap.storage.urls import redact_url


@pytest.fixture(params=["disk", "file", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty folder on each backend."""
    match request.param:
        case "disk":
            yield Place(str(tmp_path / "root"))
        case "file":
            yield Place(f"file://{tmp_path}/root")
        case "s3":
            yield Place(f"{request.getfixturevalue('bucket')}/root")
        case "memory":
            yield request.getfixturevalue("memory")


def everything(root: Place) -> list[str]:
    """Names of all files below, hidden ones too."""
    fs, path = fsspec.core.url_to_fs(root.address)
    return sorted(file.rsplit("/", 1)[-1] for file in fs.find(path)) if fs.exists(path) else []


def test_what_is_written_is_read(root: Place) -> None:
    place = root.child("a", "b.bin")
    place.write(b"one")
    place.write(b"three")
    assert (place.read(), place.size(), place.exists()) == (b"three", 5, True)
    assert (place.name, place.parent.url) == ("b.bin", root.child("a").url)


def test_nothing_there(root: Place) -> None:
    place = root.child("gone")
    assert (place.size(), place.exists(), place.is_folder(), place.names()) == (None, False, False, [])
    place.remove()
    with pytest.raises(FileNotFoundError):
        place.read()


def test_names_of_a_folder(root: Place) -> None:
    for name in ("b", "a"):
        root.child("f", name).write(b"")
    assert root.child("f").names() == ["a", "b"]
    assert root.child("f").is_folder()


def test_a_writer_shows_nothing_until_it_ends(root: Place) -> None:
    place = root.child("out.jsonl")
    with place.writer() as file:
        file.write(b"x" * 100)
        assert place.size() is None
    assert place.size() == 100


def test_a_writer_that_fails_leaves_what_was_there(root: Place) -> None:
    place = root.child("out.jsonl")
    place.write(b"before")

    def fail() -> None:
        with place.writer() as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert place.read() == b"before"
    assert everything(root) == ["out.jsonl"]


def test_append_begins_and_goes_on(root: Place) -> None:
    root.child("runs").append(b"1\n")
    root.child("runs").append(b"2\n")
    assert root.child("runs").read() == b"1\n2\n"


def test_find_leaves_out_what_is_hidden(root: Place) -> None:
    for names in (("a.jpg",), ("_DSC1.JPG",), ("d", "b.jpg"), (".regioncap", "x.jsonl"), ("_SUCCESS",), (".hidden",)):
        root.child(*names).write(b"")
    assert root.find() == FoundFiles(["_DSC1.JPG", "a.jpg", "d/b.jpg"], Counter({HIDDEN: 3}))
    assert root.child("*.jpg").find() == FoundFiles(["a.jpg"], Counter())


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"cannot write .*a\.txt: No space left on device"):
        Place(str(tmp_path / "a.txt")).write(b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        Place(str(tmp_path / "file" / "below")).write(b"x")


def test_an_unknown_filesystem_is_named() -> None:
    with pytest.raises(StorageError, match="nosuch://a/b"):
        Place("nosuch://a/b").read()


PUBLIC = {
    "s3://bucket/a.jsonl": "s3://bucket/a.jsonl",
    "https://user:secret@host:8080/a?sig=secret#x": "https://host:8080/a",
    "data/a b.jsonl": "data/a b.jsonl",
}


@pytest.mark.parametrize("url", PUBLIC)
def test_shown_urls_hold_no_secret(url: str) -> None:
    assert redact_url(url) == PUBLIC[url]


# --- images


LOCATED = {
    ("/data", "a.jpg"): "/data/a.jpg",
    ("/data/", "b/a.jpg"): "/data/b/a.jpg",
    ("/", "a.jpg"): "/a.jpg",
    ("/data", "/other/a.jpg"): "/other/a.jpg",
    ("/data", "s3://bucket/a.jpg"): "s3://bucket/a.jpg",
    ("s3://bucket/x", "a.jpg"): "s3://bucket/x/a.jpg",
    ("memory://", "a.jpg"): "memory://a.jpg",
}


@pytest.mark.parametrize(("root_url", "image"), LOCATED)
def test_where_an_image_lies(root_url: str, image: str) -> None:
    assert ImageFiles(root_url).locate(image) == LOCATED[root_url, image]


UNREADABLE = {
    "gone.jpg": "image_missing",
    "folder": "image_unreadable",
    "file.jpg/below.jpg": "image_missing",
    "a\0b": "image_missing",
    "x" * 5000: "image_missing",
    "nosuch://a/b": "image_missing",
    "memory://nothing/here.jpg": "image_missing",
}


@pytest.mark.parametrize("image", UNREADABLE, ids=lambda image: repr(image[:20]))
def test_an_image_that_cannot_be_read_is_a_reject(tmp_path: Path, image: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.jpg").write_bytes(b"x")
    with pytest.raises(RowReject) as reject:
        ImageFiles(str(tmp_path)).read(ImageRef(image))
    assert reject.value.code == UNREADABLE[image]
    assert str(tmp_path) not in reject.value.message


def test_a_denied_image_may_work_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.jpg").touch()
    monkeypatch.setattr("os.open", denied)
    with pytest.raises(RowReject) as reject:
        ImageFiles(str(tmp_path)).read(ImageRef("a.jpg"))
    assert (reject.value.code, "Permission denied" in reject.value.message) == ("image_unavailable", True)


def test_a_data_url_is_an_image() -> None:
    assert ImageFiles("/data").read(ImageRef("data:text/plain;base64,aGVsbG8=")) == b"hello"


def test_stat_changes_with_the_image_and_survives_json(root: Place) -> None:
    images, place = ImageFiles(root.address), root.child("a.jpg")
    place.write(b"one")
    first = images.stat(ImageRef("a.jpg"))
    assert first is not None
    assert images.stat(ImageRef("a.jpg")) == json.loads(json.dumps(first)) == first
    place.write(b"another")
    assert images.stat(ImageRef("a.jpg")) != first
    assert images.stat(ImageRef("gone.jpg")) is None


# --- answers


def test_an_answer_is_found_by_its_name(root: Place) -> None:
    answers, key = Answers(root), answer_key({"image": "abc", "prompt": "p"})
    assert answers.get(key) is None
    answers.put(key, {"captions": {"1": "a cup"}})
    assert answers.get(key) == {"captions": {"1": "a cup"}}
    assert key == answer_key({"prompt": "p", "image": "abc"}) != answer_key({"image": "abc", "prompt": "q"})


def test_a_broken_answer_is_none(root: Place) -> None:
    root.child("ab", "abc.json").write(b"{half")
    assert Answers(root).get("abc") is None
