"""A file that is reached over a network, read by byte range: exactly what is asked for, with a request each."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any


class RangeFile(io.RawIOBase):
    """A file of `size` bytes for reading. `read_range(start, end)` requests its bytes from `start` up to `end`.

    Unlike fsspec's own files it reads nothing ahead: between the columns that are wanted lie those that are not.
    """

    def __init__(self, read_range: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._read_range = read_range
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        data = self._read_range(self._at, end)
        if len(data) != end - self._at:
            raise EOFError(f"{end - self._at:,} bytes were asked for, and {len(data):,} came")
        buffer[: len(data)] = data
        self._at = end
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at
