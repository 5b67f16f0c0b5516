"""Marked pictures that were deleted or damaged are drawn again when an output names them, and no row is lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run

Pictures = dict[str, bytes]


def pictures(folder: Path) -> Pictures:
    return {path.name: path.read_bytes() for path in (folder / "cache" / "marks").rglob("*.jpg")}


def marked(folder: Path, name: str) -> Path:
    return folder / "cache" / "marks" / name[:2] / name


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photos with a box each."""
    for number in range(6):
        write_photo(tmp_path / f"{number}.png", number)
    write_rows(tmp_path / "photos.jsonl", [{"image": f"{number}.png", "bbox": [BOX]} for number in range(6)])
    return tmp_path


def empty_long_ago(path: Path) -> None:
    path.write_bytes(b"")
    os.utime(path, (1e9, 1e9))


DAMAGE: list[Callable[[Path], Any]] = [
    Path.unlink,
    lambda path: path.write_bytes(b""),
    empty_long_ago,
    lambda path: path.write_bytes(path.read_bytes()[:100]),
    lambda path: path.write_bytes(path.read_bytes()[::-1]),
    lambda path: shutil.rmtree(path.parent),
]


def test_a_rerun_draws_them_again(photos: Path, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run(photos)
    before, output = pictures(photos), (photos / "out.jsonl").read_bytes()
    run(photos)  # from here on the pictures are known to be whole
    assert "drawn again" not in caplog.text
    for name, damage in zip(sorted(before), DAMAGE, strict=True):
        damage(marked(photos, name))
    again = run(photos)
    assert (pictures(photos), (photos / "out.jsonl").read_bytes()) == (before, output)
    assert again.step_seconds == {}
    assert "6 marked pictures were gone or damaged in the cache; they were drawn again" in caplog.text


@pytest.mark.parametrize("output", ["second.jsonl", "parts/"])
def test_another_output_has_its_pictures_and_pays_for_nothing(photos: Path, run: Run, output: str) -> None:
    with RunningServer(Behaviour(latency=0.0)) as server:
        asking = {"captioner": "openai", "model": "fake-vlm", "endpoint": server.url, "max_pixels": 40_000}
        run(photos, **asking)
        before, asked = pictures(photos), server.stats["requests"]
        shutil.rmtree(photos / "cache" / "marks")
        again = run(photos, **asking, output=f"{photos}/{output}")
        assert (pictures(photos), again.captions_asked) == (before, 0)
        assert server.stats["requests"] == asked


def test_pictures_of_an_earlier_version_are_checked_once(
    photos: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run(photos)
    before = pictures(photos)
    for check in (photos / "cache" / "regioncap_runs").glob("*.marks"):
        check.unlink()
    garbled = marked(photos, min(before))
    garbled.write_bytes(garbled.read_bytes()[::-1])
    os.utime(garbled, (1e9, 1e9))
    run(photos)
    assert pictures(photos) == before
    assert "1 marked pictures" in caplog.text


def test_without_the_image_it_is_said_and_the_row_stays(
    photos: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    # An image that is gone makes its row a reject, unless images are not checked.
    run(photos, image_check="never")
    before = pictures(photos)
    shutil.rmtree(photos / "cache" / "marks")
    (photos / "0.png").unlink()
    for _ in range(2):
        caplog.clear()
        summary = run(photos, image_check="never")
        assert (summary.complete, len(read_rows(photos / "out.jsonl"))) == (True, 6)
        assert "1 marked pictures that the output names are gone or damaged and cannot be drawn again" in caplog.text
        assert "(1: the image is gone, too); its rows and captions are complete" in caplog.text
    assert (len(before), len(pictures(photos))) == (6, 5)
    assert pictures(photos).items() < before.items()


def test_in_an_object_store(bucket: str, photos: Path, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run(photos, cache_path=f"{bucket}/cache")
    s3 = fsspec.filesystem("s3", use_listings_cache=False)
    before = {path: s3.cat_file(path) for path in s3.find(f"{bucket}/cache/marks")}
    deleted, garbled, emptied, *_ = sorted(before)
    s3.rm_file(deleted)
    s3.pipe_file(garbled, before[garbled][::-1])
    s3.pipe_file(emptied, b"")
    again = run(photos, cache_path=f"{bucket}/cache")
    assert {path: s3.cat_file(path) for path in s3.find(f"{bucket}/cache/marks")} == before
    assert again.step_seconds == {}
    assert "3 marked pictures were gone or damaged" in caplog.text
