"""The first rows of a run, which need not wait until the servers were tried out."""

from __future__ import annotations

import asyncio
from typing import Any

from regioncap.captioners.endpoint import Endpoint

EARLY_ROWS = 4
"""Rows that are sent while the servers are still being tried out. A server that cannot be used costs no more."""


class EarlyRows:
    """Which rows these are, and where they go. Used on the session's event loop only."""

    def __init__(self) -> None:
        self._left = 0
        self._reached: asyncio.Future[Endpoint] | None = None
        """The first endpoint that is there and is being tried out."""

    def allow(self) -> None:
        """The rows that come next are sure to be wanted."""
        self._left = EARLY_ROWS

    def record_reached(self, endpoint: Endpoint) -> None:
        """An endpoint is there, and is being tried out from now on."""
        reached = self._future()
        if not reached.done():
            reached.set_result(endpoint)

    async def endpoint(self, preparing: asyncio.Task[None] | None) -> Endpoint | None:
        """Where a row goes that comes now; None if it has to wait for `preparing`, which tries the servers out."""
        if not self._left or preparing is None or preparing.done():
            return None
        self._left -= 1
        reached = self._future()
        either: set[asyncio.Future[Any]] = {reached, preparing}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return reached.result() if reached.done() and not preparing.done() else None

    def _future(self) -> asyncio.Future[Endpoint]:
        if self._reached is None:
            self._reached = asyncio.get_running_loop().create_future()
        return self._reached
