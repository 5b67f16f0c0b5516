"""Requests and tokens a minute, kept to from this side. No clock in here: times are passed in."""

from __future__ import annotations

import math
from collections import deque

MINUTE = 60.0

BURST = 2.0
"""Seconds: a limit per minute is kept in this short a window too, with a share of it, since servers count so."""


class Window:
    """At most `most` in any `seconds`."""

    def __init__(self, seconds: float, most: float) -> None:
        self._seconds = seconds
        self._most = most
        self._entries: deque[tuple[float, float]] = deque()
        self._sum = 0.0

    def wait(self, now: float, amount: float) -> float:
        """Seconds until there is room for `amount` more; what is more than all of it waits until nothing else is."""
        while self._entries and now - self._entries[0][0] >= self._seconds:
            self._sum -= self._entries.popleft()[1]
        rest, wait = self._sum, 0.0
        for at, size in self._entries:
            if rest + amount <= self._most:
                break
            rest -= size
            wait = at + self._seconds - now
        return wait

    def record(self, now: float, amount: float) -> None:
        """`amount` was sent at `now`."""
        self._entries.append((now, amount))
        self._sum += amount


class RateLimit:
    """`per_minute` of something in any minute, evenly spread; None for no limit. Times in seconds."""

    def __init__(self, per_minute: float | None) -> None:
        self._windows: list[Window] = []
        if per_minute is not None:
            short = max(1.0, math.ceil(per_minute * BURST / MINUTE))
            self._windows = [Window(MINUTE, per_minute), Window(BURST, short)]

    def wait(self, now: float, amount: float) -> float:
        """Seconds until `amount` more may be sent; 0 for at once."""
        return max((window.wait(now, amount) for window in self._windows), default=0.0)

    def record(self, now: float, amount: float) -> None:
        """`amount` is sent at `now`."""
        for window in self._windows:
            window.record(now, amount)
