"""Simulated failures of files and batches, as OpenAI's own client sees them."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import openai
import pytest

from regioncap.captioners.fake_server import PERSONAS
from tests.support.batches import Connect, create, line_of, reached, results_in, upload
from tests.support.model_servers import Serve

LINES = [line_of(seed) for seed in range(8)]


def ids_of(results: list[dict[str, Any]]) -> list[str]:
    return [result["custom_id"] for result in results]


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing"])
def test_a_batch_stays_in_a_status_until_an_event(serve: Serve, connect: Connect, status: str) -> None:
    server, go = serve(), threading.Event()
    server.change_batches(until={status: go})
    client = connect(server)
    batch = reached(client, create(client, LINES[:1]), status)
    assert batch.output_file_id is None
    go.set()
    assert reached(client, batch).status == "completed"


def test_a_batch_takes_its_time(serve: Serve, connect: Connect) -> None:
    server = serve()
    server.change_batches(delay=1000.0)
    client = connect(server)
    slow = reached(client, create(client, LINES[:1]), "in_progress")
    server.change_batches(delay=0.0)
    assert reached(client, create(client, LINES[:1])).status == "completed"
    assert client.batches.retrieve(slow.id).status == "in_progress"


@pytest.mark.parametrize("status", ["400", "429", "500"])
def test_lines_that_fail_stand_in_the_error_file(serve: Serve, connect: Connect, status: str) -> None:
    server = serve()
    server.change_batches(fails={status: 0.5})
    client = connect(server)
    batch = reached(client, create(client, LINES))
    good, bad = results_in(client, batch.output_file_id), results_in(client, batch.error_file_id)
    assert good
    assert bad
    assert sorted(ids_of(good + bad)) == sorted(line["custom_id"] for line in LINES)
    assert {result["response"]["status_code"] for result in good} == {200}
    assert {result["response"]["status_code"] for result in bad} == {int(status)}
    assert all(result["error"] is None and result["response"]["body"]["error"]["message"] for result in bad)
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (len(good), len(bad))
    assert (server.batches.answered.total(), server.batches.failed) == (len(good), Counter({status: len(bad)}))


def test_a_batch_of_failures_is_completed_without_an_output_file(serve: Serve, connect: Connect) -> None:
    server = serve()
    server.change_batches(fails={"request_timeout": 1.0})
    client = connect(server)
    batch = reached(client, create(client, LINES[:2]))
    assert (batch.status, batch.output_file_id) == ("completed", None)
    results = results_in(client, batch.error_file_id)
    assert [(result["response"], result["error"]["code"]) for result in results] == [(None, "request_timeout")] * 2


def test_the_faults_of_the_model_are_those_of_lines(serve: Serve, connect: Connect) -> None:
    client = connect(serve(faults={"503": 1.0}))
    batch = reached(client, create(client, LINES[:1]))
    assert [result["response"]["status_code"] for result in results_in(client, batch.error_file_id)] == [503]


def test_an_expired_batch_has_what_was_answered(serve: Serve, connect: Connect) -> None:
    server = serve()
    server.change_batches(expires=True, done=0.25, troubled=1)
    client = connect(server)
    batch = reached(client, create(client, LINES))
    assert (batch.status, batch.expired_at is not None) == ("expired", True)
    assert ids_of(results_in(client, batch.output_file_id)) == ["row-0", "row-1"]
    rest = results_in(client, batch.error_file_id)
    assert [(result["response"], result["error"]["code"]) for result in rest] == [(None, "batch_expired")] * 6
    assert reached(client, create(client, LINES)).status == "completed"


def test_results_come_twice_and_in_another_order(serve: Serve, connect: Connect) -> None:
    server = serve()
    server.change_batches(twice=1.0, shuffled=True)
    client = connect(server)
    batch = reached(client, create(client, LINES))
    ids, sent = ids_of(results_in(client, batch.output_file_id)), [line["custom_id"] for line in LINES]
    assert Counter(ids) == dict.fromkeys(sent, 2)
    assert ids[::2] != sent
    assert server.batches.answered == dict.fromkeys(sent, 1)


def test_a_batch_above_the_enqueued_tokens_fails_until_there_is_room(serve: Serve, connect: Connect) -> None:
    server, go = serve(), threading.Event()
    # A line has 16 tokens: six of a picture of 64x48 pixels, and its text.
    server.change_batches(enqueued_tokens=40, until={"in_progress": go})
    client = connect(server)
    first = reached(client, create(client, LINES[:2]), "in_progress", "failed")
    assert first.status == "in_progress"
    second = reached(client, create(client, LINES[2:4]))
    assert second.status == "failed"
    assert second.errors is not None
    assert second.errors.data is not None
    (error,) = second.errors.data
    assert error.code == "token_limit_exceeded"
    assert "Limit: 40 enqueued tokens" in str(error.message)
    go.set()
    reached(client, first)
    assert reached(client, create(client, LINES[2:4])).status == "completed"
    assert server.batches.submitted.total() == 4


WRONG: dict[str, tuple[list[Any], str, int | None]] = {
    "the same custom_id twice": ([line_of(1), line_of(1)], "duplicate_custom_id", 2),
    "no JSON": ([line_of(1), "{"], "invalid_json_line", 2),
    "no method": ([{"custom_id": "a", "url": "/v1/chat/completions", "body": {}}], "missing_required_parameter", 1),
    "another endpoint": ([line_of(1, url="/v1/embeddings")], "invalid_url", 1),
    "two models": ([line_of(1), line_of(2, body={"model": "other"})], "mismatched_model", 2),
    "nothing": ([], "empty_file", None),
}


@pytest.mark.parametrize(("lines", "code", "number"), WRONG.values(), ids=WRONG)
def test_a_file_that_is_wrong_makes_the_batch_fail(
    serve: Serve, connect: Connect, lines: list[Any], code: str, number: int
) -> None:
    client = connect(serve())
    batch = reached(client, create(client, lines))
    assert (batch.status, batch.output_file_id, batch.failed_at is not None) == ("failed", None, True)
    assert batch.errors is not None
    assert [(error.code, error.line) for error in batch.errors.data or []] == [(code, number)]


def test_a_provider_may_take_the_same_custom_id_twice(serve: Serve, connect: Connect) -> None:
    server = serve()
    server.change_batches(one_custom_id=False)
    client = connect(server)
    batch = reached(client, create(client, [line_of(1), line_of(1)]))
    assert ids_of(results_in(client, batch.output_file_id)) == ["row-1", "row-1"]
    assert server.stats["batches"]["answered_twice"] == 1


@pytest.mark.parametrize("status", [404, 405])
def test_a_provider_may_have_no_list(serve: Serve, connect: Connect, status: int) -> None:
    server = serve()
    server.change_batches(no_list=status)
    with pytest.raises(openai.APIStatusError) as error:
        connect(server).batches.list()
    assert error.value.status_code == status


def test_a_new_batch_is_not_in_the_list_at_once(serve: Serve, connect: Connect) -> None:
    server, listed = serve(), threading.Event()
    server.change_batches(list_until=listed)
    client = connect(server)
    batch = create(client, LINES[:1])
    assert client.batches.list().data == []
    listed.set()
    assert [each.id for each in client.batches.list()] == [batch.id]
    server.change_batches(list_delay=1000.0)
    assert client.batches.list().data == []


def test_files_have_their_limits(serve: Serve, connect: Connect) -> None:
    server = serve()
    client = connect(server)
    server.change_batches(max_requests=2)
    with pytest.raises(openai.BadRequestError, match="above the limit of 2"):
        create(client, LINES[:3])
    assert reached(client, create(client, LINES[:2])).status == "completed"
    server.change_batches(max_bytes=1000)
    with pytest.raises(openai.BadRequestError, match="File is too large"):
        upload(client, LINES)
    with pytest.raises(openai.BadRequestError, match=r"Must be \.jsonl"):
        upload(client, [], "rows.json")
    assert len(client.files.list(purpose="batch").data) == 2


# --- calls that fail


@pytest.mark.parametrize(
    ("trouble", "error", "done"),
    [
        ("500", openai.InternalServerError, 0),
        ("429", openai.RateLimitError, 0),
        ("unheard", openai.APIConnectionError, 0),
        ("lost", openai.APIConnectionError, 1),
        ("500_after", openai.InternalServerError, 1),
    ],
)
def test_calls_fail_before_or_after_they_are_done(
    serve: Serve, connect: Connect, trouble: str, error: type[Exception], done: int
) -> None:
    server = serve()
    server.change_batches(calls={"upload": (trouble,), "create": ("ok", trouble)})
    client = connect(server)
    with pytest.raises(error):
        upload(client, LINES[:1])
    assert len(client.files.list().data) == done
    create(client, LINES[:1])
    with pytest.raises(error):
        create(client, LINES[:1])
    assert len(client.batches.list().data) == 1 + done
    assert server.batches.batches == 1 + done


def test_a_client_that_tries_a_lost_creation_again_pays_twice(serve: Serve, connect: Connect) -> None:
    server = serve()
    server.change_batches(calls={"create": ("lost",)})
    client = connect(server, retries=1)
    create(client, LINES[:1])
    for batch in client.batches.list():
        reached(client, batch)
    assert server.stats["batches"]["bodies_twice"] == 1
    assert server.batches.answered == {"row-0": 2}


def test_a_call_can_be_waited_for(serve: Serve, connect: Connect) -> None:
    server = serve()
    created = server.when_called("create", 2)
    client = connect(server)
    create(client, LINES[:1])
    assert not created.is_set()
    create(client, LINES[:1])
    assert created.is_set()


def test_the_bill_has_what_the_answers_say(serve: Serve, connect: Connect) -> None:
    server = serve()
    client = connect(server)
    batch = reached(client, create(client, LINES))
    usages = [result["response"]["body"]["usage"] for result in results_in(client, batch.output_file_id)]
    billed = {
        "requests": len(LINES),
        **{name: sum(usage[name] for usage in usages) for name in ("prompt_tokens", "completion_tokens")},
    }
    assert server.stats["batches"]["billed"] == server.stats["billed"] == billed
    assert batch.usage is not None
    assert batch.usage.input_tokens == billed["prompt_tokens"]
    assert batch.usage.output_tokens == billed["completion_tokens"]


def test_the_key_is_asked_for(serve: Serve, connect: Connect) -> None:
    server = serve(key="0123456789abcdef")
    with pytest.raises(openai.AuthenticationError):
        connect(server).batches.list()
    assert connect(server, key="0123456789abcdef").batches.list().data == []


def test_servers_without_batches_do_not_know_them(serve: Serve, connect: Connect) -> None:
    with pytest.raises(openai.NotFoundError):
        connect(serve(persona=PERSONAS["vllm"])).batches.list()
