"""How many requests one server is given at once: halved when it is overloaded, grown back as it answers.

The rules of TCP's congestion control (additive increase, multiplicative decrease; slow start), for requests. No
clock, no network in here: times are passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

AUTO_START = 32
AUTO_MAX = 4096
QUEUED_SHARE = 0.15
"""Requests that may wait at the server, as a share of those that run: enough that it never lacks work, few enough to
stop fairly."""

GROWTH = 1.5
"""Factor on the limit from one measurement of throughput to the next."""

DOUBLING = 2.0
"""Factor on the limit from one check of the queue to the next, while the server runs all that it is given."""

ARRIVED = 0.9
"""Share of the limit that must be in flight, and of that have reached the server, for its queue to say something about
the limit."""

KNOWN_GOOD = 0.9
"""Share of the limit at which a server was overloaded: after a chance error that is soon reached again, and a server
that means it brings it down step by step. The idea of CUBIC (RFC 9438)."""

MIN_SAMPLES = 24
"""Answers that a measurement of throughput needs at least."""

WORTHWHILE = 1.1
"""Factor on the throughput that a higher limit must bring to be kept, where the server reports no queue."""

MEASUREMENTS_TO_REST = 20


@dataclass
class InFlightLimit:
    """The limit of one server. `maximum`: never more than this; None finds out how many are worth it.

    `limit`: requests in flight that are allowed now. `reports_queue`: whether the server says how many requests wait,
    so that throughput need not be measured. `shared`: whether other processes send to the server for the same run.
    """

    maximum: int | None
    limit: float = 0.0
    in_flight: int = 0
    peak: int = 0
    reports_queue: bool = False
    shared: bool = False
    _halved_at: float = float("-inf")
    _known_good: float = 0.0
    """Up to here the limit grows back quickly after it was halved."""
    _careful: bool = False
    """Whether the server was overloaded before: from then on the limit grows by small steps."""
    _throughput: ThroughputProbe | None = None

    def __post_init__(self) -> None:
        self.limit = float(self.maximum if self.maximum is not None else AUTO_START)
        self._throughput = ThroughputProbe(self.limit) if self.maximum is None else None

    @property
    def free(self) -> bool:
        """Whether one more request may be sent."""
        return self.in_flight < max(1, int(self.limit))

    @property
    def load(self) -> float:
        """Requests in flight over those allowed."""
        return self.in_flight / max(1.0, self.limit)

    def begin(self) -> None:
        """One request is sent."""
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)

    def end(self) -> None:
        """One request came back, in whatever way."""
        self.in_flight -= 1

    def record_success(self, now: float, *, slow: bool = False) -> None:
        """A request was answered: room for a little more. `slow`: so late that with more in flight some would time
        out."""
        if slow:
            return
        was_full = self.in_flight + 1 >= int(self.limit)
        if self.maximum is not None or self._careful:
            highest = float(self.maximum if self.maximum is not None else AUTO_MAX)
            step = 1.0 if self.limit < self._known_good else 1 / max(1.0, self.limit)
            self.limit = min(highest, self.limit + (step if was_full or self.maximum is not None else 0))
        elif not self.reports_queue and self._throughput is not None:
            self.limit = min(float(AUTO_MAX), self._throughput.record_success(now, self.limit, was_full))

    def record_overload(self, sent_at: float, now: float) -> bool:
        """The server answered 429 or 503 to a request sent at `sent_at`. Whether the limit was halved: once for all
        that were in flight together."""
        if sent_at < self._halved_at:
            return False
        self._halved_at = now
        self._known_good = KNOWN_GOOD * self.limit
        self.limit = max(1.0, self.limit / 2)
        self._careful = True
        return True

    def record_timeout(self, sent_at: float, now: float, answered: int) -> bool:
        """A request sent at `sent_at` got no answer in time, while `answered` others did. Whether the limit is lower.

        What a server answers within the time that a request may take is what may be in flight (Little's law): a
        server with one slot must not be given 32.
        """
        if not self.record_overload(sent_at, now):
            return False
        self.limit = max(1.0, min(self.limit, float(answered)))
        self._known_good = self.limit
        return True

    def record_queue(self, running: int, waiting: int) -> bool:
        """The server reports how many requests run and wait there. Matters only for a limit that is to be found out.

        Whether the server took all that it was given and is given much more now: worth checking again soon.
        """
        if self.maximum is not None:
            return False
        self.reports_queue = True
        enough = running + max(2, round(running * QUEUED_SHARE))
        ours = self._part_of(running + waiting) * enough
        if running + waiting > enough:
            self.limit = max(1.0, min(self.limit, ours))
        elif self._careful or self.in_flight < ARRIVED * self.limit:
            return False
        elif waiting:
            self.limit = max(self.limit, ours)
        elif running >= ARRIVED * self.in_flight and self.limit < AUTO_MAX:
            self.limit = min(float(AUTO_MAX), DOUBLING * self.limit)
            return True
        return False

    def _part_of(self, requests: int) -> float:
        """This process's part of the `requests` at the server, 0..1; all of them where it is the run's only one."""
        return min(1.0, self.in_flight / requests) if self.shared and requests else 1.0


@dataclass
class ThroughputProbe:
    """Measures answers a second at one limit, and says whether a higher one was worth it.

    For servers that report no queue. `best`: the limit to go back to.
    """

    best: float
    _best_throughput: float = 0.0
    _count: int = 0
    _begun: float | None = None
    _rest: int = 0

    def record_success(self, now: float, limit: float, was_full: bool) -> float:
        """The limit to go on with, after an answer at time `now` (seconds)."""
        if self._begun is None or not was_full:
            # An idle server's throughput says nothing about the limit.
            self._begun, self._count = now, 0
            return limit
        self._count += 1
        if self._count < max(MIN_SAMPLES, 2 * int(limit)) or now <= self._begun:
            return limit
        throughput = self._count / (now - self._begun)
        self._begun, self._count = now, 0
        if self._rest:
            self._rest -= 1
            self._best_throughput = max(0.5 * (self._best_throughput + throughput), 1e-9)
            return limit
        if throughput > self._best_throughput * WORTHWHILE:
            self._best_throughput, self.best = throughput, limit
            return limit * GROWTH
        self._rest = MEASUREMENTS_TO_REST
        return self.best


def split_limit(total: int | None, endpoints: int) -> list[int | None]:
    """`total` requests in flight split over a number of endpoints; the first get what is left over.

    >>> split_limit(8, 3), split_limit(None, 2)
    ([3, 3, 2], [None, None])
    """
    if total is None:
        return [None] * endpoints
    return [max(1, total // endpoints + (place < total % endpoints)) for place in range(endpoints)]
