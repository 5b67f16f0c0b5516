"""What a run remembers of its steps for the next one: a copy that is believed while all else agrees."""

from __future__ import annotations

from typing import Any

import pytest

from regioncap.errors import StorageError
from regioncap.records import Row, Step
from regioncap.storage.filesystem import Place
from regioncap.storage.listing import PageMark
from regioncap.storage.remembered import MAX_PAGES, RememberedSteps
from regioncap.storage.steps import Manifest, StepStorage, digest, key_parts

INPUT = "0" * 64
PARTS = key_parts("load", "1", {"image_key": "image"}, INPUT)
KEY = digest(PARTS)
ROWS: list[Row] = [{"image": "a.jpg"}]
RETRYABLE: Row = {"reject": {"step": "load", "code": "internal_error", "message": "a bug"}}


def marks(count: int = 1) -> frozenset[PageMark]:
    return frozenset(PageMark("bucket", "in/", f"in/{n}", "0" * 32) for n in range(count))


class Cache:
    """Step 1 of a cache on S3, of which each run remembers what the one before it knew."""

    def __init__(self, folder: Place) -> None:
        self.folder = folder
        self.steps_file = folder.child("test_runs", "0.steps")

    def run(self, images: str = "here") -> StepStorage:
        """The storage as a new run sees it. `images`: where its images are."""
        remembered = RememberedSteps(self.steps_file, images)
        return StepStorage(self.folder.address, "test", remembered=remembered).at(1)

    def finished(self, rows: list[Row] = ROWS, pages: frozenset[PageMark] | None = None) -> Manifest:
        """What a run wrote that finished."""
        storage = self.run()
        manifest = storage.write(PARTS, rows, 0.1)
        storage.remembered.keep_pages(INPUT, pages)
        storage.remembered.write([[Step(0, 0, INPUT[:32], INPUT, len(rows), 0), manifest.reference(0)]])
        return manifest


@pytest.fixture
def cache(bucket: str) -> Cache:
    """A new cache."""
    return Cache(Place(f"{bucket}/cache"))


def test_a_manifest_that_is_remembered_is_not_read(cache: Cache) -> None:
    written = cache.finished()
    storage = cache.run()
    storage.folder.child(f"{KEY}.json").write(b"not read")
    found = storage.find(KEY)
    assert found is not None
    assert found.reference(3) == written.reference(3)


def test_nothing_is_remembered_on_a_disk(tmp_path: Any) -> None:
    remembered = RememberedSteps()
    storage = StepStorage(str(tmp_path), "test", remembered=remembered).at(1)
    written = storage.write(PARTS, ROWS, 0.1)
    remembered.write([[Step(0, 0, INPUT[:32], INPUT, 1, 0), written.reference(0)]])
    assert remembered.manifest(KEY) is None
    assert [path.name for path in tmp_path.iterdir()] == ["test_step1"]


@pytest.mark.parametrize("other_rows", [[{"image": "b.jpg"}], [RETRYABLE]])
def test_a_manifest_that_was_replaced_since_is_read(cache: Cache, other_rows: list[Row]) -> None:
    cache.finished()
    second = StepStorage(cache.folder.address, "test").at(1).write(PARTS, other_rows, 0.1)
    assert cache.run().find(KEY) == (None if second.retryable else second)


def test_where_nothing_can_be_listed_manifests_are_read(memory: Place) -> None:
    cache = Cache(memory)
    written = cache.finished()
    assert cache.run().find(KEY) == written
    cache.run().folder.child(f"{KEY}.json").remove()
    assert cache.run().find(KEY) is None


def test_a_step_file_that_is_gone_is_not_found_though_it_is_remembered(cache: Cache) -> None:
    written = cache.finished()
    cache.run().folder.child(written.data).remove()
    assert cache.run().find(KEY) is None


def test_what_one_run_forgets_no_other_finds(cache: Cache) -> None:
    written = cache.finished()
    StepStorage(cache.folder.address, "test").at(1).forget(KEY)
    assert cache.run().folder.child(written.data).size() == written.bytes
    assert cache.run().find(KEY) is None


def test_rows_that_may_succeed_later_are_not_remembered_as_done(cache: Cache) -> None:
    cache.finished()
    cache.finished([RETRYABLE])
    assert cache.run().find(KEY) is None


def test_pages_are_remembered_for_the_images_that_they_told_of(cache: Cache) -> None:
    written = cache.finished(pages=marks(2))
    assert cache.run().remembered.pages(written.sha256) == marks(2)
    assert cache.run().remembered.pages("another file of load") is None
    assert cache.run(images="elsewhere").remembered.pages(written.sha256) is None


@pytest.mark.parametrize("pages", [None, marks(MAX_PAGES + 1)])
def test_images_that_no_listing_told_or_too_many_are_compared(cache: Cache, pages: frozenset[PageMark] | None) -> None:
    assert cache.run().remembered.pages(cache.finished(pages=pages).sha256) is None


def test_a_run_that_learned_nothing_new_writes_nothing(cache: Cache) -> None:
    written = cache.finished(pages=marks())
    storage = cache.run()
    storage.remembered.keep_pages(INPUT, storage.remembered.pages(written.sha256))
    before = cache.steps_file.changed_at()
    storage.remembered.write([[Step(0, 0, INPUT[:32], INPUT, 1, 0), written.reference(0)]])
    assert cache.steps_file.changed_at() == before


def test_a_step_that_another_process_made_again_is_not_remembered_as_it_was(cache: Cache) -> None:
    cache.finished()
    parent = cache.run()
    assert parent.find(KEY) is not None
    worker = StepStorage(cache.folder.address, "test").at(1)
    again = worker.write(PARTS, [{"image": "b.jpg"}], 0.1)
    parent.remembered.write([[Step(0, 0, INPUT[:32], INPUT, 1, 0), again.reference(0)]])
    assert RememberedSteps(cache.steps_file, "here").manifest(KEY) is None


def test_a_store_that_takes_no_more_does_not_fail_a_run_that_is_done(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StorageError("s3://b/0.steps", "write", "quota exceeded")

    storage = cache.run()
    manifest = storage.write(PARTS, ROWS, 0.1)
    monkeypatch.setattr(Place, "write", full)
    storage.remembered.write([[Step(0, 0, INPUT[:32], INPUT, 1, 0), manifest.reference(0)]])
    assert "quota exceeded" in caplog.text
