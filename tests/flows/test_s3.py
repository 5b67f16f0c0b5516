"""The whole flow on S3: input, images, cache and output in a bucket, over HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import fsspec
import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer, caption_of
from regioncap.config.model import RegionCapConfig
from regioncap.errors import StorageError, UsageError
from regioncap.output.summary import Summary
from regioncap.storage.filesystem import Place
from regioncap.storage.images import ImageFiles
from tests.support.photos import draw_photo
from tests.support.rows import BOX
from tests.support.runs import Run
from tests.support.s3_requests import S3Requests

S3Run = Callable[..., Summary]


@pytest.fixture
def s3(bucket: str) -> Any:
    """The filesystem that the test looks with."""
    return fsspec.filesystem("s3", use_listings_cache=False)


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """A model server."""
    with RunningServer(Behaviour(latency=0.0, slots=16)) as running:
        yield running


@pytest.fixture
def s3_requests(bucket: str, monkeypatch: pytest.MonkeyPatch) -> S3Requests:
    """What the test's process sends to S3."""
    return S3Requests(monkeypatch)


@pytest.fixture
def run_s3(prefect_server: None, bucket: str, server: RunningServer) -> S3Run:
    """A run on the bucket's `photos.jsonl`."""
    from regioncap.flows.region_caption import region_caption

    def run(**changes: Any) -> Summary:
        values = {
            "input": f"{bucket}/in/photos.jsonl",
            "output": f"{bucket}/out/captions.jsonl",
            "cache_path": f"{bucket}/cache",
            "captioner": "openai",
            "model": "fake-vlm",
            "endpoint": server.url,
            "max_boxes": 3,
            "max_pixels": 40_000,
        }
        return region_caption(RegionCapConfig(**{**values, **changes}))

    return run


def put_photo(s3: Any, url: str, seed: int) -> None:
    done, data = cv2.imencode(".png", draw_photo(seed))
    assert done
    s3.pipe_file(url, data.tobytes())


def put_rows(s3: Any, url: str, rows: list[dict[str, Any]]) -> None:
    s3.pipe_file(url, "".join(json.dumps(row) + "\n" for row in rows).encode())


@pytest.fixture
def rows(s3: Any, bucket: str) -> list[dict[str, Any]]:
    """Twelve rows, with and without boxes, and their photos."""
    found = []
    for number in range(12):
        put_photo(s3, f"{bucket}/in/photos/{number}.png", number)
        boxes = {"bbox": [BOX, [5, 5, 30, 12]]} if number % 3 else {}
        found.append({"image": f"photos/{number}.png", "id": number, **boxes})
    put_rows(s3, f"{bucket}/in/photos.jsonl", found)
    return found


def output(s3: Any, url: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in s3.cat_file(url).splitlines()]


def check(found: list[dict[str, Any]]) -> None:
    """Every region has the caption of its own picture and number."""
    for row in found:
        picture = Path(row["meta_info"]["image_with_bbox"]).stem[:32]
        count = row["meta_info"]["valid_bboxes_num"]
        assert row["mdvp_record"] == [f"<region{n}> {caption_of((picture,), n)}" for n in range(1, count + 1)]


def test_a_bucket_gives_what_a_disk_gives(
    s3: Any, bucket: str, run_s3: S3Run, rows: list[dict[str, Any]], tmp_path: Path, run: Run, server: RunningServer
) -> None:
    run_s3()
    there = output(s3, f"{bucket}/out/captions.jsonl")
    check(there)
    s3.get(f"{bucket}/in", str(tmp_path), recursive=True)
    run(tmp_path / "in", captioner="openai", model="fake-vlm", endpoint=server.url, max_pixels=40_000)
    here = [json.loads(line) for line in (tmp_path / "in" / "out.jsonl").read_text().splitlines()]
    for one, other in zip(there, here, strict=True):
        assert one["meta_info"].pop("image_with_bbox").split("/marks/")[1] in other["meta_info"].pop("image_with_bbox")
    assert there == here
    marked = output(s3, f"{bucket}/out/captions.jsonl")[0]["meta_info"]["image_with_bbox"]
    assert s3.cat_file(marked)[:2] == b"\xff\xd8"


