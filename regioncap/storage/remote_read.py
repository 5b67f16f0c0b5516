"""Images on web servers and in object stores: coroutines, which can be cancelled at any moment."""

from __future__ import annotations

import asyncio
import functools
from functools import cached_property
from typing import TYPE_CHECKING, Any

from regioncap.storage.allowed_images import WEB, AllowedImages, protocol_of
from regioncap.storage.collecting import CHUNK_BYTES, LARGE_BYTES, Collector, NotReadable
from regioncap.storage.filesystem import Filesystems
from regioncap.storage.time_limit import Deadline, TimeLimit
from regioncap.storage.urls import is_url

if TYPE_CHECKING:
    import aiohttp

    from regioncap.storage.guarded_http import GuardedHttp


class RemoteReader:
    """Reads over asynchronous filesystems. Methods raise NotReadable, ImageRefused, OutOfTime, Stopped, and what the
    filesystems raise."""

    def __init__(self, files: Filesystems, allowed: AllowedImages, collector: Collector, time: TimeLimit) -> None:
        self._files = files
        self._allowed = allowed
        self._collector = collector
        self._time = time

    @cached_property
    def _web(self) -> GuardedHttp:
        from regioncap.storage.guarded_http import GuardedHttp  # aiohttp, which most runs do not read with

        return GuardedHttp(self._allowed, self._files.options("http"), self._collector.limits.seconds)

    def filesystem(self, address: str) -> tuple[Any, str]:
        """The filesystem of a path or URL, and the path on it."""
        if is_url(address) and protocol_of(address) in WEB:
            return self._time.run_coroutine(lambda _: self._web.filesystem(address), self._web.loop), address
        return self._files.open(address)

    def read(self, fs: Any, path: str) -> bytes:
        """All bytes of a file."""
        if hasattr(fs, "set_session") and protocol_of(path) in WEB:
            return self._time.run_coroutine(lambda deadline: self._read_web(fs, path, deadline), fs.loop)
        read = self._read_s3 if hasattr(fs, "call_s3") else self._read_object
        return self._time.run_coroutine(lambda deadline: read(fs, path, deadline), fs.loop)

    def read_range(self, fs: Any, path: str, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`; fewer where the file ends before."""
        if hasattr(fs, "set_session") and protocol_of(path) in WEB:
            return self._time.run_coroutine(lambda _: self._read_web_range(fs, path, start, end), fs.loop)
        return bytes(self._time.run_coroutine(lambda _: fs._cat_file(path, start=start, end=end), fs.loop))

    def read_head(self, fs: Any, path: str, size: int) -> tuple[bytes, str]:
        """The first `size` bytes of a file and, where the response says it, its etag; else ""."""
        if not hasattr(fs, "call_s3"):
            return self.read_range(fs, path, 0, size), ""
        return self._time.run_coroutine(lambda deadline: self._read_s3_head(fs, path, size, deadline), fs.loop)

    def info(self, fs: Any, path: str) -> dict[str, Any]:
        """What fsspec's `info` says of a file."""
        return dict(self._time.run_coroutine(lambda _: fs._info(path), fs.loop))

    # --- on the loop

    async def _read_web(self, fs: Any, url: str, deadline: Deadline) -> bytes:
        from regioncap.storage.guarded_http import read_web

        async def collect(response: aiohttp.ClientResponse) -> bytes:
            self._collector.check_size(response.content_length)
            return await self._collector.collect_async(response.content.readany, deadline)

        return await read_web(fs, url, collect)

    async def _read_web_range(self, fs: Any, url: str, start: int, end: int) -> bytes:
        from regioncap.storage.guarded_http import read_web

        async def collect(response: aiohttp.ClientResponse) -> bytes:
            if response.status != 206:
                raise NotReadable("image_unavailable", "lies on a server that does not send parts of files")
            data = bytearray()
            while len(data) < end - start and (piece := await response.content.readany()):
                data += piece
            return bytes(data[: end - start])

        return await read_web(fs, url, collect, {"Range": f"bytes={start}-{end - 1}"})

    async def _read_s3(self, fs: Any, path: str, deadline: Deadline) -> bytes:
        return (await self._get_s3(fs, path, deadline))[0]

    async def _read_s3_head(self, fs: Any, path: str, size: int, deadline: Deadline) -> tuple[bytes, str]:
        return await self._get_s3(fs, path, deadline, Range=f"bytes=0-{size - 1}")

    async def _get_s3(self, fs: Any, path: str, deadline: Deadline, **more: str) -> tuple[bytes, str]:
        """(body, etag) of one GET, whose headers tell the size before anything is read. A body that is cut off is asked
        for again."""
        from s3fs.core import S3_RETRYABLE_ERRORS

        bucket, key, version = fs.split_path(path)
        versions = {"VersionId": version} if version else {}
        for attempt in range(fs.retries):
            try:
                response = await fs._call_s3("get_object", Bucket=bucket, Key=key, **versions, **more)
                async with response["Body"] as body:
                    read = functools.partial(body.read, CHUNK_BYTES)
                    size = response.get("ContentLength") or 0
                    return await self._collector.collect_async(read, deadline, size), str(response.get("ETag", ""))
            except S3_RETRYABLE_ERRORS:
                if attempt + 1 == fs.retries:
                    raise
                await asyncio.sleep(0.1 * 2**attempt)
        raise AssertionError("s3fs tries at least once")

    async def _read_object(self, fs: Any, path: str, deadline: Deadline) -> bytes:
        """Of any other store: its size is asked for first, since its files come whole."""
        size = (await fs._info(path)).get("size") or 0
        self._collector.check_size(size)
        if size <= LARGE_BYTES:
            return self._collector.checked(bytes(await fs._cat_file(path)))
        parts = iter(range(0, size, LARGE_BYTES))

        async def read() -> bytes:
            start = next(parts, None)
            return b"" if start is None else bytes(await fs._cat_file(path, start=start, end=start + LARGE_BYTES))

        return await self._collector.collect_async(read, deadline, size)
