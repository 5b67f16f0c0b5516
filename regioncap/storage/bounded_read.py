"""Reads an image from wherever a row says it is, within bounds: kinds of files, bytes and seconds.

Rows are not trusted, and neither are the servers that they name. Whatever is larger than it says, never ends, or is no
file at all costs at most `max_bytes` of memory and `seconds` of time, and ends as that row's reject.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import Any

from regioncap.config.image_rules import ImageRules
from regioncap.config.model import RegionCapConfig
from regioncap.storage.allowed_images import CACHES, ON_DISK, AllowedImages, protocol_of
from regioncap.storage.collecting import Collector, NotReadable, ReadLimits
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS, Filesystems
from regioncap.storage.local_read import opened_file, read_local
from regioncap.storage.opening import LOCAL_FS, part_of
from regioncap.storage.remote_read import RemoteReader
from regioncap.storage.stream_read import StreamReader
from regioncap.storage.time_limit import TimeLimit
from regioncap.storage.urls import behind_chain, is_url

IN_MEMORY = ("memory", "data")


class BoundedReader:
    """Reads what `allowed` allows, within `limits`.

    Methods raise NotReadable, ImageRefused, OutOfTime, Stopped after `stop`, and what the filesystems raise.
    """

    def __init__(
        self,
        files: Filesystems = DEFAULT_FILESYSTEMS,
        allowed: AllowedImages | None = None,
        limits: ReadLimits | None = None,
    ) -> None:
        self._files = files
        self._allowed = allowed or AllowedImages()
        self._collector = Collector(limits or ReadLimits())
        self._time = TimeLimit(self._collector.limits.seconds)
        self._remote = RemoteReader(files, self._allowed, self._collector, self._time)
        self._streams = StreamReader(self._remote.filesystem, self._allowed, self._collector)

    def read(self, address: str) -> bytes:
        """All bytes of the image at a path or URL."""
        self._allowed.check(address)
        address = _behind_caches(address)
        if _is_local(address):
            return read_local(_path_of(address), self._allowed, self._collector)
        if not behind_chain(address):
            fs, path = self._remote.filesystem(address)
            if protocol_of(address) in IN_MEMORY:  # nothing to wait for
                return self._collector.checked(bytes(fs.cat_file(path)))
            if getattr(fs, "async_impl", False):
                return self._remote.read(fs, path)
        return self._time.run(lambda deadline: self._streams.read(address, deadline))

    def read_range(self, address: str, start: int, end: int) -> bytes:
        """The bytes of a file of any size from `start` up to `end`; fewer where it ends before."""
        self._allowed.check(address)
        if behind_chain(address):
            raise NotReadable("image_unavailable", "lies in an archive in an archive, which is not read in parts")
        if _is_local(address):
            with opened_file(_path_of(address), self._allowed) as (file, _):
                return os.pread(file, end - start, start)
        fs, path = self._remote.filesystem(address)
        if getattr(fs, "async_impl", False):
            return self._remote.read_range(fs, path, start, end)
        return self._time.run(lambda _: part_of(fs, path, start, end))

    def read_head(self, address: str, size: int) -> tuple[bytes, str]:
        """As `read_range` from 0 to `size`; with the file's etag where that is known, else ""."""
        self._allowed.check(address)
        if not (_is_local(address) or behind_chain(address)):
            fs, path = self._remote.filesystem(address)
            if getattr(fs, "async_impl", False):
                return self._remote.read_head(fs, path, size)
        return self.read_range(address, 0, size), ""

    def info(self, address: str) -> dict[str, Any]:
        """What fsspec's `info` says of the file at a URL."""
        self._allowed.check(address)
        address = _behind_caches(address)
        if behind_chain(address):
            return self._time.run(lambda deadline: self._streams.member_info(address, deadline))
        fs, path = self._remote.filesystem(address)
        if getattr(fs, "async_impl", False):
            return self._remote.info(fs, path)
        return self._time.run(lambda _: dict(fs.info(path)))

    def check(self, address: str) -> None:
        """Raises ImageRefused for what is not allowed, as far as can be told without a network."""
        self._allowed.check(address)
        if _is_local(address):
            self._allowed.check_file(os.path.realpath(_path_of(address)))

    def check_host(self, host: str) -> None:
        """Raises ImageRefused for a web server none of whose addresses is allowed, OSError for a name without any."""
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        self._allowed.permitted(host, [str(one[4][0]) for one in found], public_only=self._allowed.rules.strict)

    def check_size(self, size: int) -> None:
        """Raises NotReadable for a size in bytes that is too large."""
        self._collector.check_size(size)

    def fits(self, size: int) -> bool:
        """Whether an image of `size` bytes is small enough."""
        return self._collector.fits(size)

    def stop(self) -> None:
        """End all reads, and start none."""
        self._time.stop()


def reader_of(config: RegionCapConfig, files: Filesystems, own: Iterable[str]) -> BoundedReader:
    """The reader of a run's images. `own`: the folders that its relative paths start from."""
    endpoints = [config.s3_endpoint_url] if config.s3_endpoint_url else []
    allowed = AllowedImages(ImageRules.of(config.allowed_images), own, endpoints)
    return BoundedReader(files, allowed, ReadLimits(config.max_image_bytes, config.image_timeout))


def _behind_caches(address: str) -> str:
    """Copies in a cache are not bounded, and not needed: what is behind it is read."""
    while protocol_of(address) in CACHES and (behind := behind_chain(address)):
        address = behind
    return address


def _is_local(address: str) -> bool:
    return not is_url(address) or (protocol_of(address) in ON_DISK and not behind_chain(address))


def _path_of(address: str) -> str:
    return str(LOCAL_FS._strip_protocol(address)) if is_url(address) else address
