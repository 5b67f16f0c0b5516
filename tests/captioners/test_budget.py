"""What a run may spend."""

from __future__ import annotations

import pytest

from regioncap.captioners.budget import Budget
from regioncap.captioners.chat import ChatResponse
from regioncap.records import Counts
from tests.support.model_servers import Bill

ANSWER = ChatResponse("A dog.", "stop", prompt_tokens=1000, completion_tokens=100)


def test_without_limits_there_is_always_room() -> None:
    budget = Budget(Bill())
    for _ in range(100):
        budget.reserve(0.0)
        budget.record_response(ANSWER)
    assert budget.exceeded_by(10_000) is None
    assert budget.usd == 0.0


def test_requests_count_when_they_are_given_a_slot() -> None:
    budget = Budget(Bill(), max_requests=2)
    budget.reserve(0.0)
    assert budget.exceeded_by(1) is None
    budget.reserve(0.0)
    assert budget.exceeded_by(2) == "max_requests=2 is reached"


@pytest.mark.parametrize(("in_flight", "room"), [(0, True), (1, True), (2, False)])
def test_requests_in_flight_are_taken_to_cost_what_others_did(in_flight: int, room: bool) -> None:
    budget = Budget(Bill(), max_usd=0.035, prices=(5.0, 50.0))
    budget.record_response(ANSWER)  # 1,000 x 5 + 100 x 50 millionths: a cent
    assert budget.usd == pytest.approx(0.01)
    exceeded = budget.exceeded_by(in_flight)
    assert (exceeded is None) == room
    assert room or exceeded == "max_usd=0.035 is reached: 0.0100 US dollars were spent"


def test_all_is_on_the_bill() -> None:
    bill = Bill()
    budget = Budget(bill)
    budget.record_request()
    budget.record_retry()
    budget.record_request()
    budget.record_response(ANSWER)
    budget.record_response(ChatResponse("", "absent"))
    assert bill.counts == Counts(
        requests=2,
        requests_retried=1,
        prompt_tokens=1000,
        completion_tokens=100,
        finish_reasons={"stop": 1, "absent": 1},
    )
