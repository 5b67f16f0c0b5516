"""Requests and tokens a minute."""

from __future__ import annotations

import itertools

import pytest

from regioncap.captioners.rates import RateLimit


def times_of(rate: RateLimit, count: int, amount: float = 1.0) -> list[float]:
    """When so many are sent that are sent as soon as it is allowed."""
    now, times = 1000.0, []
    for _ in range(count):
        while (wait := rate.wait(now, amount)) > 0:
            now += wait
        rate.record(now, amount)
        times.append(now)
    return times


@pytest.mark.parametrize("per_minute", [1, 7, 60, 600, 6000])
def test_no_minute_has_more(per_minute: int) -> None:
    times = times_of(RateLimit(per_minute), 3 * per_minute + 1)
    assert all(later - time >= 60.0 - 1e-6 for time, later in zip(times, times[per_minute:], strict=False))
    assert times[-1] - times[0] == pytest.approx(180.0)  # and none has much less


def test_they_are_spread_over_the_minute() -> None:
    times = times_of(RateLimit(60), 60)
    assert max(later - time for time, later in itertools.pairwise(times)) <= 2.0
    assert times[-1] - times[0] >= 57.0


def test_large_ones_take_the_room_of_several() -> None:
    times = times_of(RateLimit(6000), 7, 1000)
    assert times[6] - times[0] >= 60.0 - 1e-6


def test_one_that_is_more_than_a_minute_allows_is_sent_alone() -> None:
    assert times_of(RateLimit(100), 3, 500) == pytest.approx([1000.0, 1060.0, 1120.0])


def test_no_limit_never_waits() -> None:
    assert times_of(RateLimit(None), 1000) == [1000.0] * 1000
