"""The fake server does what tests ask of it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

import pytest

from regioncap.captioners.chat import messages_of
from regioncap.captioners.fake.dress import DRESSES
from regioncap.captioners.fake.errors import STANDARD, WAITS
from regioncap.captioners.fake.faults import BROKEN_ENDS, FAULTS, LIMITED, STATUSES, draw_fault, fault_of
from regioncap.captioners.fake.forms import FORMS
from regioncap.captioners.fake_server import PERSONAS, RunningServer, ScriptedResponse, caption_of, digest_of
from regioncap.output.caption_flags import flags_of
from tests.support.model_servers import Serve, jpeg_of


def post(url: str, **fields: Any) -> dict[str, Any]:
    """What the server answers to a request about two regions."""
    text = "Describe:\n<region1>: …\n<region2>: …"
    body = {"model": "fake-vlm", "messages": messages_of([jpeg_of(1)], text), **fields}
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def refusal(url: str, headers: dict[str, str] | None = None, **fields: Any) -> tuple[int, Any, Any]:
    """The status, body and headers of a response that is an error."""
    body = {"model": "fake-vlm", "messages": messages_of([jpeg_of(1)], "<region1>: …"), **fields}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers or {})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=60)
    return error.value.code, error.value.read().decode(), error.value.headers


def text_of(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


def test_it_names_picture_and_region(serve: Serve) -> None:
    digests = (digest_of(jpeg_of(1)),)
    expected = "\n".join(f"<region{n}>: {caption_of(digests, n)}" for n in (1, 2))
    assert text_of(post(serve().url)) == expected


def test_it_says_what_it_is_told_to(serve: Serve) -> None:
    server = serve(caption=lambda pictures, number: f"Number {number} of {len(pictures)}.")
    assert text_of(post(server.url)) == "<region1>: Number 1 of 1.\n<region2>: Number 2 of 1."
    server.change(script=lambda body: ScriptedResponse({"seen": body["n"]}))
    assert post(server.url, n=3) == {"seen": 3}


def test_requests_are_recorded_from_then_on(serve: Serve) -> None:
    server = serve()
    post(server.url, n=1)
    recorded = server.record()
    post(server.url, n=2)
    post(server.url, n=3)
    assert [body["n"] for body in recorded] == [2, 3]


def test_a_number_of_answers_can_be_waited_for(serve: Serve) -> None:
    server = serve()
    first, third = server.when_answered(1), server.when_answered(3)
    post(server.url)
    assert (first.is_set(), third.is_set()) == (True, False)
    post(server.url)
    post(server.url)
    assert third.is_set()


@pytest.mark.parametrize(
    ("shares", "expected"), [({}, {"": 100}), ({"500": 0.25, "429": 0.5}, {"500": 25, "429": 50, "": 25})]
)
def test_faults_have_their_shares(shares: dict[str, float], expected: dict[str, int]) -> None:
    assert Counter(draw_fault(shares, (number + 0.5) / 100) for number in range(100)) == expected


def test_faults_of_the_row_are_the_same_for_each_of_its_requests() -> None:
    drawn = {fault_of({"policy": 0.3, "500": 0.5}, number / 10, 0.1) for number in range(10)}
    assert drawn == {"policy"}
    assert fault_of({"policy": 0.3, "500": 0.5}, 0.1, 0.9) == "500"


def test_its_captions_trip_no_flag() -> None:
    captions = [caption_of((digest_of(jpeg_of(1)),), number) for number in range(1, 31)]
    assert flags_of(captions) == [[]] * 30


# --- personas


def test_the_names_in_personas_are_known() -> None:
    for persona in PERSONAS.values():
        assert persona.imitates
        assert persona.dress in DRESSES
        assert persona.wait in WAITS
        assert set(persona.enforces) <= FORMS.keys()
        assert persona.errors.keys() <= STANDARD.keys()
    assert STATUSES | LIMITED | {"key", "model", "path"} <= STANDARD.keys()
    assert STATUSES | BROKEN_ENDS.keys() <= FAULTS.keys()


def chat(server: RunningServer) -> str:
    return f"{server.url}/chat/completions"


REFUSALS: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "the old name": ("openai-reasoning", {"max_tokens": 9}, 400, "Use 'max_completion_tokens' instead"),
    "a temperature": ("openai-reasoning", {"temperature": 0}, 400, "does not support 0 with this model"),
    "too warm": ("mistral", {"temperature": 1.8}, 422, "from 0 to 1.5"),
    "openai: unknown": ("openai", {"guided_regex": "a"}, 400, "Unrecognized request argument supplied: guided_regex"),
    "gemini: unknown": ("gemini", {"seed": 1}, 400, 'Unknown name \\"seed\\": Cannot find field.'),
    "mistral: unknown": ("mistral", {"max_completion_tokens": 9}, 422, '["body","max_completion_tokens"]'),
    "another format": (
        "lmstudio",
        {"response_format": {"type": "json_object"}},
        400,
        "must be 'json_schema' or 'text'",
    ),
    "a picture": ("llamacpp-text", {}, 500, "mmproj"),
    "no stream": ("stream-only", {}, 400, "stream mode"),
    "another model": ("litellm", {"model": "m"}, 400, "Invalid model name passed in model=m"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_persona_refuses_what_its_server_does(serve: Serve, case: str) -> None:
    name, fields, status, words = REFUSALS[case]
    code, body, _ = refusal(chat(serve(persona=PERSONAS[name])), **fields)
    assert (code, words in body) == (status, True), body


def test_azure_wants_its_query_and_its_header(serve: Serve) -> None:
    server = serve(persona=PERSONAS["azure"], key="k1")
    assert server.url.endswith("/openai/deployments/fake-vlm")
    assert refusal(chat(server))[0] == 404
    assert refusal(f"{chat(server)}?api-version=1", {"Authorization": "Bearer k1"})[0] == 401
    body = {"model": "fake-vlm", "messages": messages_of([jpeg_of(1)], "<region1>: …")}
    request = urllib.request.Request(f"{chat(server)}?api-version=1", json.dumps(body).encode(), {"api-key": "k1"})
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.status == 200


WAITING: dict[str, tuple[str, str, str]] = {
    "in the body": ("gemini", "retryDelay", "7s"),
    "in words": ("azure", "retry after", "7 seconds"),
    "as a number": ("huggingface-endpoint", "estimated_time", "7.0"),
}


@pytest.mark.parametrize("case", WAITING)
def test_errors_say_in_their_own_way_when_to_try_again(serve: Serve, case: str) -> None:
    name, before, after = WAITING[case]
    server = serve(persona=PERSONAS[name], faults={"429": 1.0}, retry_after=7)
    if case == "as a number":
        server.change(faults={}, loading=1e6)
    _, body, _ = refusal(f"{chat(server)}?api-version=1")
    assert after in body.partition(before)[2]


HEADERS = {
    "seconds": ("Retry-After", "7"),
    "past": ("Retry-After", "GMT"),
    "milliseconds": ("retry-after-ms", "7000"),
    "reset": ("x-ratelimit-reset-requests", "7s"),
}


@pytest.mark.parametrize("form", HEADERS)
def test_headers_say_when_to_try_again(serve: Serve, form: str) -> None:
    server = serve(faults={"429": 1.0}, retry_after=7, retry_form=form)
    header, value = HEADERS[form]
    assert value in refusal(chat(server))[2][header]


def test_reasoning_goes_where_the_persona_puts_it(serve: Serve) -> None:
    messages = {}
    for name in ("vllm-thinking", "vllm-unopened", "vllm-reasoning", "deepseek", "magistral", "gpt-oss", "glm"):
        answer = post(serve(persona=PERSONAS[name]).url, max_tokens=500)
        messages[name] = answer["choices"][0]["message"]
    assert messages["vllm-thinking"]["content"].startswith("<think>\n")
    assert "</think>" in messages["vllm-unopened"]["content"].removeprefix("<think>")
    assert "<region1>: DRAFT maybe a wolf?" in messages["vllm-reasoning"]["reasoning"]
    assert "<region1>: DRAFT maybe a wolf?" in messages["deepseek"]["reasoning_content"]
    assert [part["type"] for part in messages["magistral"]["content"]] == ["thinking", "text"]
    assert messages["gpt-oss"]["content"].startswith("<|channel|>analysis<|message|>")
    assert messages["glm"]["content"].endswith("<|end_of_box|>")


def test_hidden_reasoning_uses_up_max_tokens(serve: Serve) -> None:
    answer = post(serve(persona=PERSONAS["gemini"]).url, max_tokens=100)
    assert (answer["choices"][0]["finish_reason"], text_of(answer)) == ("length", "")
    assert answer["usage"]["completion_tokens"] == 160


# --- the bill


def test_it_bills_every_answer_that_its_model_made(serve: Serve) -> None:
    server = serve()
    costs = [post(server.url)["usage"], post(server.url, max_tokens=500)["usage"]]
    server.change(faults={"500": 1.0})
    refusal(chat(server))
    server.change(faults={"truncated": 1.0})
    with pytest.raises(json.JSONDecodeError):
        post(server.url)
    billed, unseen = server.stats["billed"], server.stats["unseen"]
    assert (billed["requests"], unseen["requests"]) == (3, 1)
    for name in ("prompt_tokens", "completion_tokens"):
        assert billed[name] - unseen[name] == sum(cost[name] for cost in costs)
