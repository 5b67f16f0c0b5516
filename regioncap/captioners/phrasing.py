"""How a model is asked, and what its answers say, whichever way requests reach it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from regioncap.captioners.chat import ChatRequest, ChatResponse, Sampling, messages_of, read_response
from regioncap.captioners.prompts import form_of_answer
from regioncap.captioners.structure import names_of, regex_of, structured
from regioncap.config.model import RegionCapConfig
from regioncap.masking import SHORT_SECRET, mask


@dataclass(frozen=True)
class Phrasing:
    """Requests to one model as JSON, and its answers.

    `form`: what answers are held to, one of `STRUCTURES` or `none`. `max_caption_chars`: what that allows for a
    caption. `request_body`: further fields of every request. `accepted_words`: of `finish_reason`, in lower case, that
    the user takes for a complete answer's. `secrets`: what an answer must not bring into captions.
    """

    model: str
    sampling: Sampling
    form: str
    max_caption_chars: int | None = None
    request_body: Mapping[str, Any] = field(default_factory=dict)
    accepted_words: frozenset[str] = frozenset()
    secrets: Sequence[str] = ()

    @classmethod
    def of(cls, config: RegionCapConfig, form: str) -> Phrasing:
        """How requests of a run with this config are phrased when they are held to `form`."""
        return cls(
            config.model or "", Sampling.of(config), form, config.max_caption_chars, config.request_body,
            frozenset(config.accept_finish_reasons),
        )  # fmt: skip

    def body(self, request: ChatRequest, *, max_chars: int | None = None, word: str = "") -> dict[str, Any]:
        """The fields of `request`. `max_chars`: see `regex_of`; `word`: the answer must begin with it, as a text or as
        a name."""
        way = "none" if request.free else self.form
        note = "" if request.free else f"\n\n{form_of_answer(request.wanted, json=way == 'json_schema')}"
        regex = regex_of(request.wanted, max_chars or self.max_caption_chars, word)
        return {
            "model": self.model,
            "messages": messages_of(request.images, f"{request.text}{note}", request.system),
            "max_tokens": self.sampling.max_tokens,
            **self.sampling.body(request.temperature_offset, request.sample),
            **structured(way, regex, names_of(request.wanted, word)),
            **self.request_body,
        }

    def read(self, content: bytes, form: str) -> ChatResponse:
        """The answer in a body, which was held to `form`. Raises ValueError when there is neither one nor an error."""
        answer = self._without_secrets(read_response(content))
        return replace(answer, form=form, accepted=answer.word in self.accepted_words)

    def _without_secrets(self, answer: ChatResponse) -> ChatResponse:
        """A server that echoes what it was sent must not bring a key into captions and rejects."""
        # Shorter ones may be words of a caption: what is set for servers that want some key and check none.
        echoed = [secret for secret in self.secrets if len(secret) >= SHORT_SECRET and secret in answer.text]
        return replace(answer, text=mask(answer.text, echoed)) if echoed else answer
