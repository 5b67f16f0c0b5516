"""When to wait, whom to leave alone, and when to give up. No clock, no network in here: times are passed in."""

from __future__ import annotations

import random
from dataclasses import dataclass

from regioncap.captioners.server_errors import EndpointFailed, TryAgain

MIN_PAUSE = 0.5
"""Seconds: whatever a server says, it is not asked again sooner. `Retry-After: 0` means "soon", not "at once"."""

LONG_WAIT = 5.0
"""Seconds: a server that asks for a longer wait means all requests, not the one that it refused."""


@dataclass(frozen=True)
class RetryPolicy:
    """How failures are met. Times in seconds.

    `patience`: for a server that is overloaded, loading or away, since its last answer. `max_tries`: of one request
    at which the server fails while it answers others. `max_pause`: between two tries, where the server does not ask
    for more. `overloads_in_row`: 429s or 503s without an answer between them after which the server is paused.
    `unreachable_tries`: to connect to a server that never answered.
    """

    patience: float = 900.0
    max_tries: int = 5
    max_pause: float = 10.0
    overloads_in_row: int = 3
    unreachable_tries: int = 3

    def pause(self, error: TryAgain, attempt: int) -> float:
        """Seconds to wait before another try: what the server asks for, else exponential back-off, with jitter."""
        backoff = min(self.max_pause, MIN_PAUSE * 2 ** min(attempt, 10))
        if not error.after or error.after > self.patience:
            # Jitter: clients that failed together must not come back together.
            return random.uniform(backoff / 2, backoff)
        return max(MIN_PAUSE, error.after) + random.uniform(0, MIN_PAUSE / 2)


@dataclass
class EndpointHealth:
    """Whether one endpoint may be asked. Changed by what comes of its requests, through these methods alone.

    `ready`: it was tried out with success. `left_out`: why it is not asked any more in this run. `alive`: something
    answers there. `failures`: overloads and connection failures since the last answer. `paused_until`: no requests
    before this time. `reviving`: whoever started the server is restarting it. `good_at`: when the latest of the
    requests was sent that were answered.
    """

    ready: bool = True
    left_out: EndpointFailed | None = None
    alive: bool = True
    failures: int = 0
    paused_until: float = 0.0
    reviving: bool = False
    good_at: float = float("-inf")
    _rounds: int = 0
    """Pauses since the last answer."""
    _paused_at: float = float("-inf")

    def available(self, now: float, in_flight: int) -> bool:
        """Whether a request may be sent now; one at a time to an endpoint that did not answer."""
        usable = self.ready and self.left_out is None and not self.reviving
        return usable and self.paused_until <= now and (self.alive or in_flight == 0)

    def record_success(self, sent_at: float) -> bool:
        """A request sent at `sent_at` was answered. Whether the endpoint was dead until now."""
        came_back = not self.alive
        self.alive, self.failures, self._rounds = True, 0, 0
        self.good_at = max(self.good_at, sent_at)
        return came_back

    def record_failure(self, error: TryAgain, sent_at: float, now: float, policy: RetryPolicy) -> bool:
        """A request sent at `sent_at` failed. Whether the endpoint is paused for it."""
        # Those that were in flight together fail together, and say no more than one of them.
        if not (error.overloaded or error.unreachable) or sent_at <= self._paused_at:
            return False
        self.failures += 1
        if error.unreachable:
            self.alive = False
        # One 429 among answers concerns that request, which waits; several in a row concern the endpoint.
        elif self.failures < policy.overloads_in_row and not LONG_WAIT < (error.after or 0.0) <= policy.patience:
            return False
        self._rounds += 1
        self._paused_at = now
        self.pause_until(now + policy.pause(error, self._rounds))
        return True

    def pause_until(self, when: float) -> None:
        """Send nothing before `when`; a longer pause stays."""
        self.paused_until = max(self.paused_until, when)

    def begin_revival(self) -> None:
        """The server is being restarted: nothing is sent until `end_revival`."""
        self.reviving = True

    def end_revival(self, *, revived: bool) -> None:
        """The restart is over; `revived`: requests may be sent at once."""
        self.reviving = False
        if revived:
            self.paused_until = 0.0


class CircuitBreaker:
    """Says when a run should stop: when nothing but failures came for as long as the patience allows."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._failing_since: float | None = None
        self.failures = 0
        """Since the last success."""

    def record_success(self) -> None:
        """An answer came, or there is a reason to begin counting again."""
        self.failures, self._failing_since = 0, None

    def record_failure(self, now: float) -> None:
        """A request failed, for whatever reason."""
        self.failures += 1
        self._failing_since = now if self._failing_since is None else self._failing_since

    def silence(self, now: float) -> float:
        """Seconds since the first failure after the last success; 0 without one."""
        return 0.0 if self._failing_since is None else now - self._failing_since

    def is_open(self, now: float) -> bool:
        """Whether to give up."""
        return self._failing_since is not None and self.silence(now) >= self._patience
