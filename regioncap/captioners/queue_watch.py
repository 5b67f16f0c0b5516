"""Lets limits that are to be found out follow what the servers report of their queues."""

from __future__ import annotations

import asyncio
from collections import Counter

from regioncap.captioners.dispatch import Dispatcher
from regioncap.captioners.endpoint import Endpoint

CHECK_SECONDS = 0.5
NEXT_CHECK_SECONDS = 0.1
"""After the limit was doubled: by then the further requests have arrived."""

MAX_MISSES = 5
"""Failed checks in a row of a server that used to report its queue; then its limit follows its throughput instead."""


class QueueWatcher:
    """Checks the queue of each endpoint again and again; those without metrics are left alone."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._no_metrics: set[int] = set()
        self._misses: Counter[int] = Counter()

    async def run(self) -> None:
        """Until it is cancelled."""
        pause = NEXT_CHECK_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = CHECK_SECONDS
            for endpoint in self._dispatcher.endpoints:
                if self.watches(endpoint) and self.record(endpoint, await endpoint.queue()):
                    pause = NEXT_CHECK_SECONDS

    def watches(self, endpoint: Endpoint) -> bool:
        """Whether it is worth asking the endpoint for its queue."""
        return endpoint.health.ready and endpoint.health.alive and id(endpoint) not in self._no_metrics

    def record(self, endpoint: Endpoint, queue: tuple[int, int] | None) -> bool:
        """Take note of what a check found, None for nothing. Whether to check again soon."""
        if queue is None:
            if endpoint.health.alive and endpoint.limit.in_flight:
                self._record_miss(endpoint)
            return False
        del self._misses[id(endpoint)]
        doubled = endpoint.limit.record_queue(*queue)
        self._dispatcher.dispatch()
        return doubled

    def _record_miss(self, endpoint: Endpoint) -> None:
        self._misses[id(endpoint)] += 1
        # One that reported its queue before may be too busy for a moment.
        if not endpoint.limit.reports_queue or self._misses[id(endpoint)] >= MAX_MISSES:
            self._no_metrics.add(id(endpoint))
            endpoint.limit.reports_queue = False
