"""Images that rows held are kept by content, and found by the names that rows have in their place."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef
from regioncap.storage.filesystem import Place
from regioncap.storage.images import ImageFiles
from regioncap.storage.row_images import RowImages, digest_in, digests_in, file_name_in, name_of, undecodable_name

DATA = b"no picture, but bytes"
NAME = name_of(DATA, "image/png", 'ü/a;b,c "d".png')


@pytest.fixture(params=["disk", "memory", "s3"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "disk":
        return Place(str(tmp_path / "cache"))
    if request.param == "memory":
        return Place(f"memory://{tmp_path.name}/cache")
    return Place(f"{request.getfixturevalue('bucket')}/cache")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_what_was_put_is_read(cache: Place, pool: ThreadPoolExecutor) -> None:
    kept = RowImages(cache)
    kept.put_all({NAME: DATA, name_of(b"x", "image/png"): b"x"}, pool)
    assert (kept.read(NAME), kept.read(name_of(b"x", "image/gif"))) == (DATA, b"x")
    digest = digest_in(NAME)
    assert digest is not None
    assert cache.child("images", digest[:2], digest).read() == DATA


def test_images_are_read_as_all_others_are(cache: Place, pool: ThreadPoolExecutor) -> None:
    kept = RowImages(cache)
    kept.put_all({NAME: DATA}, pool)
    images, refs = ImageFiles("/", row_images=kept), [ImageRef(NAME), ImageRef("gone.png")]
    assert images.read(refs[0]) == DATA
    with images.fetched(refs, pool):
        assert images.read(refs[0]) == DATA
    assert images.stats(refs, "head", pool) == images.stats(refs, "listing", pool) == [None, None]
    assert images.stat(refs[0]) is None


def test_damage_is_found_and_mended_by_the_next_put(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    kept = RowImages(Place(str(tmp_path)))
    kept.put_all({NAME: DATA}, pool)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    file.write_bytes(DATA[:-1] + b"!")
    with pytest.raises(RowReject) as reject:
        kept.read(NAME)
    assert (reject.value.code, "a run of its input puts it there again" in reject.value.message) == (
        "image_unavailable", True,
    )  # fmt: skip
    kept.put_all({NAME: DATA}, pool)
    assert kept.read(NAME) == DATA


def test_images_are_looked_for_in_every_cache(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    first, second = Place(str(tmp_path / "a")), Place(str(tmp_path / "b"))
    RowImages(second).put_all({NAME: DATA}, pool)
    assert RowImages(first, second).read(NAME) == DATA


def test_images_that_are_held_are_read_before_the_cache_has_them(tmp_path: Path) -> None:
    images = ImageFiles(str(tmp_path), row_images=RowImages(Place(str(tmp_path / "cache"))))
    images.keep({NAME: DATA})
    assert images.read(ImageRef(NAME)) == DATA
    images.close()
    with pytest.raises(RowReject, match="image_unavailable"):
        images.read(ImageRef(NAME))


def test_what_could_not_be_decoded_is_unreadable() -> None:
    with pytest.raises(RowReject, match=r"image_unreadable.*cannot be decoded"):
        ImageFiles("/").read(ImageRef(undecodable_name("data:image/png;base64,!", "a.png")))


def test_names_hold_what_they_are_made_of() -> None:
    assert file_name_in(NAME) == 'ü/a;b,c "d".png'
    assert file_name_in(name_of(DATA, "image/png")) == ""
    assert [digest_in(name) for name in ("a.png", "data:image/png;base64,AAAA", "data:;sha256=12")] == [None] * 3
    rows = f'{{"image":"{NAME}"}}\n{{"image":"a.png"}}'.encode()
    assert list(digests_in(rows)) == [digest_in(NAME)]
