"""Batches as providers describe them: in OpenAI's form, and in the forms of others."""

from __future__ import annotations

from typing import Any

import pytest

from regioncap.captioners.batch_api import Batch

OPENAI: dict[str, Any] = {
    "id": "batch_1", "object": "batch", "endpoint": "/v1/chat/completions", "errors": None, "input_file_id": "file-1",
    "completion_window": "24h", "status": "completed", "output_file_id": "file-2", "error_file_id": None,
    "created_at": 1714508499, "request_counts": {"total": 100, "completed": 95, "failed": 5},
    "metadata": {"regioncap": "a" * 32},
}  # fmt: skip


def of(**changes: Any) -> Batch:
    return Batch.of({**OPENAI, **changes})


def test_as_openai_has_it() -> None:
    assert of() == Batch("batch_1", "completed", "file-1", "a" * 32, "file-2", "", 100, 95, 5)
    assert of().over


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling", "VALIDATING"])
def test_what_is_not_over(status: str) -> None:
    assert not of(status=status).over


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled", "COMPLETED"])
def test_what_is_over(status: str) -> None:
    assert of(status=status).over


def test_wrapped_with_times_as_dates_and_without_counts_and_metadata() -> None:
    job = {"id": "b", "status": "IN_PROGRESS", "input_file_id": "f", "created_at": "2026-01-15T14:30:00Z"}
    assert Batch.of({"job": job, "warning": ""}) == Batch("b", "in_progress", "f")


@pytest.mark.parametrize(
    ("errors", "problem"),
    [
        ({"data": [{"code": "token_limit_exceeded", "message": "Enqueued"}]}, "token_limit_exceeded: "),
        ([{"code": "token_limit_exceeded", "message": "Enqueued"}], "token_limit_exceeded: "),
        ("token_limit_exceeded", "token_limit_exceeded"),
        (None, ""),
    ],
)  # fmt: skip
def test_errors_in_several_forms(errors: Any, problem: str) -> None:
    found = of(status="failed", errors=errors)
    assert found.problem.startswith(problem)
    assert found.had_no_room is bool(problem)


@pytest.mark.parametrize(
    ("counts", "results"),
    [({"total": 100, "completed": 95, "failed": 5}, 95), ({"total": 100, "completed": 100, "failed": 5}, 95), ({}, 0)],
)
def test_how_many_results_there_must_be(counts: dict[str, int], results: int) -> None:
    assert of(request_counts=counts).results == results


@pytest.mark.parametrize("data", [{}, {"id": "b"}, {"id": "b", "status": "failed", "request_counts": "many"}])
def test_what_is_no_batch(data: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, AttributeError, ValueError)):
        Batch.of(data)
