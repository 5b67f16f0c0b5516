"""One request until it is answered: given to an endpoint, sent again when it fails, given up when it must be."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from regioncap.captioners.budget import Budget
from regioncap.captioners.chat import ChatRequest, ChatResponse
from regioncap.captioners.contradiction import contradicts
from regioncap.captioners.dispatch import Dispatcher
from regioncap.captioners.endpoint import Endpoint, Sent
from regioncap.captioners.health import CircuitBreaker, RetryPolicy
from regioncap.captioners.probe import Probe
from regioncap.captioners.replies import parse_response
from regioncap.captioners.server_errors import RESUMES, EndpointFailed, Refused, TryAgain
from regioncap.captioners.soundness import Soundness
from regioncap.errors import CaptionerError, RunStopped

OnResponse = Callable[[Endpoint, ChatRequest, ChatResponse], None]
T = TypeVar("T")

logger = logging.getLogger("regioncap")


class Spawn(Protocol):
    """Runs a coroutine beside the others."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> asyncio.Task[T]:
        """The task that runs it."""


class Sender:
    """Has requests answered by whichever endpoint can. Used on the session's event loop only.

    `spawn`: runs a coroutine beside the others. `try_out_again`: has an endpoint tried out that what is remembered of
    does not hold for any more; nothing is sent there until it was.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        probe: Probe,
        budget: Budget,
        policy: RetryPolicy,
        spawn: Spawn,
        try_out_again: Callable[[Endpoint], asyncio.Task[None]],
    ) -> None:
        self._dispatcher = dispatcher
        self._budget = budget
        self._policy = policy
        self._spawn = spawn
        self._probe = probe
        self._try_out_again = try_out_again
        self._soundness = Soundness(self._answers_known_good, spawn)
        self._turn = asyncio.Lock()
        self._revivals: dict[int, asyncio.Task[None]] = {}
        self._trials: dict[int, asyncio.Task[None]] = {}
        """By endpoints that are tried out again, or were."""
        self.breaker = CircuitBreaker(policy.patience)
        self.on_response: OnResponse | None = None
        """Called with every answer to a row's request."""

    async def send(self, request: ChatRequest, order: int) -> ChatResponse:
        """The answer to a request of row `order`.

        Raises Refused when only this request is refused, TryAgain when the server failed at it every time while it
        answered others, RunStopped when no request can succeed any more.
        """
        tries, first_at, again = 0, time.monotonic(), False
        while True:
            endpoint = await self._dispatcher.acquire(order)
            failed_at, remembered = time.monotonic(), endpoint.remembered
            try:
                response: ChatResponse | None = await self._attempt(endpoint, request)
                failure: TryAgain | Refused | None = None
            except EndpointFailed as error:
                self._dispatcher.leave_out(endpoint, error)
                continue
            except (TryAgain, Refused) as error:
                failure, failed_at = error, time.monotonic()
            finally:
                self._dispatcher.release(endpoint)
            if failure is None:
                if remembered and response is not None:
                    response = await self._believed(endpoint, request, response)
                if response is not None:
                    return response
                continue
            if isinstance(failure, Refused):
                if await self._is_its_own_fault(endpoint, failure, failed_at, remembered=remembered):
                    raise failure
                continue
            tries += not (failure.overloaded or failure.unreachable)
            if tries >= self._policy.max_tries and remembered and failure.senseless:
                self._doubt(endpoint, failure.reason)
                tries = 0
            elif tries >= self._policy.max_tries:
                # Either it is this request that makes the server fail, or the server failed at all of them.
                if again or endpoint.health.good_at > first_at:
                    raise failure
                await self._soundness.confirmed(endpoint, failed_at)
                tries, first_at, again = 0, time.monotonic(), True
            self._budget.record_retry()
            await self._wait(endpoint, failure, tries)

    async def _believed(self, endpoint: Endpoint, request: ChatRequest, response: ChatResponse) -> ChatResponse | None:
        """The answer as far as it may be believed of an endpoint of which all was found out by an earlier run; None if
        its request must be sent again."""
        if not contradicts(response, request.wanted):
            return response
        self._doubt(endpoint, f"an answer does not have the form {response.form}, or ended with {response.word[:40]!r}")
        # The run may end with this row, and what is being found out is for the next one.
        await asyncio.shield(self._trials[id(endpoint)])
        unheld = replace(response, form="none")  # no form closes what is in it
        if len(parse_response(unheld, request.wanted, request.mode).captions) == len(request.wanted):
            return unheld
        self._budget.record_retry()
        return None

    async def _is_its_own_fault(
        self, endpoint: Endpoint, refused: Refused, failed_at: float, *, remembered: bool
    ) -> bool:
        """Whether a request was refused for what is in it; else it must be sent again. `remembered`: all that was known
        of the endpoint by then was found out by an earlier run."""
        sound = await self._soundness.confirmed(endpoint, failed_at)
        if remembered and not endpoint.remembered:
            return False  # tried out since: it is sent in another way now
        if sound:
            return True
        if remembered:
            self._doubt(endpoint, refused.reason)
        else:
            self._dispatcher.leave_out(endpoint, endpoint.failed(refused))
        return False

    def _doubt(self, endpoint: Endpoint, reason: str) -> None:
        """What an earlier run found out about the endpoint does not hold any more."""
        if endpoint.remembered:
            logger.info("%s is tried out again: %s", endpoint.url, reason)
            self._trials[id(endpoint)] = self._try_out_again(endpoint)

    async def send_early(self, endpoint: Endpoint, request: ChatRequest, order: int) -> ChatResponse:
        """The answer to a request of row `order` at an endpoint that is still being tried out.

        Raises RunStopped; TryAgain, Refused, EndpointFailed, which say no more than that there is no answer yet.
        """
        await self._dispatcher.acquire_at(endpoint, order)
        sent = Sent(time.monotonic(), endpoint.answered)
        try:
            response = await self._exchange(endpoint, request)
        except (TryAgain, Refused):
            self._budget.record_retry()
            raise
        finally:
            self._dispatcher.release(endpoint)
        self._record_success(endpoint, sent)
        return response

    async def _wait(self, endpoint: Endpoint, failure: TryAgain, tries: int) -> None:
        """Returns when it is worth sending a request again that failed."""
        if failure.unreachable:
            await self._revive(endpoint)
        elif endpoint.health.paused_until <= time.monotonic():
            await self._dispatcher.pause(self._policy.pause(failure, tries))
        # Else the endpoint is paused: another one may take the request at once.

    async def _attempt(self, endpoint: Endpoint, request: ChatRequest) -> ChatResponse:
        sent = Sent(time.monotonic(), endpoint.answered)
        try:
            response = await self._exchange(endpoint, request)
        except TryAgain as error:
            self._record_failure(endpoint, error, sent)
            raise
        except EndpointFailed:
            raise
        except RunStopped as error:
            self._dispatcher.stop(error)
            raise
        self._record_success(endpoint, sent)
        return response

    async def _exchange(self, endpoint: Endpoint, request: ChatRequest) -> ChatResponse:
        """The answer of an endpoint. Raises TryAgain, Refused, EndpointFailed."""
        async with self._turn:  # one after the other, so that answers are read between them
            await asyncio.sleep(0)
        self._budget.record_request()
        response = await endpoint.send(request)
        self._budget.record_response(response, request)
        if self.on_response is not None:
            self.on_response(endpoint, request, response)
        endpoint.check(response)
        return response

    def _record_success(self, endpoint: Endpoint, sent: Sent) -> None:
        endpoint.record_success(sent.at, time.monotonic())
        self._soundness.record_success(endpoint, sent.at)
        self.breaker.record_success()

    def _record_failure(self, endpoint: Endpoint, error: TryAgain, sent: Sent) -> None:
        """Take note of a failure; stop everything when nothing else came for too long."""
        now = time.monotonic()
        paused = endpoint.record_failure(error, sent, now, self._policy)
        if paused and error.overloaded and (error.after or 0.0) > self._policy.patience:
            self._dispatcher.leave_out(endpoint, _asks_too_long(endpoint, error, self._policy.patience))
        elif paused:
            self._dispatcher.dispatch_after(endpoint.health.paused_until - now)
        # Errors during a restart do not count as failures: the restart reports its own.
        if any(each.health.reviving for each in self._dispatcher.endpoints):
            return
        self.breaker.record_failure(now)
        if self.breaker.is_open(now):
            self._dispatcher.stop(
                CaptionerError(
                    f"{endpoint.url} has answered nothing for {self.breaker.silence(now):.0f} s "
                    f"(server_patience={self._policy.patience:g}), {self.breaker.failures} requests failed; the last: "
                    f"{error.reason}.{_TIMEOUT_ADVICE if error.timed_out else ''} {RESUMES}"
                )
            )

    async def _answers_known_good(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint answers the request that it was tried out with; waits while it answers nothing."""
        attempt = 0
        while True:
            sent = Sent(time.monotonic(), endpoint.answered)
            try:
                await self._probe.send_known_good(endpoint)
            except TryAgain as error:
                self._record_failure(endpoint, error, sent)
                attempt += 1
                if self._dispatcher.error is None:
                    self._budget.record_retry()
                await self._dispatcher.pause(self._policy.pause(error, attempt))
            except (Refused, EndpointFailed):
                return False
            else:
                self._record_success(endpoint, sent)
                return True

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
            self.breaker.record_success()
            self._dispatcher.dispatch()


_TIMEOUT_ADVICE = " Raise request_timeout, or lower max_in_flight."


def _asks_too_long(endpoint: Endpoint, error: TryAgain, patience: float) -> EndpointFailed:
    wait = datetime.timedelta(seconds=round(error.after or 0.0))
    return EndpointFailed(
        f"{endpoint.url} asks to wait {wait}, longer than server_patience={patience:g} s "
        f"({error.reason}). Rerun then, or raise server_patience."
    )
