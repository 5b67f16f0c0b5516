"""Whose fault an error is, and what happens then: the row's, the endpoint's, or the moment's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from regioncap.captioners.base import CaptionResult
from regioncap.captioners.fake.persona import PLAIN
from regioncap.captioners.fake.replies import completion
from regioncap.captioners.fake_server import ScriptedResponse
from regioncap.captioners.health import RetryPolicy
from regioncap.captioners.vlm import OpenAICaptioner
from regioncap.errors import BudgetReached, CaptionerError
from tests.support.model_servers import TRIAL, Ask, Serve, captions_for, request_of, results_of, script_for, warm_up

Script = Callable[[Mapping[str, Any]], ScriptedResponse | None]


def refusal(status: int, message: str = "no", **headers: str) -> ScriptedResponse:
    return ScriptedResponse({"error": {"message": message}}, status, headers)


def always(response: ScriptedResponse) -> Script:
    return lambda body: response


def first(count: int, response: ScriptedResponse) -> Script:
    """`response` to the first `count` requests."""
    left = iter(range(count))
    return lambda body: response if next(left, None) is not None else None


def outcomes(captioner: OpenAICaptioner, count: int) -> list[CaptionResult | BaseException]:
    futures = [captioner.submit(request_of(seed)) for seed in range(count)]
    return [future.exception(timeout=120) or future.result() for future in futures]


def assert_all_right(results: list[CaptionResult]) -> None:
    assert [result.captions for result in results] == [captions_for(seed, 1, 2, 3) for seed in range(len(results))]


# --- the row's


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422, 451])
def test_a_refusal_of_one_picture_is_that_rows(serve: Serve, captioner_of: Ask, status: int) -> None:
    server = serve()
    captioner, _ = captioner_of(server, max_in_flight=4)
    warm_up(captioner)
    server.change(script=script_for(3, refusal(status, "this picture is not allowed")))
    results = results_of(captioner, 12)
    refused = results.pop(3)
    assert (refused.code, refused.model_failure) == ("caption_failed", True)
    assert f"{status}: this picture is not allowed" in refused.message
    assert [bool(result.code) for result in results] == [False] * 11


def test_the_last_row_is_judged_by_a_request_known_to_be_good(serve: Serve, captioner_of: Ask) -> None:
    server = serve()
    captioner, bill = captioner_of(server)
    warm_up(captioner)
    server.change(script=script_for(3, refusal(403, "content policy")))
    before = server.stats["requests"]
    result = captioner.submit(request_of(3)).result(timeout=60)
    assert (result.code, result.model_failure) == ("caption_failed", True)
    assert server.stats["requests"] - before == 2
    assert bill.counts.requests == server.stats["requests"]


# --- the account's, or the configuration's


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (refusal(402, "Insufficient credits"), "no credit left .402: Insufficient credits.*Add credit"),
        (refusal(401, "expired"), "refused the key .401: expired.*REGIONCAP_API_KEY"),
        (refusal(403, "account suspended"), "refuses every request .403: account suspended"),
        (refusal(404, "The model `fake-vlm` does not exist"), "knows no model 'fake-vlm'.*--model"),
        (refusal(400, "Your credit balance is too low"), "refuses every request .*Add credit"),
        (ScriptedResponse({"error": {"code": 402, "message": "Insufficient credits"}}), "no credit left"),
        (ScriptedResponse({"choices": [{"error": {"code": "401", "message": "expired"}}]}), "refused the key"),
    ],
    ids=["402", "401", "403", "404", "400", "402 in a 200", "401 in a choice"],
)
def test_what_all_requests_meet_stops_the_run_and_is_no_rows_fault(
    serve: Serve, captioner_of: Ask, response: ScriptedResponse, words: str
) -> None:
    server = serve()
    captioner, _ = captioner_of(server, max_in_flight=4)
    warm_up(captioner)
    before = server.stats["requests"]
    server.change(script=always(response))
    errors = outcomes(captioner, 8)
    assert all(isinstance(error, CaptionerError) for error in errors)
    with pytest.raises(CaptionerError, match=words):
        captioner.submit(request_of(9)).result(timeout=60)
    # Where another server may be there by now it is tried out, and each row at most once more.
    assert server.stats["requests"] - before <= 2 * 8 + TRIAL


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_the_other_endpoint_goes_on(serve: Serve, captioner_of: Ask, status: int) -> None:
    failing, healthy = serve(latency=0.02), serve(latency=0.02)
    captioner, _ = captioner_of(failing, healthy, max_in_flight=4)
    results_of(captioner, 8)
    failing.change(script=always(refusal(status)))
    assert_all_right(results_of(captioner, 40))


def test_an_endpoint_that_asks_for_a_day_is_left_out(serve: Serve, captioner_of: Ask) -> None:
    server = serve()
    captioner, _ = captioner_of(server, max_in_flight=4)
    warm_up(captioner)
    server.change(script=always(refusal(429, "daily limit", **{"Retry-After": "86400"})))
    with pytest.raises(CaptionerError, match="asks to wait 1 day, 0:00:00, longer than server_patience=900"):
        results_of(captioner, 8)


# --- the moment's


WAITS = {
    "429 that speaks of billing": ScriptedResponse(
        {"error": {"message": "quota per minute exceeded, check your plan and billing details",
                   "details": [{"retryDelay": "0.6s"}]}}, 429),
    "429, at once": refusal(429, **{"Retry-After": "0"}),
    "429, in the past": refusal(429, **{"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
    "503 while it loads": ScriptedResponse({"error": "Model is loading", "estimated_time": 0.5}, 503),
    "page of a proxy": ScriptedResponse("<html><h1>502 Bad Gateway</h1></html>", 502),
    "error in a 200": ScriptedResponse({"error": {"message": "Provider returned error"}}),
    "no completion": ScriptedResponse({"id": "x"}),
    "broken off": ScriptedResponse(completion("<region1>: A do", "error")),
    "aborted": ScriptedResponse(completion("<region1>: A do", "abort")),
}  # fmt: skip


@pytest.mark.parametrize("case", WAITS)
def test_what_passes_costs_no_row(serve: Serve, captioner_of: Ask, case: str) -> None:
    server = serve(latency=0.02)
    captioner, bill = captioner_of(server, max_in_flight=8)
    warm_up(captioner)
    server.change(script=first(9, WAITS[case]))
    assert_all_right(results_of(captioner, 16))
    assert server.stats["requests"] <= TRIAL + 1 + 16 + 9 + 2  # trial, warm-up, rows, failures, checks
    assert bill.counts.requests == server.stats["requests"]


@pytest.mark.parametrize("case", ["503 while it loads", "429, at once", "page of a proxy"])
def test_a_server_that_is_not_ready_is_waited_for(
    serve: Serve, captioner_of: Ask, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(script=first(7, WAITS[case]))
    captioner, _ = captioner_of(server, policy=RetryPolicy(max_pause=0.2))
    with caplog.at_level(logging.WARNING, "regioncap"):
        assert_all_right(results_of(captioner, 3))
    assert "waiting for" in caplog.text
    assert "server_patience=900" in caplog.text


def test_patience_ends(serve: Serve, captioner_of: Ask) -> None:
    server = serve(script=always(refusal(503, "Model is loading")))
    captioner, _ = captioner_of(server, server_patience=0.5)
    with pytest.raises(CaptionerError, match=r"gave no answer for \d s .503: Model is loading.*server_patience"):
        captioner.submit(request_of(1)).result(timeout=60)


def test_one_that_loads_does_not_hold_up_the_others(serve: Serve, captioner_of: Ask) -> None:
    ready, loading = serve(latency=0.02), serve(script=always(refusal(503, "loading", **{"Retry-After": "600"})))
    captioner, _ = captioner_of(ready, loading, max_in_flight=4)
    assert_all_right(results_of(captioner, 20))
    assert loading.stats["answered"] == 0


def test_one_slot_and_a_short_timeout_find_each_other(serve: Serve, captioner_of: Ask) -> None:
    """A limit that starts too high must come down, not fail rows."""
    server = serve(slots=1, latency=0.3, metrics=False)
    captioner, _ = captioner_of(server, request_timeout=1.5)
    assert_all_right(results_of(captioner, 20))
    assert captioner.session.endpoints[0].limit.limit < 6


def test_a_repair_is_no_warmer_than_the_server_allows(serve: Serve, captioner_of: Ask) -> None:
    def script(body: Mapping[str, Any]) -> ScriptedResponse | None:
        return refusal(400, "temperature must be at most 1") if body.get("temperature", 0) > 1 else None

    server = serve(structure=(), script=script)
    captioner, bill = captioner_of(server, temperature=1.0)
    warm_up(captioner)
    bodies = server.record()
    server.change(faults={"missing": 1.0})
    result = captioner.submit(request_of(7)).result(timeout=60)
    assert result.code == "captions_incomplete"
    assert [body["temperature"] for body in bodies] == [1.0, 1.3, 1.0, 1.0]
    assert bill.counts.requests == server.stats["requests"]


# --- how answers end


@pytest.mark.parametrize("word", ["", "done", "FINISH_REASON_OTHER"], ids=repr)
def test_an_end_that_says_nothing_is_met_in_the_trial(serve: Serve, captioner_of: Ask, word: str) -> None:
    server = serve(structure=(), persona=replace(PLAIN, stop=word))
    captioner, _ = captioner_of(server)
    named = (word or "absent").lower()
    with pytest.raises(CaptionerError, match=f"--accept-finish-reasons {named}"):
        captioner.submit(request_of(1)).result(timeout=60)
    accepting, _ = captioner_of(server, accept_finish_reasons=(named,))
    assert_all_right(results_of(accepting, 3))


def test_json_closes_an_answer_without_a_word_for_its_end(serve: Serve, captioner_of: Ask) -> None:
    server = serve(structure=("json_schema",), persona=replace(PLAIN, stop=""))
    captioner, _ = captioner_of(server)
    assert_all_right(results_of(captioner, 3))


def test_a_word_that_is_unknown_later_yields_nothing(serve: Serve, captioner_of: Ask) -> None:
    server = serve(structure=())
    captioner, _ = captioner_of(server, max_repairs=1)
    warm_up(captioner)
    server.change(persona=replace(PLAIN, stop="moderated"))
    result = captioner.submit(request_of(1)).result(timeout=60)
    assert (result.captions, result.code) == ({}, "captions_incomplete")
    assert "accept_finish_reasons=moderated" in result.message


# --- what it costs


def test_a_limit_in_dollars_holds_where_the_server_counts_no_tokens(
    serve: Serve, captioner_of: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(slots=4, faults={"no_usage": 1.0})
    prices = {"usd_per_m_in": 10.0, "usd_per_m_out": 40.0}
    captioner, bill = captioner_of(server, max_in_flight=4, max_usd=0.05, **prices)
    with caplog.at_level(logging.WARNING, "regioncap"):
        errors = [error for error in outcomes(captioner, 200) if isinstance(error, BudgetReached)]
    assert errors
    assert bill.counts.answers_without_usage == server.stats["answered"]
    assert 0.03 < captioner.session.budget.usd <= 0.055
    assert "does not count tokens" in caplog.text


def test_rates_are_kept_to(serve: Serve, captioner_of: Ask) -> None:
    server = serve()
    captioner, _ = captioner_of(server, max_in_flight=8, requests_per_minute=120)
    assert_all_right(results_of(captioner, 8))
    assert server.stats["seconds"] >= 3.5  # with the trial 11 requests, 4 in any 2 s; counted from the first row on
