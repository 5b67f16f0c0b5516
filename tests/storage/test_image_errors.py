"""What cannot be read is missing or unavailable, by what was met, with what to do and without secrets."""

from __future__ import annotations

import gc
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef
from regioncap.records import QUOTED_CHARS
from regioncap.storage.image_errors import shown_image
from regioncap.storage.images import ImageFiles
from regioncap.storage.urls import redact_url
from tests.support.http_images import image_server

# fsspec leaves a connection open whose answer it could not use.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SECRET = "hush-hush-hush"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with image_server() as url:
        yield url
    gc.collect()  # what fsspec leaves open is found in this module


def reject_of(image: str, root: Path | str = ".") -> RowReject:
    with pytest.raises(RowReject) as caught:
        ImageFiles(str(root)).read(ImageRef(image))
    return caught.value


MISSING = (404, 410)
HTTP = {
    **{str(status): "is not there" for status in MISSING},
    **{str(status): f"the server answered {status}" for status in (400, 401, 403, 418, 429, 451, 500, 502, 503, 504)},
    "cut": "cut off or damaged",
    "encoded": "cut off or damaged",
    "loop": "its redirects lead nowhere",
    "nowhere": "its redirects lead nowhere",
}


@pytest.mark.parametrize("before", ["", "tar://a.jpg::", "zip://a.jpg::"])
@pytest.mark.parametrize("path", HTTP)
def test_http(path: str, before: str, server: str) -> None:
    reject = reject_of(f"{before}{server}/{path}")
    missing = path.isdigit() and int(path) in MISSING
    assert reject.code == ("image_missing" if missing else "image_unavailable"), reject
    if not before:
        assert HTTP[path] in reject.message
    if path in ("401", "403"):
        assert "credentials" in reject.message


def test_a_server_that_closes(server: str) -> None:
    reject = reject_of(f"{server}/closed")
    assert (reject.code, "cut off or damaged" in reject.message) == ("image_unavailable", True)


@pytest.mark.parametrize(
    ("image", "code", "words"),
    [
        ("http://127.0.0.1:1/a.jpg", "image_unavailable", "Connect call failed"),
        ("tar://a.jpg::http://127.0.0.1:1/a.tar", "image_unavailable", "Connect call failed"),
        ("http://[x]/a.jpg", "image_missing", "cannot be a place"),
        ("http://[::1/a.jpg", "image_missing", "cannot be a place"),
        ("http://a:b/c", "image_missing", "cannot be a place"),
        ("nosuch://a.jpg", "image_missing", "cannot be a place"),
        ("s3://[bucket]/x.jpg", "image_missing", "cannot be a place"),
        ("gs://bucket/x.jpg", "image_unavailable", "needs a package that is missing"),
        ("zip://a.jpg::/no/such.zip", "image_missing", "is not there"),
        ("data:image/png;base64,AAAAA", "image_unreadable", "cannot be decoded"),
        ("a\0b.jpg", "image_missing", "cannot be a place"),
        ("\ud800.jpg", "image_missing", "cannot be a place"),
        ("x" * 5000, "image_missing", "too long"),
        ("::", "image_missing", "is not there"),
    ],
)
def test_what_cannot_be_opened(image: str, code: str, words: str, tmp_path: Path, no_s3_credentials: None) -> None:
    reject = reject_of(image, tmp_path)
    assert reject.code == code
    assert words in reject.message
    assert len(reject.message) < 2 * QUOTED_CHARS


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("a.jpg ", "a.jpg"),
        ("a.jpg\n", "a.jpg"),
        ("sub\\a.jpg", "sub/a.jpg"),
        ("a.JPG", "a.jpg"),
        ("a.jpg", "a.JPG"),
        ("A.jpg", "a.jpg"),
        ("u\u0308.jpg", "\u00fc.jpg"),
        ("\u00fc.jpg", "u\u0308.jpg"),
        ("a%20b.jpg", "a b.jpg"),
    ],
)
def test_a_name_that_is_nearly_there_is_hinted_at(written: str, there: str, tmp_path: Path) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_bytes(b"")
    reject = reject_of(written, tmp_path)
    shown = repr(there) if written.isascii() else ascii(there)
    assert (reject.code, f"There is {shown}: spell it like that" in reject.message) == ("image_missing", True)
    assert reject_of("other.jpg", tmp_path).message == "other.jpg is not there; see image_root"


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archives(kind: str, tmp_path: Path) -> None:
    (tmp_path / f"broken.{kind}").write_bytes(b"no archive " * 200)
    with tarfile.open(tmp_path / "good.tar", "w") as tar, zipfile.ZipFile(tmp_path / "good.zip", "w"):
        tar.addfile(tarfile.TarInfo("other.jpg"))
    broken = reject_of(f"{kind}://a.jpg::{tmp_path}/broken.{kind}")
    assert (broken.code, "the archive is damaged" in broken.message) == ("image_unavailable", True)
    assert reject_of(f"{kind}://a.jpg::{tmp_path}/good.{kind}").code == "image_missing"


def test_s3_without_credentials(no_s3_credentials: None) -> None:
    reject = reject_of("s3://a-bucket-of-nobody/x.jpg")
    assert reject.code == "image_unavailable"
    assert "give credentials by the environment or storage_block" in reject.message


@pytest.mark.parametrize(
    "image",
    [
        "{url}/403?X-Amz-Signature={secret}&X-Amz-Credential={secret}",
        "{url}/cut?sig={secret}",
        "{url}/404?token={secret}#{secret}",
        "simplecache::{url}/500?sig={secret}",
        "simplecache::http://me:{secret}@127.0.0.1:1/x.jpg",
        "tar://a.jpg::simplecache::http://me:{secret}@127.0.0.1:1/x.tar?sig={secret}",
        "http://me:{secret}@[x]/a.jpg",
        "http://me:p{secret}#?@127.0.0.1:1/a.jpg",
        "github://me:{secret}@main/x.jpg?token={secret}",
        "nosuch://me:{secret}@host/x?sig={secret}",
        "{url}/403/token={secret}",
    ],
)
def test_no_secret_of_a_url_is_in_a_message(image: str, server: str) -> None:
    assert SECRET not in str(reject_of(image.format(url=server, secret=SECRET)))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("simplecache::https://me:secret@host/a?sig=secret", "simplecache::https://host/a"),
        ("zip://a.jpg::s3://bucket/b.zip?versionId=3", "zip://a.jpg::s3://bucket/b.zip"),
        ("https://[::1]:80/a?x=1", "https://[::1]:80/a"),
        ("http://[x]/a", "http://[x]/a"),
        ("a::b", "a::b"),
        ("photos/who?#1.jpg", "photos/who?#1.jpg"),
    ],
)
def test_chains_are_shown_without_secrets(url: str, shown: str) -> None:
    assert redact_url(url) == shown
    assert shown_image(url) == shown
