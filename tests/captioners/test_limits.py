"""How many requests a server is given at once, against simulated servers: no clock, no network."""

from __future__ import annotations

import heapq

import pytest

from regioncap.captioners.limits import AUTO_START, InFlightLimit, split_limit


def simulate(limit: InFlightLimit, *, slots: int, latency: float, answers: int, reports: bool) -> float:
    """Keep a server of `slots` busy through `limit`; gives the share of its time that it was full of work."""
    now, done, running = 0.0, 0, 0
    queue: list[float] = []  # when each running request ends
    waiting = 0
    busy = 0.0
    while done < answers:
        while limit.free:
            limit.begin()
            waiting += 1
        while waiting and running < slots:
            waiting, running = waiting - 1, running + 1
            heapq.heappush(queue, now + latency)
        end = heapq.heappop(queue)
        busy, now = busy + (end - now) * running, end
        running, done = running - 1, done + 1
        limit.end()
        limit.record_success(now)
        if reports and done % 10 == 0:
            limit.record_queue(running, waiting)
    return busy / (now * slots)


def test_a_fixed_limit_is_never_passed() -> None:
    limit = InFlightLimit(8)
    simulate(limit, slots=4, latency=1.0, answers=500, reports=False)
    assert (limit.peak, limit.limit) == (8, 8.0)


def test_overload_halves_once_for_what_was_under_way_together_and_grows_back() -> None:
    limit = InFlightLimit(64)
    assert limit.record_overload(sent_at=1.0, now=2.0)
    assert not limit.record_overload(sent_at=1.5, now=2.1)
    assert limit.limit == 32.0
    assert limit.record_overload(sent_at=2.5, now=3.0)
    assert limit.limit == 16.0
    for _ in range(64 * 64):
        limit.record_success(4.0)
    assert limit.limit == 64.0


def test_it_never_falls_below_one() -> None:
    limit = InFlightLimit(2)
    for now in range(10):
        limit.record_overload(sent_at=now, now=now + 0.5)
    assert limit.limit == 1.0
    assert limit.free


@pytest.mark.parametrize("slots", [8, 64, 256, 1024])
def test_auto_follows_a_queue_that_is_reported(slots: int) -> None:
    limit = InFlightLimit(None)
    share = simulate(limit, slots=slots, latency=1.0, answers=40 * slots + 2000, reports=True)
    assert slots <= limit.limit <= 1.5 * slots
    assert share > 0.95  # the start, while it grows, is in it


@pytest.mark.parametrize("slots", [64, 256])
def test_auto_measures_throughput_where_no_queue_is_reported(slots: int) -> None:
    limit = InFlightLimit(None)
    share = simulate(limit, slots=slots, latency=1.0, answers=100 * slots, reports=False)
    assert 0.9 * slots <= limit.limit <= 3 * slots
    assert share > 0.8


def test_auto_goes_on_growing_slowly_after_an_overload() -> None:
    limit = InFlightLimit(None)
    limit.record_overload(sent_at=0.0, now=1.0)
    assert limit.limit == AUTO_START / 2
    simulate(limit, slots=1000, latency=1.0, answers=2000, reports=False)
    assert AUTO_START < limit.limit < 1000


@pytest.mark.parametrize(
    ("total", "endpoints", "expected"), [(8, 3, [3, 3, 2]), (2, 3, [1, 1, 1]), (None, 2, [None, None]), (5, 1, [5])]
)
def test_a_total_is_split_over_the_endpoints(total: int | None, endpoints: int, expected: list[int | None]) -> None:
    assert split_limit(total, endpoints) == expected
