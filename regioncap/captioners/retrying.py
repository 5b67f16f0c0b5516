"""Requests that try an endpoint out, sent again for as long as the patience allows."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from regioncap.captioners.advice import advice_for
from regioncap.captioners.budget import Budget
from regioncap.captioners.endpoint import Endpoint
from regioncap.captioners.health import RetryPolicy
from regioncap.captioners.server_errors import RESUMES, EndpointFailed, NotThere, TryAgain

T = TypeVar("T")

logger = logging.getLogger("regioncap")


class Retrying:
    """Calls again what raises TryAgain. Used on the session's event loop only.

    `pause`: waits for some seconds; raises RunStopped when the run ends meanwhile.
    """

    def __init__(self, budget: Budget, policy: RetryPolicy, pause: Callable[[float], Awaitable[None]]) -> None:
        self._budget = budget
        self._policy = policy
        self._pause = pause
        self._waited_for: set[int] = set()

    async def __call__(self, endpoint: Endpoint, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """`call()`, again as long as the patience allows. Raises EndpointFailed when the server is not there."""
        attempt, begun = 0, time.monotonic()
        while True:
            try:
                result = await call()
            except TryAgain as error:
                attempt += 1
                waited = time.monotonic() - begun
                if self._gives_up(error, attempt, waited):
                    raise _no_answer(endpoint, error, waited) from None
                self._announce(endpoint, error)
                self._budget.record_retry()
                await self._pause(self._policy.pause(error, attempt - 1))
            else:
                self._waited_for.discard(id(endpoint))
                return result

    def _announce(self, endpoint: Endpoint, error: TryAgain) -> None:
        """Log that an endpoint is waited for, once."""
        if error.unreachable or id(endpoint) in self._waited_for:
            return
        self._waited_for.add(id(endpoint))
        logger.warning(
            "waiting for %s (%s), up to server_patience=%g s", endpoint.url, error.reason, self._policy.patience
        )

    def _gives_up(self, error: TryAgain, attempt: int, waited: float) -> bool:
        if waited + (error.after or 0.0) >= self._policy.patience:
            return True
        if error.unreachable:
            return attempt >= self._policy.unreachable_tries
        return error.senseless and attempt >= self._policy.max_tries


def _no_answer(endpoint: Endpoint, error: TryAgain, waited: float) -> EndpointFailed:
    """Why an endpoint is given up while it is tried out."""
    if error.unreachable:
        return NotThere(
            f"{endpoint.url} does not answer ({error.reason}). Start the server, or correct --endpoint, and rerun; "
            "it resumes."
        )
    if error.senseless:
        advice = advice_for(error.reason) or "Correct --endpoint: its base URL, mostly ending in /v1."
        return EndpointFailed(f"{endpoint.url}: {error.reason}. {advice} {RESUMES}")
    asks = f" and asks to wait {error.after:.0f} s" if error.after else ""
    advice = advice_for(error.reason) or "Rerun when it is ready, or raise server_patience; it resumes."
    return EndpointFailed(f"{endpoint.url} gave no answer for {waited:.0f} s ({error.reason}){asks}. {advice}")
