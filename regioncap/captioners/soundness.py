"""Whose fault a refusal is: the request's if the endpoint answers a request that is known to be good right after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from regioncap.captioners.endpoint import Endpoint

EVIDENCE_SECONDS = 2.0
"""How long an answer to another row's request is waited for, before one is asked for only to know."""


class Soundness:
    """Finds out whether endpoints that refused a request answer others. Used on the session's event loop only.

    `check`: sends the endpoint a request that is known to be good; gives whether it was answered, True or False.
    Raises RunStopped when that cannot be found out any more. `spawn`: runs a coroutine beside the others.
    """

    def __init__(
        self,
        check: Callable[[Endpoint], Awaitable[bool]],
        spawn: Callable[[Coroutine[Any, Any, bool]], asyncio.Task[bool]],
    ) -> None:
        self._check = check
        self._spawn = spawn
        self._checks: dict[int, asyncio.Task[bool]] = {}
        self._waiting: dict[int, list[tuple[float, asyncio.Future[None]]]] = {}

    def record_success(self, endpoint: Endpoint, sent_at: float) -> None:
        """`endpoint` answered a request that was sent at `sent_at`."""
        waiting = self._waiting.get(id(endpoint))
        if not waiting:
            return
        for since, future in waiting:
            if since <= sent_at and not future.done():
                future.set_result(None)
        self._waiting[id(endpoint)] = [(since, future) for since, future in waiting if not future.done()]

    async def confirmed(self, endpoint: Endpoint, since: float) -> bool:
        """Whether `endpoint` answers a request that is sent after `since`.

        One check serves all that wait for it; an answer to a row's request saves it.
        """
        if endpoint.limit.in_flight:
            await self._wait_for_answer(endpoint, since)
        while endpoint.health.good_at < since:
            running = self._checks.get(id(endpoint))
            if running is None:
                running = self._checks[id(endpoint)] = self._spawn(self._run(endpoint))
            if not await asyncio.shield(running):
                return False
        return True

    async def _wait_for_answer(self, endpoint: Endpoint, since: float) -> None:
        answered = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(id(endpoint), []).append((since, answered))
        try:
            await asyncio.wait_for(answered, EVIDENCE_SECONDS)
        except TimeoutError:
            pass
        finally:
            answered.cancel()

    async def _run(self, endpoint: Endpoint) -> bool:
        try:
            sent_at = time.monotonic()
            sound = await self._check(endpoint)
            if sound:
                endpoint.health.record_success(sent_at)
            return sound
        finally:
            del self._checks[id(endpoint)]
