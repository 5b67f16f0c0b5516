"""One OpenAI-compatible server: how it is asked, and what is known of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from regioncap.captioners.chat import ChatRequest, ChatResponse, Sampling, messages_of, model_names, read_response
from regioncap.captioners.health import EndpointHealth, RetryPolicy
from regioncap.captioners.limits import InFlightLimit
from regioncap.captioners.masking import outside_text
from regioncap.captioners.prompts import form_of_answer, label
from regioncap.captioners.server_errors import (
    KEY_STATUSES,
    HttpResponse,
    Refused,
    TryAgain,
    classify,
)
from regioncap.captioners.structure import PROBE_WORD, STRUCTURES, regex_of, structured
from regioncap.captioners.transport import Transport

LIST_SECONDS = 10.0
"""For a server to answer about itself."""

LOG_SECONDS = 60.0
"""Between two messages about an overload."""

PROBE_TOKENS = 48

logger = logging.getLogger("regioncap")


@dataclass
class Endpoint:
    """One server, with what is known of it. All its methods run on the session's event loop.

    `url`: base URL, to which `/chat/completions` is added. `timeout`: seconds for a whole request. `structure`: one of
    `STRUCTURES` or `none`, None until it is found out. `max_caption_chars`: what the structure allows for a caption.
    `revive`: called when nothing answers; may restart the server, and raises CaptionerError when it is gone for good.
    """

    url: str
    model: str
    sampling: Sampling
    timeout: float
    limit: InFlightLimit
    http: Transport
    structure: str | None = None
    max_caption_chars: int | None = None
    revive: Callable[[], None] | None = None
    health: EndpointHealth = field(default_factory=EndpointHealth)
    _tokens_name: str = "max_tokens"
    _log_overload_after: float = 0.0

    # --- outcomes of requests

    def record_success(self, now: float) -> None:
        """A request was answered at time `now`."""
        if self.health.record_success():
            logger.info("%s answers again", self.url)
        self.limit.record_success(now)

    def record_failure(self, error: TryAgain, sent_at: float, now: float, policy: RetryPolicy) -> bool:
        """A request sent at `sent_at` failed at `now`. Whether the endpoint is paused for it."""
        if error.overloaded and self.limit.record_overload(sent_at, now) and now > self._log_overload_after:
            self._log_overload_after = now + LOG_SECONDS
            logger.info("%s: %s; in flight now %d", self.url, error.reason, int(self.limit.limit))
        if error.unreachable and self.health.alive:
            logger.warning("%s does not answer (%s); it is tried again later", self.url, error.reason)
        return self.health.record_failure(error, now, policy)

    # --- asking

    def body(self, request: ChatRequest, *, max_chars: int | None = None, word: str = "") -> dict[str, Any]:
        """`request` in this server's form; `max_chars`, `word`: see `regex_of`."""
        way = self.structure or "none"
        note = form_of_answer(request.wanted, json=way == "json_schema")
        names = [f"region{number}" for number in request.wanted]
        return {
            "model": self.model,
            "messages": messages_of(request.images, f"{request.text}\n\n{note}", request.system),
            self._tokens_name: self.sampling.max_tokens,
            **self.sampling.body(request.temperature_offset),
            **structured(way, regex_of(request.wanted, max_chars or self.max_caption_chars, word), names),
        }

    async def send(self, request: ChatRequest) -> ChatResponse:
        """The answer to `request`. Raises TryAgain, Refused, or CaptionerError when no request can succeed."""
        # Serialized here, though it takes 0.1 ms: handing it to a thread takes longer.
        response = await self.post(orjson.dumps(self.body(request)))
        return replace(response, structured=self.structure in STRUCTURES)

    async def post(self, body: bytes) -> ChatResponse:
        """The answer to a request that is JSON already. Raises as `send` does."""
        response = await self.http.post(f"{self.url}/chat/completions", body, self.timeout)
        if response.status != 200:
            renamed = self._renamed(response, body)
            if renamed is not None:
                return await self.post(renamed)
            raise self._error(response)
        try:
            return read_response(response.content)
        except ValueError:
            begin = outside_text(response.text, self.http.secrets, max_chars=80)
            raise TryAgain(f"the answer is no chat completion: {begin!r}") from None

    def _renamed(self, response: HttpResponse, body: bytes) -> bytes | None:
        """The request with the newer name of `max_tokens`, if that is what the server misses."""
        if response.status != 400 or "max_completion_tokens" not in response.text:
            return None
        fields = orjson.loads(body)
        if "max_tokens" not in fields:
            return None
        self._tokens_name = "max_completion_tokens"
        most = fields.pop("max_tokens")
        return orjson.dumps({**fields, self._tokens_name: most})

    def _error(self, response: HttpResponse) -> Exception:
        return classify(response, url=self.url, model=self.model, secrets=self.http.secrets)

    # --- finding out

    async def resolve_base_url(self) -> list[str]:
        """The names of the models that the server lists; `url` gets its `/v1` if the user omitted it.

        Raises TryAgain when nothing answers, CaptionerError for a refused key.
        """
        for url in dict.fromkeys([self.url, self.url.removesuffix("/v1") + "/v1"]):
            response = await self._get(f"{url}/models")
            if response.status in KEY_STATUSES:
                raise self._error(response)
            if response.status == 200:
                self.url = url
                return model_names(response.content)
        return []

    async def _get(self, url: str) -> HttpResponse:
        return await self.http.get(url, min(self.timeout, LIST_SECONDS))

    async def queue(self) -> tuple[int, int] | None:
        """(running, waiting) requests as vLLM and its kin report them; None where the server does not."""
        try:
            response = await self._get(self.url.removesuffix("/v1") + "/metrics")
        except TryAgain:
            return None
        running = _gauge(response.text, "num_requests_running") if response.status == 200 else None
        waiting = _gauge(response.text, "num_requests_waiting") if response.status == 200 else None
        return None if running is None or waiting is None else (running, waiting)

    async def enforces(self, way: str, picture: bytes) -> bool:
        """Whether the server holds its model to a form in the way `way`: asked for a word that none says."""
        regex = f"{label(1)}: {PROBE_WORD}[a-z]{{1,8}}"
        body = {
            "model": self.model,
            "messages": messages_of([picture], "Describe the picture in a few words, as JSON."),
            self._tokens_name: PROBE_TOKENS,
            **structured(way, regex, [PROBE_WORD]),
        }
        try:
            response = await self.post(orjson.dumps(body))
        except Refused:
            return False
        if way == "json_schema":
            return f'"{PROBE_WORD}"' in response.text
        return re.fullmatch(regex, response.text) is not None


def _gauge(text: str, name: str) -> int | None:
    """The sum of a Prometheus gauge over its label sets."""
    values = re.findall(rf"^\w+:{name}(?:{{[^}}]*}})? ([0-9.e+-]+)$", text, re.MULTILINE)
    return round(sum(map(float, values))) if values else None
