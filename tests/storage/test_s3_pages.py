"""Listings that are read past botocore say what botocore says."""

from __future__ import annotations

from typing import Any

import fsspec
import pytest

from regioncap.storage import s3_pages
from regioncap.storage.s3_pages import S3Object, list_objects, list_page

NAMES = ["a.jpg", "a b+c.jpg", "ä/ö.jpg", "&lt;x>&amp;'\".jpg", "50%25.jpg", "folder/"]


@pytest.fixture
def s3(bucket: str) -> Any:
    return fsspec.filesystem("s3", use_listings_cache=False)


def by_botocore(s3: Any, bucket: str, prefix: str) -> list[S3Object]:
    found = s3.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix).get("Contents", [])
    return [S3Object(item["Key"], item["ETag"], item["Size"], item["LastModified"].timestamp()) for item in found]


def test_names_of_all_kinds(s3: Any, bucket: str) -> None:
    name = bucket.removeprefix("s3://")
    for number, key in enumerate(NAMES):
        s3.call_s3("put_object", Bucket=name, Key=f"in/{key}", Body=b"x" * number)
    page = list_page(s3, name, "in/")
    assert page.next == ""
    assert page.objects == by_botocore(s3, name, "in/")
    assert {item.key for item in page.objects} == {f"in/{key}" for key in NAMES}
    after = list_page(s3, name, "in/", after=page.objects[2].key)
    assert after.objects == page.objects[3:]
    assert list_page(s3, name, "nothing/").objects == []


def test_page_after_page(s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = bucket.removeprefix("s3://")
    for number in range(7):
        s3.pipe_file(f"{bucket}/in/{number}", b"")
    whole = by_botocore(s3, name, "in/")
    real = type(s3)._call_s3

    async def in_small_pages(self: Any, method: str, *args: Any, **more: Any) -> Any:
        return await real(self, method, *args, **more, MaxKeys=3)

    monkeypatch.setattr(type(s3), "_call_s3", in_small_pages)
    assert list(list_objects(s3, name, "in/")) == whole


def test_what_does_not_look_as_expected_is_left_to_botocore(
    s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bucket.removeprefix("s3://")
    s3.pipe_file(f"{bucket}/in/a", b"x")
    whole = list_page(s3, name, "in/")

    def odd(text: str, decode: Any) -> S3Object:
        raise ValueError(text)

    monkeypatch.setattr(s3_pages, "_object_in", odd)
    assert list_page(s3, name, "in/") == whole


def test_errors_are_those_of_s3fs(s3: Any, bucket: str) -> None:
    with pytest.raises(FileNotFoundError, match="bucket"):
        list_page(s3, "no-such-bucket-here", "in/")
