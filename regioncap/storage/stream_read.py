"""Images that are read as streams, in threads: members of archives, and whatever has no asynchronous filesystem."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import IO, Any

from regioncap.storage.allowed_images import ARCHIVES, CACHES, AllowedImages, protocol_of
from regioncap.storage.archives import Member, WatchedFile, open_member
from regioncap.storage.collecting import CHUNK_BYTES, Collector
from regioncap.storage.local_read import opened_file
from regioncap.storage.opening import LOCAL_FS
from regioncap.storage.time_limit import Deadline
from regioncap.storage.urls import behind_chain

Open = Callable[[str], tuple[Any, str]]
"""The filesystem of a path or URL, and the path on it."""


class StreamReader:
    """Reads streams. `open_filesystem`: as `Filesystems.open`. Methods raise NotReadable, ImageRefused, OutOfTime, and
    what archives and filesystems raise."""

    def __init__(self, open_filesystem: Open, allowed: AllowedImages, collector: Collector) -> None:
        self._open_filesystem = open_filesystem
        self._allowed = allowed
        self._collector = collector

    def read(self, address: str, deadline: Deadline) -> bytes:
        """All bytes of the image at a path, URL or chain."""
        with self._stream(address, deadline) as stream:
            return self._collector.collect(
                lambda most: stream.file.read(min(most, stream.at_once)), deadline, stream.size
            )

    def member_info(self, address: str, deadline: Deadline) -> dict[str, Any]:
        """What an archive says of a member."""
        with self._stream(address, deadline) as stream:
            return {"size": stream.size, "mtime": stream.changed}

    @contextlib.contextmanager
    def _stream(self, address: str, deadline: Deadline) -> Iterator[Member]:
        behind, protocol = behind_chain(address), protocol_of(address)
        if behind and protocol in CACHES:
            with self._stream(behind, deadline) as stream:
                yield stream
        elif behind and protocol in ARCHIVES:
            name = address.removesuffix(f"::{behind}").partition("://")[2].lstrip("/")
            with (
                self._stream(behind, deadline) as outer,
                open_member(protocol, WatchedFile(outer.file, deadline), name) as member,
            ):
                yield member
        else:
            with self._open(address) as file:
                size = getattr(file, "size", None) or 0
                # In one go where the size is known: every read may be a request.
                yield Member(file, size, at_once=size or CHUNK_BYTES)

    @contextlib.contextmanager
    def _open(self, address: str) -> Iterator[IO[bytes]]:
        fs, path = self._open_filesystem(address)
        if fs is LOCAL_FS:
            with opened_file(path, self._allowed) as (descriptor, _), os.fdopen(os.dup(descriptor), "rb") as local:
                yield local
        else:
            with fs.open(path, "rb") as file:
                yield file
