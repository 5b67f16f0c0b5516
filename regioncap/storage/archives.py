"""Members of zip and tar archives, read as streams: no more of an archive is in memory than a header or a block.

fsspec's archives hold all of their index and read it in one go: a crafted archive fills the memory with it.
"""

from __future__ import annotations

import contextlib
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from regioncap.storage.time_limit import Deadline

MAX_SINGLE_READ = 32_000_000
"""Bytes. An archive's own structures are read whole: a zip's directory, a tar's long names."""

MAX_LINKS = 8
"""Links of a tar that are followed from one to the next."""

INFLATED_AT_ONCE = 1 << 20
DENSE_AT_ONCE = 4096
"""Bytes of a member that are asked for at once; of those packed by bzip2 or LZMA few, since zipfile does not bound what
it makes of them."""


class ArchiveTooLarge(Exception):
    """An archive has a structure of more than MAX_SINGLE_READ bytes."""


class WatchedFile:
    """A file whose every read is watched: by a deadline, and for its size. `name`: for errors."""

    def __init__(self, file: IO[bytes], deadline: Deadline) -> None:
        self._file = file
        self._deadline = deadline

    def read(self, size: int = -1) -> bytes:
        """As a file's. Raises OutOfTime, ArchiveTooLarge."""
        self._deadline.check()
        if size > MAX_SINGLE_READ:
            raise ArchiveTooLarge
        return self._file.read(MAX_SINGLE_READ if size is None or size < 0 else size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """As a file's."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As a file's."""
        return self._file.tell()

    def seekable(self) -> bool:
        """As a file's."""
        return self._file.seekable()

    def close(self) -> None:
        """As a file's."""
        self._file.close()


@dataclass(frozen=True)
class Member:
    """A member of an archive. `size`: in bytes, as the archive says. `changed`: seconds since 1970, of a tar's.
    `at_once`: bytes to read at once."""

    file: IO[bytes]
    size: int
    changed: int | None = None
    at_once: int = INFLATED_AT_ONCE


@contextlib.contextmanager
def open_member(kind: str, archive: WatchedFile, name: str) -> Iterator[Member]:
    """The member `name` of a `zip` or `tar`. Raises KeyError where there is none, and what the archive raises."""
    with _OPENERS[kind](archive, name) as member:
        yield member


@contextlib.contextmanager
def _in_zip(archive: WatchedFile, name: str) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo(name)
        bounded = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        with opened.open(info) as file:
            yield Member(file, info.file_size, at_once=INFLATED_AT_ONCE if bounded else DENSE_AT_ONCE)


@contextlib.contextmanager
def _in_tar(archive: WatchedFile, name: str) -> Iterator[Member]:
    for _ in range(MAX_LINKS):
        archive.seek(0)
        with tarfile.open(fileobj=archive, mode="r:*") as opened:  # type: ignore[call-overload]
            info = _find(opened, name)
            if not (info.islnk() or info.issym()):
                file = opened.extractfile(info)
                if file is None:
                    raise IsADirectoryError(name)
                yield Member(file, info.size, int(info.mtime))
                return
            name = info.linkname if info.islnk() else _beside(info.name, info.linkname)
    raise KeyError(name)


_OPENERS = {"zip": _in_zip, "tar": _in_tar}


def _find(opened: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    """The member of this name; of several the last, as tar unpacks them. Raises KeyError."""
    found = None
    while (info := opened.next()) is not None:
        opened.members.clear()  # type: ignore[attr-defined]  # else a tar of millions of members fills the memory
        if _plain(info.name) == _plain(name):
            found = info
    if found is None:
        raise KeyError(name)
    return found


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _beside(name: str, link: str) -> str:
    folder, slash, _ = name.rpartition("/")
    return link if link.startswith("/") else f"{folder}{slash}{link}"
