"""When an endpoint is left alone, and when a run gives up."""

from __future__ import annotations

import pytest

from regioncap.captioners.health import CircuitBreaker, EndpointHealth, RetryPolicy
from regioncap.captioners.server_errors import TryAgain

POLICY = RetryPolicy()
BROKEN = TryAgain("the connection broke")
OVERLOADED = TryAgain("429", overloaded=True, after=5.0)
UNREACHABLE = TryAgain("cannot connect", unreachable=True, after=2.0)


def test_a_pause_is_what_the_server_asks_for_up_to_a_minute() -> None:
    assert POLICY.pause(OVERLOADED, 1) == 5.0
    assert POLICY.pause(TryAgain("429", after=3600.0), 1) == 60.0


@pytest.mark.parametrize(("attempt", "longest"), [(0, 0.5), (3, 4.0), (6, 30.0), (1000, 30.0)])
def test_else_it_grows_with_the_attempts(attempt: int, longest: float) -> None:
    pauses = [POLICY.pause(BROKEN, attempt) for _ in range(200)]
    assert all(0.1 <= pause <= longest for pause in pauses)
    assert max(pauses) > longest / 2  # 1 in 2^200 by chance


def test_a_failure_of_one_request_is_not_the_endpoints() -> None:
    health = EndpointHealth()
    assert not health.record_failure(BROKEN, 100.0, POLICY)
    assert (health.available(100.0, 9), health.failures) == (True, 0)


def test_several_overloads_in_a_row_pause_it() -> None:
    health = EndpointHealth()
    assert [health.record_failure(OVERLOADED, 100.0, POLICY) for _ in range(3)] == [False, False, True]
    assert not health.available(104.9, 0)
    assert health.available(105.0, 9)
    assert health.alive


def test_an_answer_between_overloads_starts_the_count_again() -> None:
    health = EndpointHealth()
    for _ in range(5):
        health.record_failure(OVERLOADED, 100.0, POLICY)
        health.record_failure(OVERLOADED, 100.0, POLICY)
        assert not health.record_success()
    assert health.available(100.0, 9)


def test_a_dead_endpoint_is_tried_by_one_request_at_a_time() -> None:
    health = EndpointHealth()
    assert health.record_failure(UNREACHABLE, 100.0, POLICY)
    assert not health.available(101.0, 0)
    assert health.available(102.0, 0)
    assert not health.available(102.0, 1)
    assert health.record_success()  # it came back
    assert health.available(102.0, 1)


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    health = EndpointHealth()
    health.mark_dead(until=160.0)
    health.pause_until(110.0)
    assert not health.available(159.0, 0)


def test_a_restarted_server_is_asked_at_once() -> None:
    health = EndpointHealth()
    health.record_failure(UNREACHABLE, 100.0, POLICY)
    health.begin_revival()
    assert not health.available(1000.0, 0)
    health.end_revival(revived=True)
    assert health.available(100.0, 0)


def test_a_restart_that_failed_changes_no_pause() -> None:
    health = EndpointHealth()
    health.record_failure(UNREACHABLE, 100.0, POLICY)
    health.begin_revival()
    health.end_revival(revived=False)
    assert not health.available(101.0, 0)


# --- the circuit breaker


def open_after(failures: int, seconds: float, *, overloaded: bool = False, all_dead: bool = False) -> bool:
    """Whether a breaker is open after so many failures and so many seconds without a success."""
    breaker = CircuitBreaker(POLICY)
    breaker.record_success(1000.0)
    for _ in range(failures):
        breaker.record_failure()
    return breaker.is_open(1000.0 + seconds, overloaded=overloaded, all_dead=all_dead)


def test_it_opens_after_many_failures_and_some_time() -> None:
    assert open_after(20, 30.0)
    assert not open_after(19, 30.0)
    assert not open_after(20, 29.9)


def test_where_all_are_dead_one_failure_will_do() -> None:
    assert open_after(1, 30.0, all_dead=True)
    assert not open_after(1, 29.9, all_dead=True)


def test_an_overloaded_server_is_waited_for_longer() -> None:
    assert not open_after(1000, 299.0, overloaded=True)
    assert open_after(20, 300.0, overloaded=True)


def test_a_success_closes_it() -> None:
    breaker = CircuitBreaker(RetryPolicy(failures_in_row=1, give_up_after=10.0))
    breaker.record_failure()
    assert breaker.is_open(100.0, overloaded=False, all_dead=False)
    breaker.record_success(100.0)
    breaker.record_failure()
    assert not breaker.is_open(101.0, overloaded=False, all_dead=False)
    assert (breaker.failures, breaker.silence(101.0)) == (1, 1.0)
