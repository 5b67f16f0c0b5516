"""Chat completions: what is asked, what is answered, and both as JSON on the wire."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson

from regioncap.config.model import RegionCapConfig

REGIONS = "regions"
"""The mode of a request that asks which regions there are: its answer is free text, and all of it counts."""


@dataclass(frozen=True)
class ChatRequest:
    """One question about one picture.

    `images`: JPEG files, at least one. `wanted`: the region numbers (from 1) that the answer should describe.
    `temperature_offset`: added to the configured temperature. `mode`: `marks`, `focal` (with a closer view), or `again`
    (as `focal`, since the caption that there is did not satisfy), or `REGIONS`. `sample`: added to the configured seed.
    """

    system: str
    text: str
    images: tuple[bytes, ...]
    wanted: tuple[int, ...]
    temperature_offset: float = 0.0
    mode: str = "marks"
    sample: int = 0

    @property
    def free(self) -> bool:
        """Whether the answer is to be held to no form."""
        return self.mode == REGIONS

    def __post_init__(self) -> None:
        if not self.images or not all(self.images):
            raise ValueError("a request without its picture: expected at least one JPEG, none of them empty")


class Ending(Enum):
    """How a model's answer came to its end.

    ABSENT, UNKNOWN: the server gives no word for it, or one that is not known; whether the text is whole is unknown.
    """

    COMPLETE = "complete"
    CUT = "cut"
    REFUSED = "refused"
    FAILED = "failed"
    ABSENT = "absent"
    UNKNOWN = "unknown"


ENDINGS = {
    # The terms of OpenAI, vLLM, TGI, Ollama, Anthropic, Cohere, Bedrock, watsonx, ERNIE and Gemini, as gateways pass
    # them on; "absent" stands for none.
    Ending.COMPLETE: (
        "stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete", "completed", "finished", "endoftext",
        "normal",
    ),
    Ending.CUT: (
        "length", "max_tokens", "model_length", "max_length", "max_output_tokens", "max_completion_tokens",
        "token_limit", "max_new_tokens", "model_context_window_exceeded", "context_length_exceeded", "incomplete",
    ),
    Ending.REFUSED: (
        "content_filter", "content_filtered", "safety", "recitation", "blocklist", "prohibited_content", "spii",
        "refusal", "image_safety", "guardrail_intervened", "sensitive", "error_toxic",
    ),
    # The server gave up, or the model called a tool in place of an answer.
    Ending.FAILED: (
        "error", "error_limit", "abort", "aborted", "cancel", "cancelled", "canceled", "user_cancel", "timeout",
        "time_limit", "insufficient_system_resource", "network_error", "not_finished", "repetition", "load", "fail",
        "failed", "tool_calls", "tool_call", "tool_use", "function_call", "malformed_function_call", "pause_turn",
    ),
    Ending.ABSENT: ("absent",),
}  # fmt: skip
"""What servers call the ends of their answers, in lower case."""

ENDING_OF_WORD = {word: ending for ending, words in ENDINGS.items() for word in words}

TEXT_PARTS = frozenset({"text", "output_text"})
"""The types of the parts of a content that are the answer itself."""

OWN_WORDS = ("native_finish_reason", "stop_reason", "done_reason")
"""Where a choice has its server's own word beside `finish_reason`."""

MAX_TOKENS_COUNTED = 10**12
"""Of one answer: a server that counts more does not count."""


def ending_of(word: str) -> Ending:
    """What a server's word for an end means, in whatever case it is written: `FINISH_REASON_STOP`, `max-tokens`."""
    plain = word.casefold().replace("-", "_").replace(" ", "_").removeprefix("finish_reason_")
    return ENDING_OF_WORD.get(plain, Ending.UNKNOWN)


ABSENT = "absent"
"""Stands for a `finish_reason` that is missing, null or empty."""


@dataclass(frozen=True)
class ChatResponse:
    """What a model answered: `finish_reason` as the server gives it, `absent` for none.

    Tokens as the server counts them; `usage_given`: whether it does. `declined`: the server put the text where
    refusals go. `form`: what the server held the answer to, one of `structure.STRUCTURES`, or `none`. `accepted`: the
    user takes this `finish_reason` for a complete answer's. `error`: what the server put in place of an answer, or
    beside it.
    """

    text: str
    finish_reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usage_given: bool = True
    declined: bool = False
    form: str = "none"
    accepted: bool = False
    error: Any = None

    @property
    def structured(self) -> bool:
        """Whether the server held the answer to the form that was asked for."""
        return self.form != "none"

    @property
    def ending(self) -> Ending:
        """How the answer came to its end. The one place that decides it.

        Only what is known to be complete counts as complete: a caption must not be half of one.
        """
        if self.error is not None:
            return Ending.FAILED
        if self.declined:
            return Ending.REFUSED
        ending = ending_of(self.finish_reason)
        return Ending.COMPLETE if self.accepted and ending not in (Ending.CUT, Ending.REFUSED) else ending

    @property
    def word(self) -> str:
        """The `finish_reason` as it is compared: in lower case."""
        return self.finish_reason.casefold()

    @property
    def cut(self) -> bool:
        """Whether the answer ended at its token limit."""
        return self.ending is Ending.CUT

    @property
    def refused(self) -> bool:
        """Whether the model or a filter declined to answer."""
        return self.ending is Ending.REFUSED


