"""Who is asked next: waiting requests get free slots, in the order of their rows, at the least loaded endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TypeVar

from regioncap.captioners.budget import Budget
from regioncap.captioners.endpoint import Endpoint
from regioncap.captioners.gate import Gate
from regioncap.captioners.server_errors import EndpointFailed
from regioncap.errors import BudgetReached, CaptionerError, RunStopped, Stopped

READY_ROWS = 32
"""Rows beyond the limit that have their pictures read, so that a free slot never waits for one."""

TIMER_SLACK = 0.001
"""Seconds: a timer may fire a little before its time by another clock, and the pause would seem not to be over."""

T = TypeVar("T")

logger = logging.getLogger("regioncap")


class Dispatcher:
    """Gives out slots at `endpoints`, within the budget. Used on one event loop only.

    A row is admitted first (`admit`, `leave`), which has its pictures read; each of its requests then acquires a slot
    (`acquire`, `release`). Those that concern one endpoint, ready or not, come first (`acquire_at`).
    """

    def __init__(self, budget: Budget) -> None:
        self.endpoints: list[Endpoint] = []
        self.error: RunStopped | None = None
        """Why nothing more is sent; None while something is."""
        self._budget = budget
        self._slots: Gate[Endpoint] = Gate()
        self._slots_at: dict[int, Gate[Endpoint]] = {}
        """By the endpoint that must be asked."""
        self._admission: Gate[None] = Gate()
        self._admitted = 0
        self._beside = 0
        """Requests that wait to be sent without a slot."""
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Requests in flight, over all endpoints."""
        return sum(endpoint.limit.in_flight for endpoint in self.endpoints)

    @property
    def wanted(self) -> int:
        """Requests that wait and that the endpoints would be sent at once, if the run's limits allow it."""
        waiting = len(self._admission) + len(self._slots) + sum(map(len, self._slots_at.values()))
        return max(0, min(waiting, self.width - self.in_flight)) + self._beside

    @property
    def width(self) -> int:
        """Requests that the endpoints are given at once, as far as that is found out."""
        return sum(max(1, int(endpoint.limit.limit)) for endpoint in self.endpoints)

    async def admit(self, order: int) -> None:
        """Wait until row `order` may have its pictures read. Raises RunStopped when nothing more is sent."""
        await self._enter(self._admission, order)

    def leave(self) -> None:
        """A row that was admitted is done."""
        self._admitted -= 1
        self.dispatch()

    async def acquire(self, order: int) -> Endpoint:
        """Wait for a slot for a request of row `order`; gives where it is. Raises RunStopped as `admit` does."""
        return await self._enter(self._slots, order)

    async def acquire_at(self, endpoint: Endpoint, order: int) -> None:
        """Wait for a slot at this endpoint, which need not be ready, in the order given. Raises RunStopped as `admit`
        does."""
        await self._enter(self._slots_at.setdefault(id(endpoint), Gate()), order)

    async def wait_beside(self) -> None:
        """Wait until a request may be sent that needs no slot. Raises RunStopped when nothing more is sent."""
        self._beside += 1
        try:
            while (wait := self._budget.take(time.monotonic(), slot=False)) > 0:
                self._stop_if_exceeded()
                await self.pause(wait)
        finally:
            self._beside -= 1

    def release(self, endpoint: Endpoint) -> None:
        """A request came back, in whatever way."""
        self._end(endpoint)

    def _end(self, endpoint: Endpoint, *, sent: bool = True) -> None:
        endpoint.limit.end()
        self._budget.end(sent=sent)
        if self.error is not None:
            self.stop(self.error)
        self.dispatch()

    async def _enter(self, gate: Gate[T], order: int) -> T:
        if self.error is not None and not self.in_flight:
            raise self.error
        waiting = gate.enter(order)
        self.dispatch()
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                self._give_back(waiting.result())
            raise

    def _give_back(self, ticket: object) -> None:
        """A slot was given in the moment in which nobody waited for it any more."""
        if isinstance(ticket, Endpoint):
            self._end(ticket, sent=False)

    def dispatch(self) -> None:
        """Give free slots to requests that wait, and admit further rows."""
        while (self._slots or any(self._slots_at.values())) and self.error is None:
            if self._stop_if_exceeded():
                return
            gate, endpoint = self._next()
            if endpoint is None:
                break
            wait = self._budget.take(time.monotonic())
            if wait > 0:
                self._dispatch_once_after(wait)
                break
            endpoint.limit.begin()
            gate.open(endpoint)
        room = sum(int(endpoint.limit.limit) for endpoint in self.endpoints) * 5 // 4 + READY_ROWS
        while self._admission and self._admitted < room and self.error is None:
            self._admitted += 1
            self._admission.open(None)

    def _stop_if_exceeded(self) -> bool:
        """Send nothing more if one more request would exceed the run's limits; whether that is so."""
        exceeded = self._budget.exceeded_by(self._budget.in_flight)
        if exceeded is not None:
            self.stop(BudgetReached(f"{exceeded}. A rerun resumes, and may use as much again."))
        return exceeded is not None

    def _next(self) -> tuple[Gate[Endpoint], Endpoint | None]:
        """Where the next slot goes, and which it is; None for none."""
        for endpoint in self.endpoints:
            gate = self._slots_at.get(id(endpoint))
            if gate and endpoint.limit.free:
                return gate, endpoint
        return self._slots, self._least_loaded() if self._slots else None

    def dispatch_after(self, seconds: float) -> None:
        """Dispatch again in a while: when an endpoint's pause is over."""
        asyncio.get_running_loop().call_later(seconds + TIMER_SLACK, self.dispatch)

    def _dispatch_once_after(self, seconds: float) -> None:
        # Every dispatch may find that the rate allows no more: one timer is enough.
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds + TIMER_SLACK, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.dispatch()

    async def pause(self, seconds: float) -> None:
        """Wait, at most until nothing more is sent. Raises RunStopped then."""
        if self.error is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), seconds)
        if self.error is not None:
            raise self.error

    def leave_out(self, endpoint: Endpoint, error: EndpointFailed) -> None:
        """Ask an endpoint nothing more in this run; stops everything when there is no other."""
        if endpoint.health.left_out is not None:
            return
        endpoint.health.left_out = error
        if all(each.health.left_out is not None for each in self.endpoints):
            self.stop(CaptionerError(str(error)))
        else:
            logger.warning("%s The run goes on with the other endpoints.", error)
            self.dispatch()

    def _least_loaded(self) -> Endpoint | None:
        now = time.monotonic()
        free = [
            endpoint
            for endpoint in self.endpoints
            if endpoint.limit.free and endpoint.health.available(now, endpoint.limit.in_flight)
        ]
        return min(free, key=lambda endpoint: (not endpoint.health.alive, endpoint.limit.load), default=None)

    def stop(self, error: RunStopped) -> None:
        """Send nothing more; the first error counts. All that wait get it: at once when no request can succeed any
        more, else when the requests in flight have come back."""
        self.error = self.error or error
        self._stopped.set()
        if self.in_flight and isinstance(self.error, BudgetReached | Stopped):
            return
        for gate in (self._slots, *self._slots_at.values()):
            gate.fail(self.error)
        self._admission.fail(self.error)