def test_a_finished_run_reads_no_image_and_asks_nothing(
    bucket: str, run_s3: S3Run, rows: list[dict[str, Any]], server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_s3()
    asked = server.stats["requests"]

    def forbidden(*_: Any) -> bytes:
        raise AssertionError("an image was read")

    monkeypatch.setattr(ImageFiles, "read", forbidden)
    again = run_s3()
    assert (again.step_seconds, again.captions_asked, server.stats["requests"]) == ({}, 0, asked)


def test_only_what_changed_is_asked(
    s3: Any, bucket: str, run_s3: S3Run, rows: list[dict[str, Any]], server: RunningServer
) -> None:
    first = run_s3()
    put_photo(s3, f"{bucket}/in/photos/4.png", 99)
    assert run_s3().captions_asked == 2
    check(output(s3, f"{bucket}/out/captions.jsonl"))
    changed = run_s3(prompt="What is in the {num_regions} regions?")
    assert changed.captions_asked == first.regions
    asked = server.stats["requests"]
    assert run_s3().captions_asked == 0
    # Other shards, another order, another name, a duplicate, a cache that moved:
    put_rows(s3, f"{bucket}/in/renamed.jsonl", [*rows[::-1], rows[3]])
    s3.copy(f"{bucket}/cache/", f"{bucket}/moved/", recursive=True)
    moved = run_s3(input=f"{bucket}/in/renamed.jsonl", cache_path=f"{bucket}/moved", shard_size=5)
    assert (moved.rows_out, moved.captions_asked, server.stats["requests"]) == (13, 0, asked)
    check(output(s3, f"{bucket}/out/captions.jsonl"))


def test_parts_on_s3(s3: Any, bucket: str, run_s3: S3Run, rows: list[dict[str, Any]]) -> None:
    run_s3(output=f"{bucket}/parts/", shard_size=4)
    run_s3(shard_size=4)
    names = sorted(name for name in s3.ls(f"{bucket}/parts", detail=False) if "/part-" in name)
    assert len(names) > 1
    assert b"".join(map(s3.cat_file, names)) == s3.cat_file(f"{bucket}/out/captions.jsonl")
    before = {name: s3.info(name)["LastModified"] for name in names}
    assert s3.exists(f"{bucket}/parts/_SUCCESS")
    assert run_s3(output=f"{bucket}/parts/", shard_size=4).complete
    assert {name: s3.info(name)["LastModified"] for name in names} == before


def test_credentials_from_a_block(
    s3: Any, bucket: str, run_s3: S3Run, rows: list[dict[str, Any]], s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.blocks.system import Secret
    from prefect.filesystems import RemoteFileSystem

    options = {"key": "key-of-block", "secret": "secret-of-block", "endpoint_url": s3_server}
    RemoteFileSystem(basepath=bucket, settings=options).save("test-store", overwrite=True)
    Secret(value=json.dumps(options)).save("test-store", overwrite=True)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    for number, block in enumerate(("test-store", "secret/test-store")):
        assert run_s3(storage_block=block, seed=number).rows_out == 12
    summary = s3.cat_file(f"{bucket}/out/captions.summary.json")
    assert b"secret-of-block" not in summary
    with pytest.raises(UsageError, match="no Prefect block 'secret/nobody'"):
        run_s3(storage_block="secret/nobody")


def test_an_endpoint_in_the_settings(
    bucket: str, run_s3: S3Run, rows: list[dict[str, Any]], s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert run_s3(s3_endpoint_url=s3_server, s3_region="us-east-1").rows_out == 12


# --- what goes wrong


def test_a_bucket_that_is_not_there_is_named(bucket: str, run_s3: S3Run, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(StorageError, match=r"cannot write s3://no-such-bucket-here/cache/.*bucket does not exist"):
        run_s3(cache_path="s3://no-such-bucket-here/cache")


def test_an_endpoint_that_is_not_there_is_named(bucket: str, run_s3: S3Run, rows: list[dict[str, Any]]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(StorageError, match=r"cannot .* s3://") as stopped:
            run_s3(s3_endpoint_url=f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert "secret-of-tests" not in str(stopped.value)


def test_a_writer_that_breaks_off_publishes_nothing(s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regioncap.storage.filesystem.SINGLE_PUT_BYTES", 1000)
    name = bucket.removeprefix("s3://")
    place = Place(f"{bucket}/out.jsonl")
    place.write(b"before")

    def fail() -> None:
        with place.writer() as file:
            file.write(b"x" * 12_000_000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert place.read() == b"before"
    # The store refuses the last request of a long upload: nothing appears, and no parts are left to be paid for.
    real = type(s3)._call_s3

    async def refusing(self: Any, method: str, *args: Any, **arguments: Any) -> Any:
        if method == "complete_multipart_upload":
            raise PermissionError("Access Denied")
        return await real(self, method, *args, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(s3), "_call_s3", refusing)
        with (
            pytest.raises(StorageError, match=r"cannot write s3://.*/out\.jsonl: Access Denied"),
            place.writer() as file,
        ):
            file.write(b"x" * 120_000_000)
    assert place.read() == b"before"
    assert s3.call_s3("list_multipart_uploads", Bucket=name).get("Uploads", []) == []
    with place.writer() as file:
        file.write(b"y" * 120_000_000)
    assert place.size() == 120_000_000


# --- how many requests that takes


def test_a_run_sends_one_request_for_each_picture_answer_and_mark(
    s3: Any, bucket: str, run_s3: S3Run, rows: list[dict[str, Any]], server: RunningServer, s3_requests: S3Requests
) -> None:
    s3_requests.clear()
    run_s3()
    assert s3_requests.below("in/photos/")["GET"] == len(rows)
    assert s3_requests.below("cache/marks") == {"PUT": len(rows)}
    captions = s3_requests.below("cache/captions")
    assert captions["PUT"] == len(rows)
    assert captions["GET"] + captions["LIST"] <= 4  # before Prefect starts, and when others see the run
    steps = s3_requests.below("cache/regioncap_step")
    assert (steps["HEAD"], steps["PUT"]) == (0, 13)  # a shard: seven files, six manifests
    s3_requests.clear()
    run_s3()
    assert s3_requests.below("in/photos/")["GET"] == 0
    assert s3_requests.below("cache/marks")["LIST"] == 1  # and those of the last second are read: clocks tick slowly
    assert s3_requests.below("cache/captions")["GET"] == 0
    # No manifest, and `load` only for the rows that the run's page shows.
    read = [key for method, key in s3_requests.sent if method == "GET" and "_step" in key]
    assert not [key for key in read if key.endswith(".json")]
    assert sum("_step1/" in key for key in read) == 1
    # The rows in another order and in other shards: each answer is read, and the model is asked for nothing.
    asked = server.stats["requests"]
    put_rows(s3, f"{bucket}/in/shuffled.jsonl", rows[::-1])
    s3_requests.clear()
    assert run_s3(input=f"{bucket}/in/shuffled.jsonl", shard_size=5).captions_asked == 0
    assert server.stats["requests"] == asked
    captions = s3_requests.below("cache/captions")
    assert (captions["GET"], captions["PUT"]) == (len(rows), 0)
    assert s3_requests.below("in/photos/")["GET"] == len(rows)
    check(output(s3, f"{bucket}/out/captions.jsonl"))


# --- what a run remembers for the next one


@pytest.fixture
def steps_file(s3: Any, bucket: str, run_s3: S3Run, rows: list[dict[str, Any]]) -> str:
    """Where a finished run left what it knew of its steps."""
    run_s3(shard_size=5)
    (found,) = (name for name in s3.ls(f"{bucket}/cache/regioncap_runs", detail=False) if name.endswith(".steps"))
    return str(found)


def test_what_a_run_remembers_hides_no_change(
    s3: Any, bucket: str, run_s3: S3Run, steps_file: str, rows: list[dict[str, Any]], server: RunningServer
) -> None:
    lines = s3.cat_file(steps_file).splitlines()
    assert [len(json.loads(line)["manifests"]) for line in lines] == [6] * len(lines)
    assert all(json.loads(line)["images"]["pages"] for line in lines)
    # A photo that no row names is on the same page of the listing.
    put_photo(s3, f"{bucket}/in/photos/other.png", 98)
    assert run_s3(shard_size=5).captions_asked == 0
    put_photo(s3, f"{bucket}/in/photos/7.png", 99)
    assert run_s3(shard_size=5).captions_asked == 2
    check(output(s3, f"{bucket}/out/captions.jsonl"))
    # The same names in another folder, where one photo is another.
    s3.copy(f"{bucket}/in/", f"{bucket}/moved/", recursive=True)
    put_photo(s3, f"{bucket}/moved/photos/2.png", 97)
    assert run_s3(input=f"{bucket}/moved/photos.jsonl", shard_size=5).captions_asked == 2
    s3.rm_file(f"{bucket}/moved/photos/5.png")
    gone = run_s3(input=f"{bucket}/moved/photos.jsonl", shard_size=5, max_reject_share=0.5)
    assert (gone.rows_out, gone.rejects_by_code, gone.captions_asked) == (11, {"image_missing": 1}, 0)


def manifests_in(s3: Any, steps_file: str) -> list[Any]:
    """What it remembers of each shard; which pages told of the images depends on which was asked for first."""
    return [json.loads(line)["manifests"] for line in s3.cat_file(steps_file).splitlines()]


@pytest.mark.parametrize("left", [b"", b"damaged", b'{"manifests":[{"key":"0"}],"images":null}\n{}\n', None])
def test_what_a_run_remembers_may_be_damaged_or_gone(
    s3: Any, run_s3: S3Run, steps_file: str, server: RunningServer, left: bytes | None
) -> None:
    whole, asked = manifests_in(s3, steps_file), server.stats["requests"]
    if left is None:
        s3.rm_file(steps_file)
    else:
        s3.pipe_file(steps_file, left)
    again = run_s3(shard_size=5)
    assert (again.step_seconds, server.stats["requests"]) == ({}, asked)
    assert manifests_in(s3, steps_file) == whole


@pytest.mark.parametrize("step", range(1, 7))
def test_a_step_file_that_is_gone_or_damaged_is_made_again_though_it_is_remembered(
    s3: Any, bucket: str, run_s3: S3Run, steps_file: str, server: RunningServer, step: int
) -> None:
    before, asked = s3.cat_file(f"{bucket}/out/captions.jsonl"), server.stats["requests"]
    gone, damaged, *_ = (
        name for name in s3.ls(f"{bucket}/cache/regioncap_step{step}", detail=False) if name.endswith(".jsonl")
    )
    s3.rm_file(gone)
    s3.pipe_file(damaged, s3.cat_file(damaged)[:-1] + b" ")  # of the same size: seen when it is read
    s3.rm_file(f"{bucket}/out/captions.jsonl")
    s3.rm_file(f"{bucket}/out/captions.summary.json")
    assert run_s3(shard_size=5).complete
    assert (s3.cat_file(f"{bucket}/out/captions.jsonl"), server.stats["requests"]) == (before, asked)
    assert s3.exists(gone)
    again = run_s3(shard_size=5)
    assert (again.step_seconds, again.captions_asked) == ({}, 0)
