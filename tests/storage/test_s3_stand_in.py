"""The benchmarks' stand-in for S3 answers s3fs as moto does, counts what it is sent, and takes its time."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest

from regioncap.storage.s3_pages import list_objects
from tests.support.commands import ROOT


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Any]:
    """The stand-in, without latency."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        module = importlib.import_module("stand_in")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    with module.object_store(0.0) as store:
        yield store


def outcome(call: Any, *args: Any, **more: Any) -> Any:
    """What a call returns, or the kind of its error."""
    try:
        return call(*args, **more)
    except Exception as error:
        return type(error)


def seen(s3: Any, bucket: str) -> list[Any]:
    """What s3fs says in the course of some work in a bucket."""
    for number, name in enumerate(("a/1.jpg", "a/2.jpg", "a/b c+ä&.jpg", "a/b/3.jpg", "ab/4.jpg")):
        s3.pipe_file(f"{bucket}/{name}", bytes(number))
    found = [
        s3.cat_file(f"{bucket}/a/2.jpg"),
        s3.cat_file(f"{bucket}/ab/4.jpg", start=1, end=3),
        s3.info(f"{bucket}/a/2.jpg")["ETag"],
        [name.partition("/")[2] for name in s3.ls(f"{bucket}/a", detail=False)],
        s3.isdir(f"{bucket}/a/b"),
        s3.exists(f"{bucket}/a/none"),
        outcome(s3.cat_file, f"{bucket}/a/none"),
        outcome(s3.pipe_file, f"{bucket}/a/2.jpg", b"", mode="create"),
        outcome(s3.ls, "no-such-bucket-here"),
        [(item.key, item.etag, item.size) for item in list_objects(s3, bucket, "a/")],
    ]
    s3.rm_file(f"{bucket}/a/2.jpg")
    page = s3.call_s3("list_objects_v2", Bucket=bucket, Prefix="a", Delimiter="/", StartAfter="a/1.jpg", MaxKeys=1)
    s3.pipe_file(f"{bucket}/large", b"x" * 11_000_000, chunksize=5_300_000)
    return [
        *found,
        [item["Key"] for item in page.get("Contents", [])],
        [item["Prefix"] for item in page.get("CommonPrefixes", [])],
        page["IsTruncated"],
        s3.info(f"{bucket}/large")["size"],
    ]


def test_it_says_what_moto_says(stand_in: Any, bucket: str) -> None:
    moto = fsspec.filesystem("s3", use_listings_cache=False)
    assert seen(stand_in.fs, "bench") == seen(moto, bucket.removeprefix("s3://"))


def test_it_counts_by_kind_and_folder(stand_in: Any) -> None:
    stand_in.counted(0.0)
    for number in range(3):
        stand_in.fs.pipe_file(f"bench/cache/captions/ab/{number}.json", b"{}")
    stand_in.fs.cat_file("bench/cache/captions/ab/1.json")
    assert not stand_in.fs.isdir("bench/cache/regioncap_step1/below")
    assert stand_in.counted(0.0) == {"put    captions": 3, "get    captions": 1, "list   steps": 1}
    assert stand_in.counted(0.0).total() == 0
