"""Opens a data file as a stream of bytes in UTF-8, translates foreign errors and reports progress.

A failure below the decompressor is the storage's (`StorageError`), one above it the file's (`InputDamaged`). Both
are `OSError`s to Python, so they are distinguished here.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from regioncap.errors import RegionCapError, RowReject, StorageError
from regioncap.inputs.decoding import READ_BYTES, as_utf8, compression_of, look_into
from regioncap.records import dumps, not_a_row
from regioncap.row_work import row_work
from regioncap.storage.compression import COMPRESSIONS, MAGIC_BYTES
from regioncap.storage.filesystem import Place
from regioncap.storage.storage_errors import reason_of

KEPT_BYTES = 1000
"""What is kept of the text of a row that cannot be read."""


class ReadProgress:
    """The progress of reading one file: `gauge.done()`, 0..1. The file's reader sets it."""

    def __init__(self) -> None:
        self.done: Callable[[], float] = lambda: 0.0


class RawFile(io.RawIOBase):
    """The raw bytes of a place. Every method raises StorageError if they cannot be read.

    `exact`: request nothing ahead of what is read. `most_at_once`: maximum bytes of one read; None: no limit.
    """

    def __init__(self, place: Place, *, exact: bool = False) -> None:
        super().__init__()
        self._place = place
        self.most_at_once: int | None = None
        with self._translated():
            self._file = place.open_exact() if exact else place.open()

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
            piece = self._file.read(min(len(buffer), self.most_at_once or len(buffer)))
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


class Sample:
    """The beginning of a stream, looked at before its rows are read.

    `head`: at most `size` bytes; `rest`: a stream that still begins with them.
    """

    def __init__(self, stream: Any, gauge: ReadProgress, size: int) -> None:
        self._gauge = gauge
        self.head, self.rest = look_into(stream, size)

    def followed_in(self, reader: io.BufferedReader[Any]) -> io.BufferedReader[Any]:
        """`reader`, which takes its bytes from `rest`; the gauge follows what was taken from it, not what it holds."""
        further, share, size = self._gauge.done, self._gauge.done(), len(self.head)

        def done() -> float:
            try:
                taken = reader.tell()
            except OSError:  # it reads through a stream that counts other bytes
                taken = size - self.rest.unread
            return share * taken / size if taken < size else further()

        self._gauge.done = done
        return reader


@contextmanager
def open_stream(place: Place, gauge: ReadProgress, encoding: str | None = None) -> Iterator[io.BufferedReader[Any]]:
    """The place's bytes, decompressed and as UTF-8, whatever its name says; `gauge` follows the reading. `encoding`: of
    its text, where its first bytes do not tell.

    Raises StorageError, and UsageError where a decompressor is not installed; reading raises StorageError, and one of
    `DECOMPRESSION_ERRORS` if compressed or encoded data is broken.
    """
    size = place.size() or 0
    with RawFile(place) as raw:
        head, source = look_into(raw, MAGIC_BYTES)
        kind = compression_of(head, place.file_name)
        if kind:
            raw.most_at_once = READ_BYTES
        stream = io.BufferedReader(COMPRESSIONS[kind](source) if kind else source)
        measured: io.IOBase = raw if kind else stream
        gauge.done = lambda: min(measured.tell() / size, 1.0) if size else 0.0
        try:
            yield as_utf8(stream, encoding)
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
