"""The servers that people have, imitated: every caption is right or missing, and never another region's or cut off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from regioncap.captioners.base import CaptionResult
from regioncap.captioners.fake.errors import WAITS
from regioncap.captioners.fake.faults import FAULTS
from regioncap.captioners.fake_server import PERSONAS, RunningServer
from regioncap.errors import CaptionerError
from tests.support.model_servers import Ask, Bill, Serve, captions_for, request_of, results_of, warm_up
from tests.support.waiting import until

ROWS = 24
REGIONS = (1, 2, 3)
KEY = "0123456789abcdef"
AZURE = {"request_query": ["api-version=2024-10-21"], "request_headers": ["api-key: env:AZURE_KEY"]}
OF_PERSONA: dict[str, dict[str, Any]] = {"azure": AZURE, "openai-reasoning": {"temperature": -1}}
"""What a persona needs."""

USELESS = ("stream-only", "llamacpp-text")
"""Personas that answer nothing; the others behave."""


@pytest.fixture(autouse=True)
def azure_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_KEY", KEY)


def as_persona(serve: Serve, name: str, **behaviour: Any) -> RunningServer:
    key = KEY if name == "azure" else None
    return serve(persona=PERSONAS[name], key=key, slots=8, retry_after=0.05, **behaviour)


def right(results: list[CaptionResult]) -> list[int]:
    """The pictures whose every region has its caption. No other caption may have come."""
    for seed, result in enumerate(results):
        assert result.captions.items() <= captions_for(seed, *REGIONS).items(), f"picture {seed} got {result.captions}"
    return [seed for seed, result in enumerate(results) if len(result.captions) == len(REGIONS)]


def check_bill(server: RunningServer, bill: Bill) -> None:
    """What was counted is what the server bills, but for answers that did not come through."""
    billed, unseen = server.stats["billed"], server.stats["unseen"]
    for name in ("prompt_tokens", "completion_tokens"):
        assert getattr(bill.counts, name) == billed[name] - unseen[name], name


# --- personas that behave


@pytest.mark.parametrize("name", [name for name in PERSONAS if name not in USELESS])
def test_a_persona_that_behaves_gives_every_caption_at_once(serve: Serve, captioner_of: Ask, name: str) -> None:
    server = as_persona(serve, name)
    captioner, bill = captioner_of(server, max_in_flight=8, **OF_PERSONA.get(name, {}))
    warm_up(captioner)
    before = server.stats["requests"]
    assert right(results_of(captioner, ROWS)) == list(range(ROWS))
    assert server.stats["requests"] - before <= 1.05 * ROWS
    check_bill(server, bill)


def test_what_openai_refuses_of_reasoning_models_works_or_names_the_setting(serve: Serve, captioner_of: Ask) -> None:
    server = as_persona(serve, "openai-reasoning")
    captioner, _ = captioner_of(server)
    try:
        assert right(results_of(captioner, 4)) == [0, 1, 2, 3]
    except CaptionerError as error:
        assert "temperature" in str(error)  # noqa: PT017 - both ways are right, and nothing between them


def test_thinking_that_uses_up_max_tokens_yields_nothing_and_says_so(serve: Serve, captioner_of: Ask) -> None:
    for name in ("gemini", "vllm-thinking", "vllm-unopened"):
        server = as_persona(serve, name)
        captioner, _ = captioner_of(server, max_tokens=60, max_repairs=0)
        try:
            results = results_of(captioner, 4)
        except CaptionerError as error:
            assert "max_tokens" in str(error)  # noqa: PT017 - as in the test above
            continue
        assert right(results) == []
        assert all("max_tokens" in result.message for result in results)


# --- whose fault an error is

STOPS: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "azure without its query": ("azure", {}, {}, "--request-query api-version"),
    "streams only": ("stream-only", {}, {}, "stream"),
    "no eyes": ("llamacpp-text", {}, {}, "mmproj|vision|image input"),
    "one image": ("vllm-one-image", {}, {"prompt_mode": "focal"}, "--prompt-mode"),
    "another model": ("litellm", {"model": "other"}, {}, "--model|model 'fake-vlm'"),
    "another deployment": ("gemini", {"model": "other"}, {}, "--model|model 'fake-vlm'"),
    "no key": ("mistral", {"key": "sk-right"}, {}, "REGIONCAP_API_KEY"),
    "no key for gemini": ("gemini", {"key": "sk-right"}, {}, "API key not valid"),
}


@pytest.mark.parametrize("case", STOPS)
def test_what_every_request_would_meet_stops_the_run_and_names_the_setting(
    serve: Serve, captioner_of: Ask, case: str
) -> None:
    name, behaviour, settings, words = STOPS[case]
    captioner, _ = captioner_of(serve(persona=PERSONAS[name], **behaviour), **settings)
    with pytest.raises(CaptionerError, match=words):
        captioner.submit(request_of(1)).result(timeout=30)


ACCOUNTS = [
    *[(name, "credits") for name in ("openai", "openrouter", "gemini", "deepseek", "huggingface-endpoint", "litellm")],
    *[("vllm", fault) for fault in ("forbidden", "unauthorized", "gone")],
]


@pytest.mark.parametrize(("name", "fault"), ACCOUNTS)
def test_the_accounts_fault_stops_the_run_and_strikes_no_row(
    serve: Serve, captioner_of: Ask, name: str, fault: str
) -> None:
    server = as_persona(serve, name)
    # A 429 may mean the next minute, whatever it says: the run stops when the patience is over.
    captioner, bill = captioner_of(server, max_in_flight=4, server_patience=1.0)
    warm_up(captioner)
    assert right(results_of(captioner, 8)) == list(range(8))
    server.change(faults={fault: 1.0})
    errors = [captioner.submit(request_of(seed)).exception(timeout=30) for seed in range(8, 16)]
    assert all(isinstance(error, CaptionerError) for error in errors)
    check_bill(server, bill)


@pytest.mark.parametrize("name", ["openai", "azure", "openrouter", "litellm", "vllm"])
@pytest.mark.parametrize("fault", ["policy", "bad_picture"])
def test_a_refused_picture_is_its_rows_fault_alone(serve: Serve, captioner_of: Ask, name: str, fault: str) -> None:
    server = as_persona(serve, name, seed=2)  # of which the picture that tries the server out is allowed
    captioner, bill = captioner_of(server, max_in_flight=4, **OF_PERSONA.get(name, {}))
    warm_up(captioner)
    server.change(faults={fault: 0.3})
    results = results_of(captioner, ROWS)
    refused = [seed for seed, result in enumerate(results) if result.code == "caption_failed"]
    assert 0 < len(refused) < ROWS
    assert sorted(right(results) + refused) == list(range(ROWS))
    assert all(results[seed].model_failure and not results[seed].captions for seed in refused)
    check_bill(server, bill)


@pytest.mark.parametrize("fault", ["credits", "gone", "unauthorized"])
def test_of_two_endpoints_the_healthy_one_goes_on(serve: Serve, captioner_of: Ask, fault: str) -> None:
    failing, healthy = as_persona(serve, "openrouter"), as_persona(serve, "vllm")
    captioner, _ = captioner_of(failing, healthy, max_in_flight=4)
    warm_up(captioner)
    failing.change(faults={fault: 1.0})
    assert right(results_of(captioner, ROWS)) == list(range(ROWS))


def test_credit_that_runs_out_in_mid_run_rejects_no_row(serve: Serve, captioner_of: Ask) -> None:
    server = as_persona(serve, "deepseek", credits_after=12)
    captioner, _ = captioner_of(server, max_in_flight=2)
    futures = [captioner.submit(request_of(seed)) for seed in range(ROWS)]
    errors = [future.exception(timeout=30) for future in futures]
    assert all(error is None or isinstance(error, CaptionerError) for error in errors)
    done = [future.result() for future, error in zip(futures, errors, strict=True) if error is None]
    assert 0 < len(right(done)) == len(done) < ROWS
    again, _ = captioner_of(as_persona(serve, "deepseek"), max_in_flight=2)
    assert right(results_of(again, ROWS)) == list(range(ROWS))


def test_repairs_are_no_warmer_than_the_server_allows_however_many_are_in_flight(
    serve: Serve, captioner_of: Ask
) -> None:
    server = serve(persona=replace(PERSONAS["tgi"], temperature=(0.0, 1.0)), latency=0.05)
    captioner, _ = captioner_of(server, max_in_flight=16, temperature=0.9, max_repairs=1)
    warm_up(captioner)
    server.change(faults={"missing": 1.0})
    results = results_of(captioner, 16)
    assert all("after 2 requests" in result.message for result in results)


# --- waiting


@pytest.mark.parametrize("form", [form for form in WAITS if form != "day"])
def test_a_limit_of_the_moment_costs_no_row_however_it_is_said(serve: Serve, captioner_of: Ask, form: str) -> None:
    server = as_persona(serve, "openai", retry_form=form)
    captioner, bill = captioner_of(server, max_in_flight=8)
    warm_up(captioner)
    server.change(faults={"429": 0.3})
    before = server.stats["requests"]
    assert right(results_of(captioner, ROWS)) == list(range(ROWS))
    assert server.stats["requests"] - before == ROWS + server.stats["faults"]["429"]
    check_bill(server, bill)


@pytest.mark.parametrize("name", ["gemini", "azure", "openrouter", "mistral", "litellm", "ollama", "llamacpp", "tgi"])
def test_a_limit_of_the_moment_costs_no_row_whoever_says_it(serve: Serve, captioner_of: Ask, name: str) -> None:
    server = as_persona(serve, name)
    captioner, _ = captioner_of(server, max_in_flight=8, **OF_PERSONA.get(name, {}))
    warm_up(captioner)
    server.change(faults={"429": 0.2, "503": 0.1})
    assert right(results_of(captioner, ROWS)) == list(range(ROWS))


@pytest.mark.parametrize("name", ["huggingface-endpoint", "llamacpp", "vllm"])
def test_a_model_that_loads_is_waited_for(serve: Serve, captioner_of: Ask, name: str) -> None:
    server = as_persona(serve, name, loading=1e6)
    captioner, _ = captioner_of(server, max_in_flight=4)
    futures = [captioner.submit(request_of(seed)) for seed in range(4)]
    until(lambda: server.stats["requests"] >= 3, every=0.01)
    server.change(loading=0.0)
    assert right([future.result(timeout=30) for future in futures]) == [0, 1, 2, 3]


# --- answers that are not what they should be

UNHELD = ("deepseek", "tgi", "vllm-thinking", "vllm-unopened", "gpt-oss", "glm", "gemma", "chinese", "chatty", "fenced")
HELD = ("openai", "gemini", "magistral", "lmstudio", "vllm-reasoning")
SPOILT = [name for name, fault in FAULTS.items() if fault.whose in ("answer", "usage")]


@pytest.mark.parametrize("name", [*UNHELD, *HELD])
def test_spoilt_answers_yield_what_is_right_in_them_or_nothing(serve: Serve, captioner_of: Ask, name: str) -> None:
    server = as_persona(serve, name)
    captioner, bill = captioner_of(server, max_in_flight=8, max_repairs=0)
    warm_up(captioner)
    server.change(faults=dict.fromkeys(SPOILT, 0.9 / len(SPOILT)))
    right(results_of(captioner, 3 * ROWS))
    faults = server.stats["faults"]
    assert len(faults) > len(SPOILT) // 2
    if "no_usage" not in faults:
        check_bill(server, bill)


@pytest.mark.parametrize("fault", ["error_in_200", "error_finish", "garbage", "endless"])
def test_what_is_no_answer_is_asked_for_again(serve: Serve, captioner_of: Ask, fault: str) -> None:
    server = as_persona(serve, "openrouter")
    captioner, bill = captioner_of(server, max_in_flight=4)
    warm_up(captioner)
    server.change(faults={fault: 0.3})
    assert right(results_of(captioner, ROWS)) == list(range(ROWS))
    assert server.stats["faults"][fault] > 0
    check_bill(server, bill)


@pytest.mark.parametrize(
    "fault", ["missing", "abort", "length", "think_cut", "safety", "refusal", "empty", "odd_usage"]
)
@pytest.mark.parametrize("name", ["vllm", "deepseek"])
def test_repaired_and_failed_answers_are_paid_for(serve: Serve, captioner_of: Ask, name: str, fault: str) -> None:
    server = as_persona(serve, name)
    captioner, bill = captioner_of(server, max_in_flight=4)
    warm_up(captioner)
    server.change(faults={fault: 0.4})
    right(results_of(captioner, 12))
    assert server.stats["faults"][fault] > 0
    check_bill(server, bill)
