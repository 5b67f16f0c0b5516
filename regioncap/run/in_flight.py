"""Answers that were asked for and have not come yet."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass

from regioncap.captioners.base import CaptionResult
from regioncap.records import Row


@dataclass
class PendingAnswer:
    """One row on its way through the captioner. `future`: gives the captions of all of its regions.

    `owner`: whether this row asks, and not another with the same picture and prompt. `key`: the answer's name; "" where
    answers cost nothing and are not kept.
    """

    row: Row
    prompt: str
    future: Future[CaptionResult]
    owner: bool = True
    key: str = ""


class InFlight:
    """The answers that a run is asking for, by key: rows that need the same one share it, so it is asked for once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[str, Future[CaptionResult]] = {}

    def claim(self, key: str) -> tuple[Future[CaptionResult], bool]:
        """The future of the answer `key`, and whether the caller must fulfil it with `settle`."""
        with self._lock:
            if key in self._futures:
                return self._futures[key], False
            future: Future[CaptionResult] = Future()
            self._futures[key] = future
            return future, True

    def settle(self, key: str, result: CaptionResult | BaseException) -> None:
        """The answer came and is stored: whoever needs it next finds it in the cache."""
        with self._lock:
            future = self._futures.pop(key)
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
