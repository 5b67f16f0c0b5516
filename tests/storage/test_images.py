"""Looking at many images at once, and bringing remote ones near."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef
from regioncap.storage import s3_pages
from regioncap.storage.bounded_read import BoundedReader
from regioncap.storage.collecting import ReadLimits
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS, Place
from regioncap.storage.images import ImageFiles
from regioncap.storage.listing import Listings, key_before
from regioncap.storage.scratch import Scratch
from tests.support.s3_requests import S3Requests


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for what lies beyond a network."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


def put(bucket: str, names: list[str]) -> None:
    fs = fsspec.filesystem("s3")
    for name in names:
        fs.pipe_file(f"{bucket}/{name}", name.encode())


def test_a_file_url_may_be_encoded(tmp_path: Path) -> None:
    (tmp_path / "a b.jpg").write_bytes(b"decoded")
    images = ImageFiles(str(tmp_path))
    assert images.read(ImageRef(f"file://{tmp_path}/a%20b.jpg")) == b"decoded"
    assert images.stat(ImageRef(f"file://{tmp_path}/a%20b.jpg")) == images.stat(ImageRef(f"file://{tmp_path}/a b.jpg"))
    (tmp_path / "a%20b.jpg").write_bytes(b"as it is")
    assert images.read(ImageRef(f"file://{tmp_path}/a%20b.jpg")) == b"as it is"


def test_no_more_than_the_head_of_a_file_is_read(tmp_path: Path, bucket: str) -> None:
    data = bytes(range(256)) * 4
    (tmp_path / "a.jpg").write_bytes(data)
    fsspec.filesystem("s3").pipe_file(f"{bucket}/a.jpg", data)
    for root in (str(tmp_path), bucket):
        images = ImageFiles(root)
        assert images.read_head(ImageRef("a.jpg"), 300) == data[:300]
        assert images.read_head(ImageRef("a.jpg"), 3000) == data
        with pytest.raises(RowReject) as caught:
            images.read_head(ImageRef("gone.jpg"), 300)
        assert caught.value.code == "image_missing"


def test_a_listing_gives_what_heads_give(bucket: str, pool: ThreadPoolExecutor) -> None:
    put(bucket, ["in/a.jpg", "in/b/c.jpg", "in/ä ö.jpg", "other/d.jpg"])
    images = ImageFiles(f"{bucket}/in")
    names = ["b/c.jpg", "a.jpg", "gone.jpg", "ä ö.jpg", "a.jpg", f"{bucket}/other/d.jpg", "a.jp", "a.jpg0"]
    heads = images.stats([ImageRef(name) for name in names], "head", pool)
    assert images.stats([ImageRef(name) for name in names], "listing", pool) == heads
    assert [stat is None for stat in heads] == [False, False, True, False, False, False, True, True]
    assert images.stats([ImageRef(name) for name in names], "never", pool) == [None] * len(names)


def test_an_empty_page_that_is_not_the_last_settles_nothing(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bucket, ["in/a.jpg"])
    monkeypatch.setattr("regioncap.storage.listing.list_page", lambda *_, **__: s3_pages.S3Page([], "more"))
    assert Listings(DEFAULT_FILESYSTEMS, f"{bucket}/in/").look([f"{bucket}/in/a.jpg"]).found == {}


def test_a_page_covers_all_objects_that_it_lists(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "100")  # S3 lists a thousand
    names = [f"in/{number:05d}.jpg" for number in range(120)]
    put(bucket, names)
    listings = Listings(DEFAULT_FILESYSTEMS, f"{bucket}/in/")
    addresses = [f"{bucket}/{name}" for name in names]
    found = listings.look(addresses[::-1]).found
    assert None not in found.values()
    assert (len(found), listings.requests) == (120, 2)
    listings.look(addresses[::7])
    assert listings.requests == 2  # they are remembered
    sparse = Listings(DEFAULT_FILESYSTEMS, f"{bucket}/in/")
    sparse.look([addresses[0], addresses[110], f"{bucket}/in/99999.jpg"])
    assert sparse.requests == 2  # one for each key that no earlier page covers: never more than one a key


def test_a_store_that_refuses_to_list_is_asked_for_each(
    bucket: str, pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    put(bucket, ["a.jpg", "b.jpg"])
    images = ImageFiles(bucket)
    # A store that lists in another order, as S3 Express does, cannot be recognised by its name, but by its pages.
    real = s3_pages.list_page

    def backwards(*args: Any, **more: Any) -> s3_pages.S3Page:
        page = real(*args, **more)
        return s3_pages.S3Page(page.objects[::-1], page.next)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("regioncap.storage.listing.list_page", backwards)
        found = images.stats([ImageRef("a.jpg"), ImageRef("b.jpg")], "listing", pool)
    assert found == images.stats([ImageRef("a.jpg"), ImageRef("b.jpg")], "head", pool)
    assert "cannot be listed" in caplog.text


@pytest.mark.parametrize("key", ["a", "photos/a.jpg", "A0", "x~", "a b ", "ä", "a/b/", "0"])
def test_just_before_a_key(key: str) -> None:
    before = key_before(key)
    assert before.encode() < key.encode()
    assert not before.encode() < f"{key[:-1]}".encode()


def test_changed_objects_are_seen_by_the_next_run(bucket: str, pool: ThreadPoolExecutor) -> None:
    put(bucket, ["a.jpg"])
    before = ImageFiles(bucket).stats([ImageRef("a.jpg")], "listing", pool)
    Place(f"{bucket}/a.jpg").write(b"another")
    assert ImageFiles(bucket).stats([ImageRef("a.jpg")], "listing", pool) != before


# --- scratch


def test_a_fetched_image_is_read_once(bucket: str, pool: ThreadPoolExecutor) -> None:
    put(bucket, ["a.jpg", "b.jpg"])
    images = ImageFiles(bucket)
    with images.fetched([ImageRef(name) for name in ("a.jpg", "b.jpg", "a.jpg", "gone.jpg")], pool):
        Place(f"{bucket}/a.jpg").write(b"another")
        assert (images.read(ImageRef("a.jpg")), images.read(ImageRef("b.jpg"))) == (b"a.jpg", b"b.jpg")
        with pytest.raises(RowReject, match="image_missing"):
            images.read(ImageRef("gone.jpg"))
    assert images.read(ImageRef("a.jpg")) == b"another"


def test_an_image_that_came_whole_with_its_head_is_not_fetched_again(
    bucket: str, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, ["a.jpg", "changed.jpg", "large.jpg"])
    images, requests = ImageFiles(bucket), S3Requests(monkeypatch)
    refs = [ImageRef(name) for name in ("a.jpg", "changed.jpg", "large.jpg")]
    for ref, size in zip(refs, (100, 100, 3), strict=True):
        images.read_head(ref, size)
    Place(f"{bucket}/changed.jpg").write(b"another")
    images.stats(refs, "listing", pool)
    requests.clear()
    with images.fetched(refs, pool):
        assert [images.read(ref) for ref in refs] == [b"a.jpg", b"another", b"large.jpg"]
    assert sorted(requests.sent) == [("GET", "changed.jpg"), ("GET", "large.jpg")]


def test_what_is_brought_ahead_is_let_go_of_with_its_shard_or_when_it_changed(
    bucket: str, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, ["a.jpg", "changed.jpg"])
    images, refs = ImageFiles(bucket), [ImageRef("a.jpg"), ImageRef("changed.jpg")]
    with contextlib.ExitStack() as shard:
        for ref, stat in zip(refs, images.stats(refs, "listing", pool), strict=True):
            images.bring(ref, stat, shard)
        Place(f"{bucket}/changed.jpg").write(b"another")
        monkeypatch.setattr(images._stats, "_listings", Listings(DEFAULT_FILESYSTEMS, bucket))
        images.stats(refs, "listing", pool)
        requests = S3Requests(monkeypatch)
        assert [images.read(ref) for ref in refs] == [b"a.jpg", b"another"]
        assert requests.sent == [("GET", "changed.jpg")]
    assert images.read(refs[0]) == b"a.jpg"
    assert requests.sent[1:] == [("GET", "a.jpg")]


def test_scratch_keeps_to_its_size_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scratch = Scratch[str](most_bytes=25)
    with scratch.holding(list("abcde")) as new:
        for name in new:
            scratch.put(name, name.encode() * 10)
        held = [scratch.read(address) for address in "abcde"]
        assert sum(copy is not None for copy in held) == 2
        assert scratch.bytes == 20
    assert (scratch.bytes, scratch.read("a")) == (0, None)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    scratch.close()
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_two_hold_stays_for_the_second() -> None:
    scratch = Scratch[str]()
    with scratch.holding(["a"]) as first:
        scratch.put("a", b"x")
        with scratch.holding(["a"]) as second:
            assert (first, second) == (["a"], [])
        assert scratch.read("a") == b"x"
    assert scratch.read("a") is None
    scratch.close()


def test_a_cell_that_holds_another_image_than_it_did_is_unavailable(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"one", b"two"]}), tmp_path / "x.parquet")
    digest = hashlib.sha256(b"one").hexdigest()
    images = ImageFiles(str(tmp_path))
    assert images.read(ImageRef("x.parquet", row=1, column="image", sha256=digest)) == b"one"
    with pytest.raises(
        RowReject, match=r"image_unavailable: x\.parquet row 2 is no longer the image that the run read"
    ):
        images.read(ImageRef("x.parquet", row=2, column="image", sha256=digest))


def test_an_image_that_is_held_is_not_larger_than_others_may_be(tmp_path: Path) -> None:
    images = ImageFiles(str(tmp_path), reader=BoundedReader(limits=ReadLimits(max_bytes=4)))
    images.keep({"small": b"1234", "large": b"12345"})
    assert images.read(ImageRef("small")) == b"1234"
    with pytest.raises(RowReject, match="image_too_large"):
        images.read(ImageRef("large"))
    images.close()
