"""Whatever a row names costs at most so much memory and time, and ends as a reject."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import os
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.asyn import AsyncFileSystem

from regioncap.errors import RowReject, Stopped
from regioncap.image_ref import ImageRef
from regioncap.storage.allowed_images import AllowedImages
from regioncap.storage.bounded_read import BoundedReader
from regioncap.storage.collecting import ReadLimits
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS
from regioncap.storage.images import ImageFiles
from tests.support.http_images import BOMB_BYTES, HUGE, image_server, running_server
from tests.support.s3_requests import S3Requests

# fsspec leaves a connection open whose answer it could not use.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SMALL = ReadLimits(max_bytes=1_000_000)
SHORT = ReadLimits(seconds=0.5)
BOMBS = 8_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with image_server() as url:
        yield url


def images_in(root: Path, limits: ReadLimits = SMALL) -> ImageFiles:
    return ImageFiles(str(root), reader=BoundedReader(DEFAULT_FILESYSTEMS, AllowedImages(own=[str(root)]), limits))


def reject_of(image: str, root: Path, limits: ReadLimits = SMALL) -> RowReject:
    with pytest.raises(RowReject) as caught:
        images_in(root, limits).read(ImageRef(image))
    return caught.value


# --- files


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        kinds = {"fifo": "a FIFO", "link": "a device", "socket": "a socket", "folder": "a folder"}
        for name, kind in kinds.items():
            for image in (name, f"file://{tmp_path}/{name}", f"tar://a.jpg::{name}", f"zip://a.jpg::{name}"):
                reject = reject_of(image, tmp_path)
                assert (reject.code, f"is {kind}; expected an image file" in reject.message) == (
                    "image_unreadable", True,
                ), image  # fmt: skip
    assert reject_of("/dev/zero", tmp_path).code == "image_unreadable"


def test_a_file_of_ten_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(HUGE)
    reject = reject_of("sparse.png", tmp_path, ReadLimits())
    assert reject.code == "image_too_large"
    assert reject.message == "sparse.png has more than 256,000,000 bytes; see max_image_bytes"


def test_the_limit_itself_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    for image in ("a", f"file://{tmp_path}/a"):
        assert images_in(tmp_path, ReadLimits(max_bytes=1000)).read(ImageRef(image)) == b"x" * 1000
        assert reject_of(image, tmp_path, ReadLimits(max_bytes=999)).code == "image_too_large"
    assert reject_of("data:;base64,aGVsbG8=", tmp_path, ReadLimits(max_bytes=4)).code == "image_too_large"


def test_a_range_of_a_tar_is_bounded_too(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("m")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"23456"))
    os.mkfifo(tmp_path / "fifo")
    ref = ImageRef("tar://m::a.tar", (512, 5))
    assert images_in(tmp_path).read(ref) == b"23456"
    with pytest.raises(RowReject, match="image_too_large"):
        images_in(tmp_path, ReadLimits(max_bytes=4)).read(ref)
    with pytest.raises(RowReject, match="is a FIFO"):
        images_in(tmp_path).read(ImageRef("tar://m::fifo", (512, 5)))


# --- archives


def zipped(path: Path, method: int) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("folder/good.jpg", b"good")
        archive.writestr("bomb.jpg", bytes(BOMBS))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_of_zips(method: int, tmp_path: Path) -> None:
    zipped(tmp_path / "a.zip", method)
    assert images_in(tmp_path).read(ImageRef("zip://folder/good.jpg::a.zip")) == b"good"
    assert reject_of("zip://bomb.jpg::a.zip", tmp_path).code == "image_too_large"
    assert reject_of("zip://gone.jpg::a.zip", tmp_path).code == "image_missing"


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_lies_about_a_size_ends_at_that_size(method: int, tmp_path: Path) -> None:
    zipped(tmp_path / "a.zip", method)
    data = (tmp_path / "a.zip").read_bytes().replace(BOMBS.to_bytes(4, "little"), (100).to_bytes(4, "little"))
    (tmp_path / "lies.zip").write_bytes(data)
    assert reject_of("zip://bomb.jpg::lies.zip", tmp_path).code == "image_unavailable"


@pytest.mark.parametrize("packed", ["", ".gz", ".bz2"])
def test_members_of_tars(packed: str, tmp_path: Path) -> None:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        bomb, link = tarfile.TarInfo("bomb.jpg"), tarfile.TarInfo("./folder/link.jpg")
        bomb.size, link.type, link.linkname = BOMBS, tarfile.SYMTYPE, "good.jpg"
        archive.addfile(bomb, io.BytesIO(bytes(BOMBS)))
        archive.addfile(link)
        for content in (b"older", b"good"):
            good = tarfile.TarInfo("./folder/good.jpg")
            good.size = len(content)
            archive.addfile(good, io.BytesIO(content))
    tar = written.getvalue()
    (tmp_path / f"a.tar{packed}").write_bytes(
        gzip.compress(tar) if packed == ".gz" else bz2.compress(tar) if packed == ".bz2" else tar
    )
    images = images_in(tmp_path)
    assert images.read(ImageRef(f"tar://folder/good.jpg::a.tar{packed}")) == b"good"
    assert images.read(ImageRef(f"tar://folder/link.jpg::a.tar{packed}")) == b"good"
    assert images.stat(ImageRef(f"tar://folder/good.jpg::a.tar{packed}")) == images.stat(ImageRef(f"a.tar{packed}"))
    assert reject_of(f"tar://bomb.jpg::a.tar{packed}", tmp_path).code == "image_too_large"
    assert reject_of(f"tar://gone.jpg::a.tar{packed}", tmp_path).code == "image_missing"


def test_an_archive_inside_an_archive(tmp_path: Path) -> None:
    zipped(tmp_path / "inner.zip", zipfile.ZIP_DEFLATED)
    with tarfile.open(tmp_path / "outer.tar", "w") as outer:
        outer.add(tmp_path / "inner.zip", "inner.zip")
    assert images_in(tmp_path).read(ImageRef("zip://folder/good.jpg::tar://inner.zip::outer.tar")) == b"good"


# --- HTTP


@pytest.mark.parametrize("path", ["huge", "endless", "bomb"])
@pytest.mark.parametrize("before", ["", "/to?"])
def test_bodies_without_end(path: str, before: str, server: str, tmp_path: Path) -> None:
    assert ReadLimits().max_bytes < BOMB_BYTES
    reject = reject_of(f"{server}{before}/{path}", tmp_path)
    assert (reject.code, "see max_image_bytes" in reject.message) == ("image_too_large", True)


@pytest.mark.parametrize("path", ["drip", "silent", "tar"])
def test_servers_that_take_for_ever(path: str, server: str, tmp_path: Path) -> None:
    image = f"tar://a.jpg::{server}/drip" if path == "tar" else f"{server}/{path}"
    reject = reject_of(image, tmp_path, SHORT)
    assert (reject.code, "see image_timeout" in reject.message) == ("image_unavailable", True)
    assert images_in(tmp_path, SHORT).stat(ImageRef(f"{server}/silent")) is None


def test_an_image_that_cost_its_time_is_not_asked_for_again(tmp_path: Path) -> None:
    with running_server() as running, ThreadPoolExecutor(2) as pool:
        refs = [ImageRef(f"http://127.0.0.1:{running.server_port}/{path}") for path in ("huge", "503")]
        images = images_in(tmp_path)
        with images.fetched(refs, pool):
            codes = []
            for ref in refs:
                with pytest.raises(RowReject) as reject:
                    images.read(ref)
                codes.append(reject.value.code)
        assert codes == ["image_too_large", "image_unavailable"]
        assert sorted(running.paths) == ["/503", "/503", "/huge"]


@pytest.mark.parametrize("before", ["", "tar://a.jpg::"])
def test_a_read_that_hangs_ends_with_the_run(before: str, tmp_path: Path) -> None:
    images, ended = images_in(tmp_path, ReadLimits()), []
    with running_server() as hanging:

        def read() -> None:
            with pytest.raises(Stopped):
                images.read(ImageRef(f"{before}http://127.0.0.1:{hanging.server_port}/silent"))
            ended.append(True)

        reading = threading.Thread(target=read)
        reading.start()
        assert hanging.hanging.wait(30)
        images.close()
        reading.join(30)
        assert ended == [True]
        with pytest.raises(Stopped):
            images.read(ImageRef(f"http://127.0.0.1:{hanging.server_port}/photo"))


MEMORY = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef
from regioncap.storage.bounded_read import BoundedReader
from regioncap.storage.collecting import ReadLimits
from regioncap.storage.images import ImageFiles

images = ImageFiles(".", reader=BoundedReader(limits=ReadLimits(max_bytes=64_000_000)))

def code_of(image):
    try:
        images.read(ImageRef(image))
    except RowReject as reject:
        return reject.code

with ThreadPoolExecutor(16) as pool:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    codes = set(pool.map(code_of, sys.argv[1:] * 16))
print(codes, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000)
"""


