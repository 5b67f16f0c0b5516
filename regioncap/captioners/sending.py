"""One request until it is answered: given to an endpoint, sent again when it fails, given up when it must be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from regioncap.captioners.budget import Budget
from regioncap.captioners.chat import ChatRequest, ChatResponse
from regioncap.captioners.dispatch import Dispatcher
from regioncap.captioners.endpoint import Endpoint
from regioncap.captioners.health import CircuitBreaker, RetryPolicy
from regioncap.captioners.probe import Probe
from regioncap.captioners.server_errors import Refused, TryAgain
from regioncap.errors import CaptionerError, RunStopped

OnResponse = Callable[[Endpoint, ChatRequest, ChatResponse], None]
Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Sender:
    """Has requests answered by whichever endpoint can. Used on the session's event loop only.

    `spawn`: runs a coroutine beside the others.
    """

    def __init__(self, dispatcher: Dispatcher, probe: Probe, budget: Budget, policy: RetryPolicy, spawn: Spawn) -> None:
        self._dispatcher = dispatcher
        self._probe = probe
        self._budget = budget
        self._policy = policy
        self._spawn = spawn
        self._revivals: dict[int, asyncio.Task[None]] = {}
        self.breaker = CircuitBreaker(policy)
        self.on_response: OnResponse | None = None
        """Called with every answer to a row's request."""

    async def send(self, request: ChatRequest, order: int) -> ChatResponse:
        """The answer to a request of row `order`. Raises Refused, TryAgain when tries are used up, RunStopped."""
        tries = 0
        while True:
            endpoint = await self._dispatcher.acquire(order)
            try:
                return await self._attempt(endpoint, request)
            except TryAgain as error:
                tries += not (error.overloaded or error.unreachable)
                if tries >= self._policy.max_tries:
                    raise
                failure = error
            finally:
                self._dispatcher.release(endpoint)
            self._budget.record_retry()
            if failure.unreachable:
                await self._revive(endpoint)
            else:
                await asyncio.sleep(self._policy.pause(failure, tries))

    async def _attempt(self, endpoint: Endpoint, request: ChatRequest) -> ChatResponse:
        sent_at = time.monotonic()
        try:
            if endpoint.structure is None:  # it was not there when the others were tried out
                await endpoint.resolve_base_url()
                await self._probe.find_structure(endpoint)
            self._budget.record_request()
            response = await endpoint.send(request)
        except TryAgain as error:
            self._record_failure(endpoint, error, sent_at)
            raise
        except Refused:
            self._record_failure(endpoint, None, sent_at)
            raise
        except RunStopped as error:
            self._dispatcher.stop(error)
            raise
        self._budget.record_response(response)
        now = time.monotonic()
        endpoint.record_success(now)
        self.breaker.record_success(now)
        if self.on_response is not None:
            self.on_response(endpoint, request, response)
        return response

    def _record_failure(self, endpoint: Endpoint, error: TryAgain | None, sent_at: float) -> None:
        """Take note of a failure, None for a refusal; stop everything when there were too many."""
        now = time.monotonic()
        self.breaker.record_failure()
        if error is not None and endpoint.record_failure(error, sent_at, now, self._policy):
            self._dispatcher.dispatch_after(endpoint.health.paused_until - now)
        healths = [each.health for each in self._dispatcher.endpoints]
        # Errors during a restart do not count as failures: the restart reports its own.
        if any(health.reviving for health in healths):
            return
        overloaded, all_dead = error is not None and error.overloaded, not any(health.alive for health in healths)
        if self.breaker.is_open(now, overloaded=overloaded, all_dead=all_dead):
            reason = error.reason if error is not None else "requests are refused"
            self._dispatcher.stop(
                CaptionerError(
                    f"{endpoint.url} has answered nothing for {self.breaker.silence(now):.0f} s, "
                    f"{self.breaker.failures} requests failed; the last: {reason}. What was answered is kept; fix the "
                    "server and rerun the same command; it resumes."
                )
            )

    async def _revive(self, endpoint: Endpoint) -> None:
        """Wait until whoever started the server has seen to it; it gets no requests meanwhile."""
        if endpoint.revive is None:
            return
        if not endpoint.health.reviving:
            endpoint.health.begin_revival()
            self._revivals[id(endpoint)] = self._spawn(self._restart(endpoint, endpoint.revive))
        await asyncio.shield(self._revivals[id(endpoint)])

    async def _restart(self, endpoint: Endpoint, revive: Callable[[], None]) -> None:
        revived = False
        try:
            await asyncio.get_running_loop().run_in_executor(None, revive)
            revived = True
        except RunStopped as error:
            self._dispatcher.stop(error)
        finally:
            endpoint.health.end_revival(revived=revived)
        if revived:
            self.breaker.record_success(time.monotonic())
            self._dispatcher.dispatch()
