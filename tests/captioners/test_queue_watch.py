"""What is made of the queues that servers report, or do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from regioncap.captioners.budget import Budget
from regioncap.captioners.chat import Sampling
from regioncap.captioners.dispatch import Dispatcher
from regioncap.captioners.endpoint import Endpoint
from regioncap.captioners.limits import InFlightLimit
from regioncap.captioners.queue_watch import MAX_MISSES, QueueWatcher
from regioncap.captioners.transport import Transport, open_client
from tests.support.model_servers import Bill

Queue = tuple[int, int] | None


def watching(check: Callable[[QueueWatcher, Endpoint], None]) -> None:
    """Run `check` with the watcher of one endpoint that has one request in flight."""

    async def run() -> None:
        async with open_client() as client:
            dispatcher = Dispatcher(Budget(Bill()))
            endpoint = Endpoint("a", "m", Sampling(100, 0.0, None, {}), 1.0, InFlightLimit(None), Transport(client))
            dispatcher.endpoints.append(endpoint)
            endpoint.limit.begin()
            check(QueueWatcher(dispatcher), endpoint)

    asyncio.run(run())


RUNS_ALL = (30, 0)

SEEN: dict[str, tuple[Sequence[Queue], bool]] = {
    "no metrics": ([None], False),
    "reported before": ([RUNS_ALL, *[None] * (MAX_MISSES - 1)], True),
    "not any more": ([RUNS_ALL, *[None] * MAX_MISSES], False),
    "an answer in between": ([RUNS_ALL, *[None] * 4, RUNS_ALL, *[None] * 4], True),
}


@pytest.mark.parametrize("case", SEEN)
def test_a_server_without_metrics_is_left_alone(case: str) -> None:
    queues, watched = SEEN[case]

    def check(watcher: QueueWatcher, endpoint: Endpoint) -> None:
        for queue in queues:
            watcher.record(endpoint, queue)
        assert (watcher.watches(endpoint), endpoint.limit.reports_queue) == (watched, watched)

    watching(check)


def test_a_failed_check_of_an_idle_or_dead_server_logs_nothing() -> None:
    def check(watcher: QueueWatcher, endpoint: Endpoint) -> None:
        endpoint.limit.end()
        watcher.record(endpoint, None)
        endpoint.limit.begin()
        endpoint.health.alive = False
        watcher.record(endpoint, None)
        assert not watcher.watches(endpoint)
        endpoint.record_success(1.0, 1.1)
        assert watcher.watches(endpoint)

    watching(check)


def test_a_limit_that_was_doubled_is_checked_again_soon() -> None:
    def check(watcher: QueueWatcher, endpoint: Endpoint) -> None:
        for _ in range(31):
            endpoint.limit.begin()
        assert watcher.record(endpoint, (32, 0))
        assert endpoint.limit.limit == 64.0
        assert not watcher.record(endpoint, (32, 0))  # the further requests have not arrived

    watching(check)
