"""When an endpoint is left alone, and when a run gives up."""

from __future__ import annotations

import pytest

from regioncap.captioners.health import MIN_PAUSE, CircuitBreaker, EndpointHealth, RetryPolicy
from regioncap.captioners.server_errors import TryAgain

POLICY = RetryPolicy(patience=900.0)
BROKEN = TryAgain("the connection broke")
UNREACHABLE = TryAgain("cannot connect", unreachable=True, after=2.0)


def overloaded(after: float | None = None) -> TryAgain:
    return TryAgain("429", overloaded=True, after=after)


@pytest.mark.parametrize("after", [1.0, 5.0, 90.0, 900.0])
def test_a_pause_is_what_the_server_asks_for(after: float) -> None:
    assert all(after <= POLICY.pause(overloaded(after), 1) <= after + MIN_PAUSE / 2 for _ in range(50))


@pytest.mark.parametrize("after", [0.0, 0.001])
def test_soon_is_not_at_once(after: float) -> None:
    assert all(POLICY.pause(overloaded(after), 0) >= MIN_PAUSE / 2 for _ in range(50))


@pytest.mark.parametrize("after", [None, 0.0, 901.0], ids=["unsaid", "at once", "longer than the patience"])
@pytest.mark.parametrize(("attempt", "longest"), [(0, 0.5), (3, 4.0), (6, 10.0), (1000, 10.0)])
def test_else_it_grows_with_the_attempts(attempt: int, longest: float, after: float | None) -> None:
    pauses = [POLICY.pause(overloaded(after), attempt) for _ in range(200)]
    assert all(longest / 2 <= pause <= longest for pause in pauses)
    assert len(set(pauses)) > 100  # what failed together does not come back together


def test_a_failure_of_one_request_is_not_the_endpoints() -> None:
    health = EndpointHealth()
    assert not health.record_failure(BROKEN, 99.0, 100.0, POLICY)
    assert (health.available(100.0, 9), health.failures) == (True, 0)


def test_several_overloads_in_a_row_pause_it() -> None:
    health = EndpointHealth()
    assert [health.record_failure(overloaded(5.0), 99.0, 100.0, POLICY) for _ in range(3)] == [False, False, True]
    assert not health.available(104.9, 0)
    assert health.available(105.0 + MIN_PAUSE, 9)
    assert health.alive


def test_a_long_wait_concerns_all_requests() -> None:
    health = EndpointHealth()
    assert health.record_failure(overloaded(90.0), 99.0, 100.0, POLICY)
    assert not health.available(189.0, 0)
    assert health.available(191.0, 9)


def test_what_was_in_flight_together_fails_as_one() -> None:
    """A burst of 429s must not look like many rounds of them: the pause would be the longest there is."""
    health = EndpointHealth()
    paused = [health.record_failure(overloaded(), 99.0, 100.0, POLICY) for _ in range(64)]
    assert paused.count(True) == 1
    assert health.available(100.0 + 2 * MIN_PAUSE, 9)
    again = [health.record_failure(overloaded(), 102.0, 102.1, POLICY) for _ in range(64)]
    assert again.count(True) == 1
    assert not health.available(102.1 + MIN_PAUSE, 0)  # the second round is longer


def test_an_answer_between_overloads_starts_the_count_again() -> None:
    health = EndpointHealth()
    for _ in range(5):
        health.record_failure(overloaded(5.0), 99.0, 100.0, POLICY)
        health.record_failure(overloaded(5.0), 99.0, 100.0, POLICY)
        assert not health.record_success(99.0)
    assert health.available(100.0, 9)


def test_a_dead_endpoint_is_tried_by_one_request_at_a_time() -> None:
    health = EndpointHealth()
    assert health.record_failure(UNREACHABLE, 99.0, 100.0, POLICY)
    assert not health.available(101.0, 0)
    assert health.available(103.0, 0)
    assert not health.available(103.0, 1)
    assert health.record_success(103.0)  # it came back
    assert health.available(103.0, 1)


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    health = EndpointHealth()
    health.pause_until(160.0)
    health.pause_until(110.0)
    assert not health.available(159.0, 0)


def test_a_restarted_server_is_asked_at_once() -> None:
    health = EndpointHealth()
    health.record_failure(UNREACHABLE, 99.0, 100.0, POLICY)
    health.begin_revival()
    assert not health.available(1000.0, 0)
    health.end_revival(revived=True)
    assert health.available(100.0, 0)


def test_a_restart_that_failed_changes_no_pause() -> None:
    health = EndpointHealth()
    health.record_failure(UNREACHABLE, 99.0, 100.0, POLICY)
    health.begin_revival()
    health.end_revival(revived=False)
    assert not health.available(101.0, 0)


# --- the circuit breaker


def test_it_opens_when_only_failures_came_for_as_long_as_the_patience() -> None:
    breaker = CircuitBreaker(30.0)
    assert not breaker.is_open(1000.0)
    breaker.record_failure(1000.0)
    breaker.record_failure(1010.0)
    assert not breaker.is_open(1029.9)
    assert breaker.is_open(1030.0)
    assert (breaker.failures, breaker.silence(1030.0)) == (2, 30.0)


def test_a_success_closes_it() -> None:
    breaker = CircuitBreaker(10.0)
    breaker.record_failure(100.0)
    breaker.record_success()
    assert not breaker.is_open(111.0)
    breaker.record_failure(111.0)
    assert not breaker.is_open(120.9)
    assert (breaker.failures, breaker.silence(120.0)) == (1, 9.0)


def test_time_without_requests_is_no_failure() -> None:
    breaker = CircuitBreaker(10.0)
    breaker.record_success()
    breaker.record_failure(1e6)
    assert not breaker.is_open(1e6 + 1)
