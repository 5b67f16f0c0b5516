"""How many requests one server is given at once: halved when it says it is too much, grown back as it answers.

The rules of TCP's congestion control (additive increase, multiplicative decrease; slow start), for requests. No
clock, no network in here: times are handed in.
"""

from __future__ import annotations

from dataclasses import dataclass

AUTO_START = 32
AUTO_MOST = 4096
QUEUED_SHARE = 0.15
"""So much of what runs may wait at the server: enough that it never lacks work, little enough to stop fairly."""

GROWTH = 1.5
"""So many times the limit from one measure of speed to the next."""

DOUBLING = 2.0
"""So many times the limit from one look at the queue to the next, while the server runs all that it is given."""

ARRIVED = 0.9
"""So much of the limit must be in flight, and so much of that have reached the server, for its queue to say something
about the limit."""

KNOWN_GOOD = 0.9
"""Of the limit at which a server said that it was too much: for a chance error that is soon reached again, a server
that means it brings it down step by step. The idea of CUBIC (RFC 9438)."""

WINDOW_FEWEST = 24
"""Answers that a measure of speed needs at least."""

FASTER = 1.1
"""A higher limit must bring this much more speed to be kept, where the server does not tell its queue."""

WINDOWS_TO_REST = 20


@dataclass
class InFlightLimit:
    """The limit of one server. `most`: never more than this; None finds out how many are worth it."""

    most: int | None
    limit: float = 0.0
    in_flight: int = 0
    peak: int = 0
    _halved_at: float = float("-inf")
    _known_good: float = 0.0
    """Up to here the limit grows back quickly after it was halved."""
    _careful: bool = False
    """Whether the server has said that it is too much: from then on the limit grows by small steps."""
    _window: Window | None = None
    told: bool = False
    """Whether the server tells how many requests wait, so that speed need not be measured."""

    def __post_init__(self) -> None:
        self.limit = float(self.most if self.most is not None else AUTO_START)
        self._window = Window(self.limit) if self.most is None else None

    @property
    def free(self) -> bool:
        """Whether one more request may be sent."""
        return self.in_flight < max(1, int(self.limit))

    @property
    def load(self) -> float:
        """In-flight requests for each that is allowed."""
        return self.in_flight / max(1.0, self.limit)

    def begin(self) -> None:
        """One request is sent."""
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)

    def end(self) -> None:
        """One request came back, in whatever way."""
        self.in_flight -= 1

    def answered(self, now: float) -> None:
        """A request that just ended was answered: room for a little more."""
        was_full = self.in_flight + 1 >= int(self.limit)
        if self.most is not None or self._careful:
            most = float(self.most if self.most is not None else AUTO_MOST)
            step = 1.0 if self.limit < self._known_good else 1 / max(1.0, self.limit)
            self.limit = min(most, self.limit + (step if was_full or self.most is not None else 0))
        elif not self.told and self._window is not None:
            self.limit = min(float(AUTO_MOST), self._window.answered(now, self.limit, was_full))

    def overloaded(self, sent_at: float, now: float) -> bool:
        """The server said 429 or 503 to a request sent at `sent_at`. Whether the limit was halved: once for all
        that were under way together."""
        if sent_at < self._halved_at:
            return False
        self._halved_at = now
        self._known_good = KNOWN_GOOD * self.limit
        self.limit = max(1.0, self.limit / 2)
        self._careful = True
        return True

    def queue_told(self, running: int, waiting: int) -> bool:
        """The server says how many requests run and wait there. Only for a limit that is to be found out.

        Whether the server took all that it was given and is given much more now: worth another look soon.
        """
        if self.most is not None:
            return False
        self.told = True
        enough = float(running + max(2, round(running * QUEUED_SHARE)))
        if running + waiting > enough:
            self.limit = max(1.0, min(self.limit, enough))
        elif self._careful or self.in_flight < ARRIVED * self.limit:
            return False
        elif waiting:
            self.limit = max(self.limit, enough)
        elif running >= ARRIVED * self.in_flight and self.limit < AUTO_MOST:
            self.limit = min(float(AUTO_MOST), DOUBLING * self.limit)
            return True
        return False


@dataclass
class Window:
    """Measures answers a second at one limit, and says whether a higher one was worth it.

    For servers that do not tell their queue. `best`: the limit to go back to.
    """

    best: float
    _best_speed: float = 0.0
    _count: int = 0
    _begun: float | None = None
    _rest: int = 0

    def answered(self, now: float, limit: float, was_full: bool) -> float:
        """The limit to go on with, after an answer at time `now` (seconds)."""
        if self._begun is None or not was_full:
            # An idle server's speed says nothing of the limit.
            self._begun, self._count = now, 0
            return limit
        self._count += 1
        if self._count < max(WINDOW_FEWEST, 2 * int(limit)) or now <= self._begun:
            return limit
        speed = self._count / (now - self._begun)
        self._begun, self._count = now, 0
        if self._rest:
            self._rest -= 1
            self._best_speed = max(0.5 * (self._best_speed + speed), 1e-9)
            return limit
        if speed > self._best_speed * FASTER:
            self._best_speed, self.best = speed, limit
            return limit * GROWTH
        self._rest = WINDOWS_TO_REST
        return self.best
