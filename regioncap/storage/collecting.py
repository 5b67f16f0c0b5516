"""Puts together what is read piece by piece, up to a limit, and few large images at once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from regioncap.config.fields_run import IMAGE_TIMEOUT, MAX_IMAGE_BYTES
from regioncap.errors import RejectCode
from regioncap.storage.time_limit import Deadline

CHUNK_BYTES = 1 << 20

LARGE_BYTES = 8_000_000
LARGE_AT_ONCE = 2
"""Maximum number of images beyond LARGE_BYTES that are read concurrently; without it, the reading threads could fill
the memory with images just below the limit."""


@dataclass(frozen=True)
class ReadLimits:
    """Of one image: `max_bytes` as it is read, not compressed; `seconds` from the first request to the last byte."""

    max_bytes: int = MAX_IMAGE_BYTES
    seconds: float = IMAGE_TIMEOUT


class NotReadable(Exception):
    """An image that is not read. `code`: of its reject; `words`: what it is, to follow its name."""

    def __init__(self, code: RejectCode, words: str) -> None:
        super().__init__(code, words)
        self.code = code
        self.words = words


class Collector:
    """Collects images within `limits`. Methods raise NotReadable for one that is too large, OutOfTime."""

    def __init__(self, limits: ReadLimits) -> None:
        self.limits = limits
        self._large = threading.Semaphore(LARGE_AT_ONCE)
        self._large_on_loop = asyncio.Semaphore(LARGE_AT_ONCE)

    def fits(self, size: int) -> bool:
        """Whether an image of `size` bytes is small enough."""
        return size <= self.limits.max_bytes

    def check_size(self, size: int | None) -> None:
        """Raises NotReadable for a size in bytes that is too large."""
        if size is not None and not self.fits(size):
            limit = f"{self.limits.max_bytes:,} bytes"
            raise NotReadable("image_too_large", f"has more than {limit}; see max_image_bytes")

    def checked(self, data: bytes) -> bytes:
        """`data`, unless it is too large."""
        self.check_size(len(data))
        return data

    def collect(self, read: Callable[[int], bytes], deadline: Deadline, size: int = 0) -> bytes:
        """All that `read(bytes at most)` gives until it gives nothing. `size`: in bytes, as far as is known."""
        self.check_size(size)
        with contextlib.ExitStack() as held:
            pieces = _Pieces()
            while True:
                if max(size, pieces.total) > LARGE_BYTES and not pieces.large:
                    pieces.large = True
                    with deadline.paused():
                        held.enter_context(self._large)
                deadline.check()
                piece = read(max(size - pieces.total, CHUNK_BYTES))
                if not pieces.add(piece, self):
                    return pieces.whole()

    async def collect_async(self, read: Callable[[], Awaitable[bytes]], deadline: Deadline, size: int = 0) -> bytes:
        """As `collect`, on an event loop, which has its own time limit."""
        self.check_size(size)
        async with contextlib.AsyncExitStack() as held:
            pieces = _Pieces()
            while True:
                if max(size, pieces.total) > LARGE_BYTES and not pieces.large:
                    pieces.large = True
                    with deadline.paused():
                        await held.enter_async_context(self._large_on_loop)
                if not pieces.add(await read(), self):
                    return pieces.whole()


class _Pieces:
    """What was read so far. `large`: whether it counts as one of the large images that are read at once."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.total = 0
        self.large = False

    def add(self, piece: bytes, collector: Collector) -> bool:
        """Add a piece; False where it is the end. Raises NotReadable when it is too much."""
        if not piece:
            return False
        self._pieces.append(piece)
        self.total += len(piece)
        if not collector.fits(self.total):
            self._pieces.clear()  # errors hold on to what they arose in
        collector.check_size(self.total)
        return True

    def whole(self) -> bytes:
        """All of it, once."""
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
