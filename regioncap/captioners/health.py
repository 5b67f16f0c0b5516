"""When to wait, whom to leave alone, and when to give up. No clock, no network in here: times are passed in."""

from __future__ import annotations

import random
from dataclasses import dataclass

from regioncap.captioners.server_errors import TryAgain


@dataclass(frozen=True)
class RetryPolicy:
    """How failures are met. Times in seconds.

    `max_tries`: of one request when the server fails at it; being asked to wait does not count. `max_pause`: between
    two tries. `overloads_in_row`: 429s or 503s without an answer between them after which the server is paused.
    `failures_in_row`, `give_up_after`, `give_up_overloaded_after`: the circuit breaker's; see `CircuitBreaker`.
    """

    max_tries: int = 5
    max_pause: float = 60.0
    overloads_in_row: int = 3
    failures_in_row: int = 20
    give_up_after: float = 30.0
    give_up_overloaded_after: float = 300.0

    def pause(self, error: TryAgain, attempt: int) -> float:
        """Seconds to wait before another try: what the server asks for, else exponential back-off, fully jittered."""
        if error.after is not None:
            return min(self.max_pause, error.after)
        # Jitter: clients that failed together must not come back together.
        return min(self.max_pause, random.uniform(0.1, min(30.0, 0.5 * 2 ** min(attempt, 10))))


@dataclass
class EndpointHealth:
    """Whether one endpoint may be asked. Changed by what comes of its requests, through these methods alone.

    `alive`: something answers there. `failures`: overloads and connection failures since the last answer.
    `paused_until`: no requests before this time. `reviving`: whoever started the server is restarting it.
    """

    alive: bool = True
    failures: int = 0
    paused_until: float = 0.0
    reviving: bool = False

    def available(self, now: float, in_flight: int) -> bool:
        """Whether a request may be sent now; one at a time to an endpoint that did not answer."""
        return self.paused_until <= now and not self.reviving and (self.alive or in_flight == 0)

    def record_success(self) -> bool:
        """A request was answered. Whether the endpoint was dead until now."""
        came_back = not self.alive
        self.alive, self.failures = True, 0
        return came_back

    def record_failure(self, error: TryAgain, now: float, policy: RetryPolicy) -> bool:
        """A request failed. Whether the endpoint is paused for it."""
        if not (error.overloaded or error.unreachable):
            return False
        self.failures += 1
        if error.unreachable:
            self.alive = False
        # One 429 among answers concerns that request, which waits; several in a row concern the endpoint.
        elif self.failures < policy.overloads_in_row:
            return False
        self.pause_until(now + policy.pause(error, self.failures))
        return True

    def mark_dead(self, until: float) -> None:
        """Nothing answers there; not to be asked again before `until`."""
        self.alive = False
        self.pause_until(until)

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
    """Says when a run should stop: after many consecutive failures without a success for some time.

    Many: `failures_in_row`, or any number when all endpoints are dead. Some time: `give_up_after`, or
    `give_up_overloaded_after` for a server that has too much to do.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self.failures = 0
        """Since the last success."""
        self._last_success = 0.0

    def record_success(self, now: float) -> None:
        """An answer came, or there is a reason to begin counting again."""
        self.failures, self._last_success = 0, now

    def record_failure(self) -> None:
        """A request failed, for whatever reason."""
        self.failures += 1

    def silence(self, now: float) -> float:
        """Seconds since the last success."""
        return now - self._last_success

    def is_open(self, now: float, *, overloaded: bool, all_dead: bool) -> bool:
        """Whether to give up. `overloaded`: the last failure was an overload."""
        policy = self._policy
        patience = policy.give_up_overloaded_after if overloaded else policy.give_up_after
        return self.silence(now) >= patience and (self.failures >= policy.failures_in_row or all_dead)
