"""Where coroutines wait for room, so that the first rows come first."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Generic, TypeVar

T = TypeVar("T")


class Gate(Generic[T]):
    """Lets coroutines through in the order of their rows, as there is room. Only on one event loop."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, asyncio.Future[T]]] = []
        self._count = itertools.count()

    def enter(self, order: int) -> asyncio.Future[T]:
        """Wait from now on to be let through; the future gives what `open` is given."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (order, next(self._count), future))
        return future

    def __len__(self) -> int:
        return len(self._waiting)

    def __bool__(self) -> bool:
        """Whether anyone waits."""
        while self._waiting and self._waiting[0][2].done():  # cancelled while it waited
            heapq.heappop(self._waiting)
        return bool(self._waiting)

    def open(self, ticket: T) -> None:
        """Let the first through."""
        heapq.heappop(self._waiting)[2].set_result(ticket)

    def fail(self, error: Exception) -> None:
        """Let none of those waiting through; each gets the error."""
        while self:
            heapq.heappop(self._waiting)[2].set_exception(error)
