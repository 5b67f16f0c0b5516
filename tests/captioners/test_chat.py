"""Chat completions as servers send them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from regioncap.captioners.chat import ChatRequest, ChatResponse, Ending, Sampling, read_response
from regioncap.config.model import RegionCapConfig


def test_a_request_has_its_picture() -> None:
    for images in ((), (b"",), (b"jpeg", b"")):
        with pytest.raises(ValueError, match="without its picture"):
            ChatRequest("", "What?", images, (1,))


FINISHES = {
    "stop": Ending.COMPLETE, "STOP": Ending.COMPLETE, "eos_token": Ending.COMPLETE, "absent": Ending.ABSENT,
    "length": Ending.CUT, "MAX_TOKENS": Ending.CUT, "model_length": Ending.CUT,
    "content_filter": Ending.REFUSED, "SAFETY": Ending.REFUSED,
    "FINISH_REASON_STOP": Ending.COMPLETE, "max-tokens": Ending.CUT, "content-filter": Ending.REFUSED,
    "error": Ending.FAILED, "abort": Ending.FAILED, "insufficient_system_resource": Ending.FAILED,
    "tool_calls": Ending.FAILED, "a new word": Ending.UNKNOWN,
}  # fmt: skip


@pytest.mark.parametrize("word", FINISHES)
def test_how_an_answer_ended(word: str) -> None:
    response = ChatResponse("A dog.", word)
    assert response.ending is FINISHES[word]
    accepted = replace(response, accepted=True).ending
    assert accepted is (response.ending if response.ending in (Ending.CUT, Ending.REFUSED) else Ending.COMPLETE)


GATEWAYS: dict[str, tuple[dict[str, Any], Ending]] = {
    "LiteLLM: abort": ({"provider_specific_fields": {"native_finish_reason": "abort"}}, Ending.FAILED),
    "LiteLLM: a new word": ({"provider_specific_fields": {"native_finish_reason": "a new word"}}, Ending.UNKNOWN),
    "LiteLLM: Gemini's": ({"provider_specific_fields": {"native_finish_reason": "STOP"}}, Ending.COMPLETE),
    "LiteLLM: an error": ({"provider_specific_fields": {"error": {"code": 502}}}, Ending.FAILED),
    "OpenRouter: cut": ({"native_finish_reason": "MAX_TOKENS"}, Ending.CUT),
    "OpenRouter: its word stands": ({"native_finish_reason": "a new word"}, Ending.COMPLETE),
    "a message's error": ({"message": {"content": "A d", "error": {"code": 502}}}, Ending.FAILED),
    "Anthropic's word": ({"stop_reason": "max_tokens"}, Ending.CUT),
    "vLLM: a stop string": ({"stop_reason": "###"}, Ending.COMPLETE),
    "an object": ({"finish_reason": {"type": "stop"}}, Ending.COMPLETE),
    "another object": ({"finish_reason": {"reason": "length"}}, Ending.CUT),
    "nothing beside it": ({"provider_specific_fields": None, "native_finish_reason": None}, Ending.COMPLETE),
}


@pytest.mark.parametrize("case", GATEWAYS)
def test_gateways_that_say_stop_for_everything_give_the_servers_word_beside_it(case: str) -> None:
    beside, ending = GATEWAYS[case]
    choice = {"message": {"content": "A d"}, "finish_reason": "stop", **beside}
    assert read_response(orjson.dumps({"choices": [choice]})).ending is ending


ANSWERS: dict[str, tuple[dict[str, Any], ChatResponse]] = {
    "text": (
        {"message": {"content": "A dog."}, "finish_reason": "stop"},
        ChatResponse("A dog.", "stop", 7, 3),
    ),
    "parts": (
        {"message": {"content": [{"text": "A "}, {"type": "x"}, {"text": "dog."}]}, "finish_reason": "length"},
        ChatResponse("A dog.", "length", 7, 3),
    ),
    "parts that are texts, and one of reasoning": (
        {
            "message": {
                "content": [{"type": "reasoning", "text": "A wolf?"}, "A ", {"type": "output_text", "text": "dog."}]
            },
            "finish_reason": "stop",
        },
        ChatResponse("A dog.", "stop", 7, 3),
    ),
    "a part": (
        {"message": {"content": {"type": "text", "text": "A dog."}}, "finish_reason": "stop"},
        ChatResponse("A dog.", "stop", 7, 3),
    ),
    "JSON that is no text any more": (
        {"message": {"content": {"region1": "A dog."}}, "finish_reason": "stop"},
        ChatResponse('{"region1": "A dog."}', "stop", 7, 3),
    ),
    "a refusal among the parts": (
        {"message": {"content": [{"type": "refusal", "refusal": "No."}]}, "finish_reason": "stop"},
        ChatResponse("No.", "stop", 7, 3, declined=True),
    ),
    "refusal": (
        {"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"},
        ChatResponse("No.", "stop", 7, 3, declined=True),
    ),
    "filter": (
        {"message": {"content": ""}, "finish_reason": "content_filter"},
        ChatResponse("", "content_filter", 7, 3),
    ),
    "no reason": ({"message": {"content": "A dog."}}, ChatResponse("A dog.", "absent", 7, 3)),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_answers_are_read(case: str) -> None:
    choice, expected = ANSWERS[case]
    body = orjson.dumps({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
    assert read_response(body) == expected
    assert read_response(body).refused == ("refusal" in case or case == "filter")


def test_usage_may_be_missing() -> None:
    response = read_response(b'{"choices": [{"message": {"content": "A dog."}}], "usage": null}')
    assert (response.prompt_tokens, response.completion_tokens, response.usage_given) == (0, 0, False)


def test_the_first_choice_is_the_one_that_says_so() -> None:
    choices = [{"index": n, "message": {"content": f"A{n}"}, "finish_reason": "stop"} for n in (1, 0)]
    assert read_response(orjson.dumps({"choices": choices})).text == "A0"


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", DEEP, b'{"choices": [7]}', b'{"choices": [{}]}', b'{"choices": {"0": 1}}']
)
def test_what_is_no_completion_is_reported(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a chat completion"):
        read_response(content)


def sampling(**settings: Any) -> dict[str, Any]:
    config = RegionCapConfig(input="a.jsonl", endpoint="http://h/v1", model="m", **settings)
    return Sampling.of(config).body(0.3)


def test_a_repair_is_drawn_differently() -> None:
    assert sampling(temperature=0.5, seed=7) == {"temperature": 0.8, "seed": 10}
    assert sampling(temperature=1.9) == {"temperature": 2.0}
    assert sampling(temperature=-1) == {}  # the server's own
    assert sampling(top_p=0.9, top_k=5) == {"temperature": 0.3, "top_p": 0.9, "top_k": 5}


USAGES = {
    b'{"prompt_tokens": 1e300, "completion_tokens": 36893488147419103232}': (0, 0),
    b'{"prompt_tokens": "7", "completion_tokens": 3.0}': (7, 3),
    b'{"prompt_tokens": [7], "completion_tokens": null}': (0, 0),
    b'{"prompt_tokens": NaN, "completion_tokens": 1e400}': (0, 0),
    b'{"prompt_tokens": -7, "completion_tokens": "many"}': (0, 0),
    b'"much"': (0, 0),
}


@pytest.mark.parametrize("usage", USAGES)
def test_an_answer_counts_whatever_its_usage_says(usage: bytes) -> None:
    body = (
        b'\xef\xbb\xbf{"choices": [{"message": {"content": "A dog."}, "finish_reason": "stop"}], "usage": '
        + usage
        + b"}"
    )
    response = read_response(body)
    assert (response.text, response.prompt_tokens, response.completion_tokens) == ("A dog.", *USAGES[usage])


def test_an_error_in_a_200_is_no_answer() -> None:
    message = {"message": {"content": "A d"}, "finish_reason": "stop"}
    for body in (
        {"error": {"message": "upstream"}, "choices": [message]},
        {"choices": [{**message, "error": {"code": 502}}]},
    ):
        response = read_response(orjson.dumps(body))
        assert (response.text, response.ending) == ("", Ending.FAILED)
        assert response.error in ({"message": "upstream"}, {"code": 502})


def test_a_lone_surrogate_spoils_no_answer() -> None:
    body = b'{"choices": [{"message": {"content": "A \\ud83d dog."}, "finish_reason": "stop"}]}'
    assert "dog." in read_response(body).text
