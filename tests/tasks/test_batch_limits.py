"""What a run's limits leave for its batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap.captioners.budget import TOKENS_PER_CAPTION, estimated_tokens
from regioncap.captioners.chat import ChatRequest
from regioncap.records import Counts
from regioncap.run.context import RunContext
from regioncap.tasks.batch_limits import BatchLimits
from tests.support.batches_of_runs import context_of, settings_at
from tests.support.model_servers import jpeg_of
from tests.support.runs import config_of

REQUEST = ChatRequest("", "Describe.", (jpeg_of(1),), (1, 2), 0.0, "marks")


@pytest.fixture
def context(project: Path, request: pytest.FixtureRequest) -> Iterator[RunContext]:
    with context_of(config_of(project, **settings_at("http://127.0.0.1:9/v1", **request.param))) as made:
        yield made


def price(in_batches: float) -> float:
    return in_batches * (estimated_tokens(REQUEST) * 2 + 2 * TOKENS_PER_CAPTION * 8) / 1e6


@pytest.mark.parametrize("context", [{}], indirect=True)
def test_without_limits_all_is_taken(context: RunContext) -> None:
    limits = BatchLimits(context)
    assert all(limits.take([REQUEST] * 100) for _ in range(100))
    assert limits.reached == ""


@pytest.mark.parametrize("context", [{"max_requests": 5}], indirect=True)
def test_requests_that_were_sent_count(context: RunContext) -> None:
    context.progress.add(Counts(requests=2))
    limits = BatchLimits(context)
    assert limits.take([REQUEST, REQUEST])
    assert not limits.take([REQUEST, REQUEST])
    assert limits.reached == "max_requests=5 is reached"


PRICES = {"usd_per_m_in": 2, "usd_per_m_out": 8}


@pytest.mark.parametrize(
    ("context", "taken"),
    [
        ({**PRICES, "max_usd": price(0.5) * 3.5}, 3),
        ({**PRICES, "max_usd": price(0.5) * 3.5, "batch_price": 1}, 1),
        ({**PRICES, "max_usd": price(0.5) * 3.5, "batch_price": 0.25}, 7),
    ],
    indirect=["context"],
)
def test_dollars_are_those_of_batches(context: RunContext, taken: int) -> None:
    limits = BatchLimits(context)
    assert sum(limits.take([REQUEST]) for _ in range(10)) == taken
    assert limits.reached.startswith("max_usd=")
