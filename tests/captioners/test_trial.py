"""Trying servers out: how many requests it takes, that they go out together, and what rows do meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from regioncap.captioners.base import CaptionResult
from regioncap.captioners.fake.replies import completion
from regioncap.captioners.fake_server import PERSONAS, ScriptedResponse
from regioncap.captioners.health import RetryPolicy
from regioncap.captioners.vlm import OpenAICaptioner
from regioncap.errors import CaptionerError
from tests.support.model_servers import TRIAL, Ask, Serve, captions_for, request_of, results_of, warm_up
from tests.support.waiting import until

HELD = ("structured_outputs", "guided_regex", "response_format")
"""Fields that hold an answer to a form: none of them is in a row's request before the server was tried out."""


def all_right(captioner: OpenAICaptioner, count: int) -> None:
    assert_right(results_of(captioner, count))


def assert_right(results: list[CaptionResult]) -> None:
    for seed, result in enumerate(results):
        assert (result.captions, result.model_failure) == (captions_for(seed, 1, 2, 3), False), result.message


# --- how many requests, and how many at once

REQUESTS = {
    "vllm": TRIAL,
    "vllm-0.10": TRIAL,
    "deepseek": TRIAL,
    "ollama": TRIAL,
    "llamacpp": TRIAL,
    "openai": TRIAL + 1,  # refuses the regex: the largest picture goes out once more
    "mistral": TRIAL + 1,
    "lmstudio": TRIAL,
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_can_be_tried_at_once_goes_out_at_once(serve: Serve, captioner_of: Ask, name: str) -> None:
    server = serve(persona=PERSONAS[name], latency=0.3)
    captioner, bill = captioner_of(server, max_in_flight=8)
    warm_up(captioner)
    requests = server.stats["requests"]
    assert requests == bill.counts.requests == REQUESTS[name] + 1
    # Those that are not refused are with the server together.
    assert server.stats["peak_in_flight"] >= (3 if requests == TRIAL + 1 else 2)


@pytest.mark.parametrize(("structure", "requests"), [(("regex",), 1), (("json_schema",), 3), ((), 3)], ids=str)
def test_one_after_the_other_where_only_one_may_be_in_flight(
    serve: Serve, captioner_of: Ask, structure: tuple[str, ...], requests: int
) -> None:
    server = serve(structure=structure)
    captioner, _ = captioner_of(server, max_in_flight=1)
    captioner.get_ready()
    all_right(captioner, 6)
    assert server.stats["peak_in_flight"] == 1
    assert server.stats["requests"] == requests + 6


def test_few_requests_are_not_spent_on_what_another_answer_tells(serve: Serve, captioner_of: Ask) -> None:
    server = serve()
    captioner, _ = captioner_of(server, max_requests=5)
    all_right(captioner, 4)
    assert server.stats["requests"] == 5


@pytest.mark.parametrize("structure", ["regex", "json_schema", "none"])
def test_a_structure_that_is_set_takes_one_request(serve: Serve, captioner_of: Ask, structure: str) -> None:
    server = serve()
    captioner, _ = captioner_of(server, structure=structure)
    all_right(captioner, 3)
    assert server.stats["requests"] == 1 + 3


def test_a_best_form_that_is_cut_short_is_known_all_the_same(serve: Serve, captioner_of: Ask) -> None:
    server = serve(faults={"length": 1.0})
    captioner, _ = captioner_of(server, max_repairs=0)
    captioner.submit(request_of(1)).result(timeout=60)
    assert captioner.session.endpoints[0].structure == "regex"


# --- rows meanwhile


def test_four_rows_at_most_go_out_meanwhile_and_are_asked_for_again(serve: Serve, captioner_of: Ask) -> None:
    """Nothing answers until all have given up: what was sent by then was sent during the trial."""
    server = serve(faults={"hang": 1.0})
    bodies = server.record()
    captioner, bill = captioner_of(server, request_timeout=1.5, policy=RetryPolicy(max_pause=0.2))
    captioner.get_ready()
    kept: list[CaptionResult] = []
    futures = [captioner.submit(request_of(seed, keep=kept.append)) for seed in range(12)]
    until(lambda: server.stats["requests"] == TRIAL + 4, every=0.01)
    server.change(faults={})
    assert_right([future.result(timeout=60) for future in futures])
    early = [body for body in bodies if not any(name in body for name in HELD)]
    assert len(early) == 4
    assert not any(so_far.model_failure for so_far in kept)
    assert bill.counts.requests == server.stats["requests"]


EARLY = {
    "refused": ScriptedResponse({"error": {"message": "not now"}}, 400),
    "unauthorized": ScriptedResponse({"error": {"message": "not now"}}, 401),
    "failed": ScriptedResponse({"error": {"message": "not now"}}, 500),
    "no answer": ScriptedResponse("oops"),
    "a refusal": ScriptedResponse(completion("I'm sorry, but I can't describe this picture.")),
    "filtered": ScriptedResponse(completion("", "content_filter")),
    "one region": ScriptedResponse(completion("<region2>: Something else that begins so")),
}


@pytest.mark.parametrize("case", EARLY)
def test_no_failure_of_an_early_row_counts(serve: Serve, captioner_of: Ask, case: str) -> None:
    server = serve(script=lambda body: None if any(name in body for name in HELD) else EARLY[case])
    captioner, bill = captioner_of(server, max_repairs=0, max_in_flight=16)
    captioner.get_ready()
    kept: list[CaptionResult] = []
    futures = [captioner.submit(request_of(seed, keep=kept.append)) for seed in range(8)]
    results = [future.result(timeout=60) for future in futures]
    assert [(result.code, len(result.captions)) for result in results] == [(None, 3)] * 8
    assert not any(so_far.model_failure for so_far in kept)
    assert bill.counts.requests == server.stats["requests"]


def test_a_wrong_key_stops_the_run_and_no_row_is_struck(serve: Serve, captioner_of: Ask) -> None:
    captioner, _ = captioner_of(serve(key="sk-right"))
    captioner.get_ready()
    kept: list[CaptionResult] = []
    futures = [captioner.submit(request_of(seed, keep=kept.append)) for seed in range(8)]
    errors = [future.exception(timeout=60) for future in futures]
    assert all(isinstance(error, CaptionerError) and "refused the key" in str(error) for error in errors)
    assert kept == []


@pytest.mark.parametrize("word", ["", "done"], ids=repr)
def test_early_answers_without_a_known_end_become_no_captions(serve: Serve, captioner_of: Ask, word: str) -> None:
    server = serve(structure=(), persona=replace(PERSONAS["plain"], stop=word))
    captioner, _ = captioner_of(server)
    captioner.get_ready()
    kept: list[CaptionResult] = []
    futures = [captioner.submit(request_of(seed, keep=kept.append)) for seed in range(8)]
    errors = [future.exception(timeout=60) for future in futures]
    assert all("--accept-finish-reasons" in str(error) for error in errors)
    assert not any(so_far.captions or so_far.model_failure for so_far in kept)


def test_two_servers_are_each_tried_out(serve: Serve, captioner_of: Ask) -> None:
    servers = [serve(structure=("regex",), latency=0.05), serve(structure=(), latency=0.05)]
    captioner, _ = captioner_of(*servers, max_in_flight=8)
    captioner.get_ready()
    all_right(captioner, 40)
    assert [endpoint.structure for endpoint in captioner.session.endpoints] == ["regex", "none"]
