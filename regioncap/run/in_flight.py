"""Answers that are being asked for: rows that want the same one share it."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from regioncap.captioners.base import CaptionResult


class InFlight:
    """The answers that are being asked for, by key: rows that want the same share it, so it is asked for once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[str, Future[CaptionResult]] = {}

    def claim(self, key: str) -> tuple[Future[CaptionResult], bool]:
        """The future of the answer `key`, and whether the caller is to fulfil it with `settle`."""
        with self._lock:
            if key in self._futures:
                return self._futures[key], False
            future: Future[CaptionResult] = Future()
            self._futures[key] = future
            return future, True

    def settle(self, key: str, result: CaptionResult | BaseException) -> None:
        """The answer came, and is kept: whoever wants it next finds it there."""
        with self._lock:
            future = self._futures.pop(key)
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