@pytest.mark.parametrize("path", ["endless", "bomb"])
def test_many_images_at_once_do_not_fill_the_memory(path: str, server: str) -> None:
    """Sixteen of them, each up to 64 MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, f"{server}/{path}"], capture_output=True, text=True, check=True
    )
    codes, megabytes = done.stdout.rsplit(maxsplit=1)
    assert codes == "{'image_too_large'}"
    assert int(megabytes) < 500


# --- other stores


class Store(AsyncFileSystem):  # type: ignore[misc]
    """An asynchronous store of any size; `hang` never comes."""

    protocol = "store"
    sizes: ClassVar[dict[str, int]] = {"small": 1000, "empty": 0, "middle": 9_000_000, "large": HUGE, "hang": 5}
    calls: ClassVar[list[str]] = []

    async def _info(self, path: str, **_: object) -> dict[str, object]:
        name = path.rpartition("/")[2]
        return {"name": path, "size": self.sizes[name], "type": "file"}

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        name = path.rpartition("/")[2]
        self.calls.append(name)
        if name == "hang":
            await asyncio.Event().wait()
        return b"x" * (min(end or HUGE, self.sizes[name]) - (start or 0))


def test_other_stores_are_asked_for_the_size_first(tmp_path: Path) -> None:
    fsspec.register_implementation("store", Store, clobber=True)
    images = images_in(tmp_path, ReadLimits(max_bytes=10_000_000, seconds=0.5))
    for name in ("small", "empty", "middle"):
        assert images.read(ImageRef(f"store://b/{name}")) == b"x" * Store.sizes[name]
    for name, code in (("large", "image_too_large"), ("hang", "image_unavailable"), ("gone", "image_missing")):
        with pytest.raises(RowReject, match=code):
            images.read(ImageRef(f"store://b/{name}"))
    assert Store.calls == ["small", "empty", "middle", "middle", "hang"]


# --- S3


def test_an_object_costs_one_request_and_one_that_is_too_large_is_not_sent(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = fsspec.filesystem("s3", use_listings_cache=False, max_concurrency=1)
    for name, size in (("small", 1000), ("empty", 0), ("large", 1_000_001)):
        fs.pipe_file(f"{bucket}/{name}", b"x" * size)
    requests = S3Requests(monkeypatch)
    images = images_in(tmp_path)
    assert images.read(ImageRef(f"{bucket}/small")) == b"x" * 1000
    assert images.read(ImageRef(f"{bucket}/empty")) == b""
    assert reject_of(f"{bucket}/large", tmp_path).code == "image_too_large"
    assert reject_of(f"{bucket}/gone", tmp_path).code == "image_missing"
    assert requests.sent == [("GET", name) for name in ("small", "empty", "large", "gone")]
