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


@dataclass(frozen=True)
class ChatRequest:
    """One question about one picture.

    `images`: JPEG files, at least one. `wanted`: the region numbers (from 1) that the answer should describe.
    `temperature_offset`: added to the configured temperature.
    """

    system: str
    text: str
    images: tuple[bytes, ...]
    wanted: tuple[int, ...]
    temperature_offset: float = 0.0

    def __post_init__(self) -> None:
        if not self.images or not all(self.images):
            raise ValueError("a request without its picture: expected at least one JPEG, none of them empty")


class Ending(Enum):
    """How a model's answer came to its end."""

    COMPLETE = "complete"
    CUT = "cut"
    REFUSED = "refused"
    FAILED = "failed"


ENDINGS = {
    # OpenAI, vLLM, TGI, Ollama, Anthropic's and Gemini's terms as gateways pass them on; "" is an absent word.
    Ending.COMPLETE: ("", "stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete", "completed", "finished"),
    Ending.CUT: ("length", "max_tokens", "model_length", "max_length", "max_output_tokens", "max_completion_tokens"),
    Ending.REFUSED: ("content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii", "refusal"),
}
"""What servers call the ends of their answers, in lower case."""


def judge_finish(finish_reason: str) -> Ending:
    """What a server's `finish_reason` means. The one place that decides it.

    An unknown word (`error`, `abort`, `insufficient_system_resource`, …) is a failure: whether the text is
    whole is unknown, and a caption must not be half of one.
    """
    word = finish_reason.casefold()
    return next((ending for ending, words in ENDINGS.items() if word in words), Ending.FAILED)


@dataclass(frozen=True)
class ChatResponse:
    """What a model answered: `finish_reason` as the server gives it, tokens as the server counts them.

    `declined`: the server put the text where refusals go. `structured`: the server enforced the form that was asked
    for.
    """

    text: str
    finish_reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    declined: bool = False
    structured: bool = False

    @property
    def cut(self) -> bool:
        """Whether the answer ended at its token limit."""
        return judge_finish(self.finish_reason) is Ending.CUT

    @property
    def refused(self) -> bool:
        """Whether the model or a filter declined to answer."""
        return self.declined or judge_finish(self.finish_reason) is Ending.REFUSED

    @property
    def failed(self) -> bool:
        """Whether the server broke the answer off, so that its text cannot be relied on."""
        return judge_finish(self.finish_reason) is Ending.FAILED


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

    def body(self, temperature_offset: float) -> dict[str, Any]:
        """The request's fields, without `max_tokens`."""
        body: dict[str, Any] = dict(self.others)
        if self.temperature is not None:
            body["temperature"] = min(2.0, round(self.temperature + temperature_offset, 2))
        if self.seed is not None:
            # Another sample when asked again, even at the same temperature.
            body["seed"] = self.seed + round(10 * temperature_offset)
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
    """The answer in the body of a chat completion. Raises ValueError if there is none, or an error beside it."""
    try:
        data = _loads(content)
        choice = data["choices"][0]
        if data.get("error") or choice.get("error"):
            raise ValueError("an error with status 200")
        message = choice["message"]
        usage = data.get("usage")
        refusal = message.get("refusal")
        text = message.get("content") or ""
        if isinstance(text, list):
            text = "".join(part.get("text", "") for part in text)
        return ChatResponse(
            str(refusal or text),
            str(choice.get("finish_reason") or ""),
            _tokens(usage, "prompt_tokens"),
            _tokens(usage, "completion_tokens"),
            bool(refusal),
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ValueError("not a chat completion") from error


def _loads(content: bytes) -> Any:
    """A body's JSON. Servers send byte order marks, NaN, 1e400 and lone surrogates, which orjson refuses."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return json.loads(content)


def _tokens(usage: Any, name: str) -> int:
    """A count of tokens; 0 where the server gives none that is a number: the answer counts all the same."""
    try:
        return max(0, int(float(usage[name])))
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0


def model_names(content: bytes) -> list[str]:
    """The names in the body of a list of models; none when it is something else."""
    try:
        return [str(model["id"]) for model in orjson.loads(content)["data"]]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []
