"""Opens a data file as a stream of bytes: decompresses it, translates foreign errors and reports progress.

A failure below the decompressor is the storage's (`StorageError`), one above it the file's (`InputDamaged`). Both
are `OSError`s to Python, so they are distinguished here.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from regioncap.errors import RegionCapError, RowReject, StorageError
from regioncap.records import dumps, not_a_row
from regioncap.row_work import row_work
from regioncap.storage.filesystem import Place, reason_of

COMPRESSIONS: dict[str, Callable[[Any], Any]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw, mode="rb"),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
"""Decompressors by extension: each wraps an open file of that kind for reading."""

DECOMPRESSION_ERRORS = (EOFError, OSError, zlib.error, lzma.LZMAError, ValueError)
"""Errors that decompressors raise for a broken file; BadGzipFile is an OSError."""

KEPT_BYTES = 1000
"""What is kept of the text of a row that cannot be read."""

READ_BYTES = 16_384
"""Compressed bytes passed on at a time: few, so that the position in them tells how far reading has come."""


class ReadProgress:
    """The progress of reading one file: `gauge.done()`, 0..1. The file's reader sets it."""

    def __init__(self) -> None:
        self.done: Callable[[], float] = lambda: 0.0


class RawFile(io.RawIOBase):
    """The raw bytes of a place. Every method raises StorageError if they cannot be read."""

    def __init__(self, place: Place, most_at_once: int | None = None) -> None:
        super().__init__()
        self._place = place
        self._most = most_at_once
        with self._translated():
            self._file = place.open()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except RegionCapError:
            raise
        except Exception as error:
            # Object store clients raise errors of many types; all mean that reading failed.
            raise StorageError(self._place.url, "read", reason_of(error)) from error

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._translated():
            piece = self._file.read(min(len(buffer), self._most or len(buffer)))
            buffer[: len(piece)] = piece
            return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with self._translated():
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        with self._translated():
            return self._file.tell()

    def close(self) -> None:
        if not self.closed and hasattr(self, "_file"):
            self._file.close()
        super().close()


def compression(name: str) -> str:
    """The extension of a compressed file (`.gz`), or ""."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in COMPRESSIONS else ""


@contextmanager
def open_stream(place: Place, gauge: ReadProgress) -> Iterator[io.BufferedReader[Any]]:
    """The place's bytes, decompressed according to its name; `gauge` follows the reading.

    Raises StorageError; reading raises StorageError, and one of `DECOMPRESSION_ERRORS` if compressed data is broken.
    """
    size = place.size() or 0
    decompress = COMPRESSIONS.get(compression(place.file_name))
    with RawFile(place, READ_BYTES if decompress else None) as raw:
        stream = io.BufferedReader(raw if decompress is None else decompress(raw))
        measured: io.IOBase = stream if decompress is None else raw
        gauge.done = lambda: min(measured.tell() / size, 1.0) if size else 0.0
        try:
            yield stream
        finally:
            gauge.done = lambda: 1.0
            stream.close()


def made_row(make: Callable[[], bytes], begin: bytes = b"") -> bytes:
    """The text of a row that `make` puts together; where that fails, what `load` rejects, alone. `begin`: of the row's
    own text."""
    try:
        with row_work("reading", begin[:200]):
            return make()
    except RowReject as reject:
        return not_a_row(f"{reject.code}: {reject.message}", begin[:KEPT_BYTES])


def row_text(row: Any) -> bytes:
    """`row` as one line of JSON, copied: orjson over-allocates 8 KB for each text, which adds up when many are held."""
    return memoryview(dumps(row)).tobytes()
