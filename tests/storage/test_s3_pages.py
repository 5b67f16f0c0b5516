"""Listings that are read past botocore say what botocore says."""

from __future__ import annotations

from typing import Any

import fsspec
import pytest
from s3fs import S3FileSystem

from regioncap.storage.direct_s3 import DirectS3FileSystem
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS, Place
from regioncap.storage.s3_pages import S3Object, _page_in, list_objects, list_page

NAMES = ["a.jpg", "a b+c.jpg", "ä/ö.jpg", "&lt;x>&amp;'\".jpg", "50%25.jpg", "folder/"]


@pytest.fixture
def s3(bucket: str) -> Any:
    """S3 as runs open it, which have read from the bucket."""
    Place(f"{bucket}/read").write(b"x")
    Place(f"{bucket}/read").read()
    return DEFAULT_FILESYSTEMS.open(bucket)[0]


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
    real, real_text, pages = S3FileSystem._call_s3, DirectS3FileSystem.list_text, []

    async def in_small_pages(self: Any, method: str, *args: Any, **more: Any) -> Any:
        return await real(self, method, *args, **more, MaxKeys=3)

    async def small_text(self: Any, bucket: str, query: dict[str, str]) -> str | None:
        pages.append(query)
        return await real_text(self, bucket, {**query, "max-keys": "3"})

    monkeypatch.setattr(DirectS3FileSystem, "list_text", small_text)
    assert list(list_objects(s3, name, "in/")) == whole
    assert len(pages) == 3
    monkeypatch.setattr(S3FileSystem, "_call_s3", in_small_pages)
    assert list(list_objects(fsspec.filesystem("s3", use_listings_cache=False), name, "in/")) == whole


ODD = {
    "other fields": ("<ETag>", "<Tag>"),
    "cut off": ("</ListBucketResult>", ""),
    "a date that is none": ("<LastModified>", "<LastModified>soon "),
    "no place to go on": ("<IsTruncated>false", "<IsTruncated>true"),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_does_not_look_as_expected_is_left_to_botocore(
    s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    name = bucket.removeprefix("s3://")
    s3.pipe_file(f"{bucket}/in/a", b"x")
    whole = by_botocore(s3, name, "in/")
    assert list_page(s3, name, "in/").objects == whole
    real, texts = DirectS3FileSystem.list_text, []

    async def odd_text(*args: Any) -> str | None:
        text = await real(*args)
        texts.append(text and text.replace(*ODD[odd]))
        assert text is None or texts[-1] != text
        return texts[-1]

    monkeypatch.setattr(DirectS3FileSystem, "list_text", odd_text)
    assert [list_page(s3, name, "in/").objects for _ in range(2)] == [whole, whole]
    assert len([text for text in texts if text]) == 1  # what cannot be read is not asked for again


def test_fields_that_other_stores_have_between_are_passed_over() -> None:
    text = (
        "<ListBucketResult><Contents><Key>a</Key><Generation>1</Generation><LastModified>2026-01-01T00:00:00Z"
        "</LastModified><Owner>me</Owner><ETag>&quot;e&quot;</ETag><ChecksumType>FULL</ChecksumType><Size>7</Size>"
        "<Owner><ID>1</ID></Owner></Contents></ListBucketResult>"
    )
    assert _page_in(text).objects == [S3Object("a", '"e"', 7, 1767225600.0)]


def test_errors_are_those_of_s3fs(s3: Any, bucket: str) -> None:
    with pytest.raises(FileNotFoundError, match="bucket"):
        list_page(s3, "no-such-bucket-here", "in/")