@dataclass(frozen=True)
class Sampling:
    """How answers are sampled; None leaves it to the server."""

    max_tokens: int
    temperature: float | None
    seed: int | None
    others: dict[str, float]

    @classmethod
    def of(cls, config: RegionCapConfig) -> Sampling:
        """The sampling of `config`."""
        temperature = None if config.temperature is None or config.temperature < 0 else config.temperature
        given = {name: value for name, value in config.values_read_by("request").items() if value is not None}
        return cls(config.max_tokens, temperature, config.seed, given)

    def body(self, temperature_offset: float, sample: int = 0) -> dict[str, Any]:
        """The request's fields, without `max_tokens`."""
        body: dict[str, Any] = dict(self.others)
        if self.temperature is not None:
            body["temperature"] = min(2.0, round(self.temperature + temperature_offset, 2))
        if self.seed is not None:
            # Another sample when asked again, even at the same temperature.
            body["seed"] = self.seed + round(10 * temperature_offset) + sample
        return body


def messages_of(images: Sequence[bytes], text: str, system: str = "") -> list[dict[str, Any]]:
    """The messages of a chat completion: JPEG files, then the text."""
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()}}
        for jpeg in images
    ]
    parts.append({"type": "text", "text": text})
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    return [*messages, {"role": "user", "content": parts}]


def read_response(content: bytes) -> ChatResponse:
    """The answer in the body of a chat completion. Raises ValueError if there is neither an answer nor an error."""
    try:
        data = loads_body(content)
        prompt, completion = (
            _tokens(data.get("usage"), "prompt_tokens"),
            _tokens(data.get("usage"), "completion_tokens"),
        )
        error = _error_in(data)
        if error:
            return ChatResponse("", "error", prompt, completion, usage_given=False, error=error)
        choice = _first_choice(data["choices"])
        message = choice["message"]
        text, refusal = _text_and_refusal(message)
        return ChatResponse(
            refusal or text,
            _finish_word(choice),
            prompt,
            completion,
            usage_given=prompt + completion > 0,
            declined=bool(refusal),
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ValueError("not a chat completion") from error


def _first_choice(choices: list[Any]) -> Any:
    """The choice that is the first by its index, which need not stand there."""
    return next((choice for choice in choices if choice.get("index") == 0), choices[0])


def _text_and_refusal(message: Any) -> tuple[str, str]:
    """A message's text, and that of a refusal. Each may be one of the parts that its content consists of.

    Parts of a type that is not known are no text: models think in some of them.
    """
    content, refusal = message.get("content"), message.get("refusal")
    if isinstance(content, dict) and "text" not in content:  # JSON that was asked for, and is no text any more
        content = json.dumps(content)
    parts = content if isinstance(content, list) else [] if content is None else [content]
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    texts = [part.get("text") or "" for part in parts if part.get("type", "text") in TEXT_PARTS]
    refusals = [str(part.get("refusal") or "") for part in parts]
    return "".join(texts), str(refusal) if refusal else "".join(refusals)


def _error_in(data: Any) -> Any:
    """The error in an answer, wherever the server puts it; None for none."""
    choices = data.get("choices")
    choice = _first_choice(choices) if isinstance(choices, list) and choices else {}
    places = (data, choice, choice.get("message"), _of_provider(choice))
    return next((place["error"] for place in places if isinstance(place, dict) and place.get("error")), None)


def _of_provider(choice: Any) -> dict[str, Any]:
    """What LiteLLM passes on of a choice beside what it makes of it."""
    given = choice.get("provider_specific_fields")
    return given if isinstance(given, dict) else {}


def _finish_word(choice: Any) -> str:
    """The server's word for the end.

    Gateways write `stop` in place of words that they do not know, and the server's own beside it: LiteLLM where it is
    another one, OpenRouter always.
    """
    word = _word(choice.get("finish_reason"))
    if ending_of(word) is not Ending.COMPLETE:
        return word
    replaced = _word(_of_provider(choice).get("native_finish_reason"))
    if replaced != ABSENT:
        return replaced
    own = (_word(choice.get(name)) for name in OWN_WORDS)
    return next((each for each in own if ending_of(each) in (Ending.CUT, Ending.REFUSED, Ending.FAILED)), word)


def _word(given: Any) -> str:
    if isinstance(given, dict):
        given = given.get("type") or given.get("reason")
    return str(given).strip() or ABSENT if given is not None else ABSENT


def loads_body(content: bytes) -> Any:
    """A body's JSON. Servers send byte order marks, NaN, 1e400 and lone surrogates, which orjson refuses."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _tokens(usage: Any, name: str) -> int:
    """A count of tokens; 0 where the server gives none that is a number: the answer counts all the same."""
    try:
        count = max(0, int(float(usage[name])))
        return count if count <= MAX_TOKENS_COUNTED else 0
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0
