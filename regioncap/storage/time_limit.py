"""Reads that may hang: each has a time limit, and all of them end when the run does.

Threads cannot be ended from outside. What cannot be cancelled goes on in a thread that nobody waits for, neither the
caller nor the end of the process; it ends by itself with its next look at its `Deadline`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextvars import copy_context
from typing import Any, TypeVar

from regioncap.errors import Stopped

T = TypeVar("T")

GRACE_SECONDS = 5.0
"""For a coroutine to end after it was cancelled: closing a connection takes a moment."""

MIN_WAIT_SECONDS = 0.05
"""Between looks at a deadline that is paused shortly before its end."""


class OutOfTime(Exception):
    """A read took longer than its limit."""


class Deadline:
    """When a read must be done; `check` is called by whatever works on it, often."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds
        self._paused_at: float | None = None
        self._given_up = False

    @property
    def left(self) -> float:
        """Seconds."""
        return self._at - (time.monotonic() if self._paused_at is None else self._paused_at)

    def check(self) -> None:
        """Raises OutOfTime when the time is over, or nobody waits for the read any more."""
        if self._given_up or self.left <= 0:
            raise OutOfTime

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """This block does not count."""
        self._paused_at = time.monotonic()
        try:
            yield
        finally:
            self._at += time.monotonic() - self._paused_at
            self._paused_at = None

    def give_up(self) -> None:
        """Nobody waits for the read any more."""
        self._given_up = True


class TimeLimit:
    """Runs work that may take `seconds` at most. Methods raise OutOfTime, and Stopped once `stop` was called."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._waiting: set[Future[Any]] = set()
        self._stopped = False

    def run(self, work: Callable[[Deadline], T]) -> T:
        """`work(deadline)` in a thread of its own."""
        self._check_stopped()
        deadline = Deadline(self._seconds)
        future: Future[T] = Future()

        def run() -> None:
            with contextlib.suppress(InvalidStateError):  # nobody waits any more
                try:
                    future.set_result(work(deadline))
                except Exception as error:
                    future.set_exception(error)

        threading.Thread(target=copy_context().run, args=(run,), name="read", daemon=True).start()
        return self._wait(future, deadline, 0)

    def run_coroutine(self, work: Callable[[Deadline], Coroutine[Any, Any, T]], loop: asyncio.AbstractEventLoop) -> T:
        """`work(deadline)` on `loop`, which runs in another thread; cancelled when it takes too long."""
        self._check_stopped()
        deadline = Deadline(self._seconds)
        future = asyncio.run_coroutine_threadsafe(_limited(work(deadline), deadline), loop)
        return self._wait(future, deadline, GRACE_SECONDS)

    def stop(self) -> None:
        """End everything that is waited for, and start nothing more."""
        with self._lock:
            self._stopped = True
            waiting = list(self._waiting)
        for future in waiting:
            future.cancel()

    def _check_stopped(self) -> None:
        if self._stopped:
            raise Stopped

    def _wait(self, future: Future[T], deadline: Deadline, grace: float) -> T:
        """The future's result, as soon as it is there; OutOfTime `grace` seconds after the deadline."""
        with self._lock:
            self._waiting.add(future)
        try:
            self._check_stopped()
            while True:
                try:
                    return future.result(max(deadline.left, MIN_WAIT_SECONDS) + grace)
                except TimeoutError:
                    if future.done():  # the work's own
                        raise
                    if deadline.left + grace <= 0:
                        raise OutOfTime from None
        except CancelledError:
            raise Stopped from None
        finally:
            deadline.give_up()
            future.cancel()
            with self._lock:
                self._waiting.discard(future)


async def _limited(work: Coroutine[Any, Any, T], deadline: Deadline) -> T:
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([task], timeout=max(deadline.left, MIN_WAIT_SECONDS)))[0]:
            if deadline.left <= 0:
                raise OutOfTime
        return await task
    finally:
        task.cancel()
