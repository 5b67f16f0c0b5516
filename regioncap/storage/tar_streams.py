"""Tars as streams of their decompressed bytes: in large pieces by range, or from the start if they are compressed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from regioncap.storage.compression import COMPRESSIONS
from regioncap.storage.tar_headers import TarStream

PIECE_BYTES = 8_000_000
"""Read with one request where members are small: so much that its latency hardly counts, so little that it fits in
memory."""

HEADER_BYTES = 32_768
"""Read with one request where members are large: a header, and small members with the next headers behind them."""

LARGE_BYTES = 1_000_000
"""Members from about this size on are skipped, at the price of a request each; smaller ones are read on the way."""

SKIP_BYTES = 1_000_000
"""Decompressed at once of what is skipped."""


class RangeStream:
    """A tar's bytes by range: `read(start, end)` is one request. `size`: of the tar, in bytes."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read = read
        self._size = size
        self._at = self._start = 0
        self._piece = b""

    def seekable(self) -> bool:
        """Whether bytes can be skipped without reading them."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, at: int) -> int:
        """Continue at this byte."""
        self._at = at
        return at

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; fewer only at the end."""
        size = max(0, min(size, self._size - self._at))
        begin = self._at - self._start
        if size and not (begin >= 0 and begin + size <= len(self._piece)):
            skipped = begin - len(self._piece)
            usual = HEADER_BYTES if skipped > LARGE_BYTES else PIECE_BYTES
            end = min(self._at + max(size, usual), self._size)
            self._piece, self._start, begin = self._read(self._at, end), self._at, 0
        self._at += size
        return self._piece[begin : begin + size]


@dataclass(frozen=True)
class TarFile:
    """A file that holds a tar. `open`: the file itself, for reading. `read`: its bytes between two offsets. `size`:
    bytes; None where it is not known. `is_far`: whether each read is a request over a network. `compression`: as an
    extension, or ""."""

    open: Callable[[], AbstractContextManager[Any]]
    read: Callable[[int, int], bytes]
    size: int | None
    is_far: bool
    compression: str

    @contextmanager
    def stream(self) -> Iterator[tuple[TarStream, Callable[[], int]]]:
        """The tar's bytes, decompressed; and what tells how many of the file's were taken for them.

        Raises UsageError where a decompressor is not installed.
        """
        with self._bytes() as file:
            if self.compression:
                yield ForwardStream(COMPRESSIONS[self.compression](file).read), file.tell
            else:
                yield file if file.seekable() else ForwardStream(file.read), file.tell

    def _bytes(self) -> AbstractContextManager[Any]:
        if self.size is not None and (self.is_far or self.compression):
            return nullcontext(RangeStream(self.read, self.size))
        return self.open()


class ForwardStream:
    """A stream's bytes from the start on; what is skipped is read, too. `read`: as that of a binary file."""

    def __init__(self, read: Callable[[int], bytes | None]) -> None:
        self._source = read
        self._at = 0

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, at: int) -> int:
        """Continue at this byte, none before those read last, or at the end."""
        while self._at < at and self.read(min(at - self._at, SKIP_BYTES)):
            pass
        return self._at

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; fewer only at the end."""
        pieces, left = [], size
        while left and (piece := self._source(left)):
            pieces.append(piece)
            left -= len(piece)
        self._at += size - left
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
