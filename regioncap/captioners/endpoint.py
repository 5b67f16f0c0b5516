"""One OpenAI-compatible server: how it is asked, and what is known of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from regioncap.captioners.chat import ChatRequest, ChatResponse, Ending, Sampling, messages_of
from regioncap.captioners.dialect import Dialect
from regioncap.captioners.health import EndpointHealth, RetryPolicy
from regioncap.captioners.limits import InFlightLimit
from regioncap.captioners.model_list import details_of, models_in
from regioncap.captioners.phrasing import Phrasing
from regioncap.captioners.server_errors import (
    RESUMES,
    EndpointFailed,
    HttpResponse,
    Refused,
    TryAgain,
    classify,
    endpoint_failed,
    error_status,
)
from regioncap.captioners.structure import PROBE_REGEX, PROBE_WORD, structured
from regioncap.captioners.transport import Transport
from regioncap.masking import outside_text
from regioncap.records import dumps

SLOW_SHARE = 0.5
"""Share of `request_timeout` from which an answer is slow: no more are sent at once then."""

LIST_SECONDS = 10.0
"""For a server to answer about itself."""

LOG_SECONDS = 60.0
"""Between two messages about an overload."""

PROBE_TOKENS = 48

AZURE_PATH = "/openai/deployments/"
"""Of Azure's older URLs, one for each deployment of a model."""

logger = logging.getLogger("regioncap")


@dataclass(frozen=True)
class Sent:
    """When a request was sent (seconds), and how many others the endpoint had answered by then."""

    at: float
    answered_before: int


@dataclass
class Endpoint:
    """One server, with what is known of it. All its methods run on the session's event loop.

    `url`: base URL, to which `/chat/completions` is added. `timeout`: seconds for a whole request. `structure`: one of
    `STRUCTURES` or `none`, None until it is found out. `remembered`: what is known of the server was found out by an
    earlier run. `listed`: what its list tells of the model. `given_url`: as it is set, under which it is remembered; ""
    for one that is another server in every run. `request_body`: further fields of every request.
    `max_caption_chars`: what the structure allows for a caption.
    `revive`: called when nothing answers; may restart the server, and raises CaptionerError when it is gone for good.
    `accepted_words`: of `finish_reason`, in lower case, that the user takes for a complete answer's. `answered`: number
    of requests. `on_resend`: called when a request is sent once more, in the form that the server takes.
    """

    url: str
    model: str
    sampling: Sampling
    timeout: float
    limit: InFlightLimit
    http: Transport
    request_body: Mapping[str, Any] = field(default_factory=dict)
    structure: str | None = None
    remembered: bool = False
    given_url: str = ""
    listed: Mapping[str, str] = field(default_factory=dict)
    max_caption_chars: int | None = None
    revive: Callable[[], None] | None = None
    health: EndpointHealth = field(default_factory=EndpointHealth)
    dialect: Dialect = field(default_factory=Dialect)
    accepted_words: frozenset[str] = frozenset()
    answered: int = 0
    on_resend: Callable[[], object] = lambda: None
    _log_failure_after: float = 0.0

    # --- outcomes of requests

    def record_success(self, sent_at: float, now: float) -> None:
        """A request sent at `sent_at` was answered at time `now`."""
        self.answered += 1
        if self.health.record_success(sent_at):
            logger.info("%s answers again", self.url)
        self.limit.record_success(now, slow=now - sent_at > SLOW_SHARE * self.timeout)

    def record_failure(self, error: TryAgain, sent: Sent, now: float, policy: RetryPolicy) -> bool:
        """A request failed at `now`. Whether the endpoint is paused for it."""
        narrower = False
        if error.timed_out:
            narrower = self.limit.record_timeout(sent.at, now, self.answered - sent.answered_before)
        elif error.overloaded:
            narrower = self.limit.record_overload(sent.at, now)
        paused = self.health.record_failure(error, sent.at, now, policy)
        if (narrower or paused) and now > self._log_failure_after:
            self._log_failure_after = now + LOG_SECONDS
            pause = f"; nothing is sent for {self.health.paused_until - now:.0f} s" if paused else ""
            logger.warning("%s: %s%s; in flight now %d", self.url, error.reason, pause, int(self.limit.limit))
        return paused

    # --- asking

    def body(
        self, request: ChatRequest, *, form: str | None = None, max_chars: int | None = None, word: str = ""
    ) -> dict[str, Any]:
        """`request` as this server takes it. `form`: what the answer is held to, None for what was found out;
        `max_chars`: see `regex_of`; `word`: the answer must begin with it, as a text or as a name."""
        body = self._phrasing(form or self.form).body(request, max_chars=max_chars, word=word)
        return self.dialect.apply(body)

    @property
    def form(self) -> str:
        """What answers are held to, as far as it is known now: one of `STRUCTURES`, or `none`."""
        return self.structure or "none"

    async def send(self, request: ChatRequest) -> ChatResponse:
        """The answer to `request`, whatever it is worth: see `check`. Raises TryAgain, Refused, EndpointFailed."""
        form = "none" if request.free else self.form  # it may be another one when the answer comes
        return await self.ask(self.body(request, form=form), form)

    async def ask(self, body: dict[str, Any], form: str = "none") -> ChatResponse:
        """The answer to a request with these fields, which is held to `form`. Raises as `send` does."""
        # Serialized here, though it takes 0.1 ms: handing it to a thread takes longer.
        content = orjson.dumps(body)
        del body  # with the picture in it, which hundreds of requests in flight would each hold twice
        response = await self.http.post(f"{self.url}/chat/completions", content, self.timeout)
        if not 200 <= response.status < 300:  # some answer with 201
            sent = orjson.loads(content)
            if self.dialect.learn(response.status, response.text, sent):
                self.on_resend()
                return await self.ask(self.dialect.apply(sent), form)
            raise self._error(response)
        try:
            return self.read(response.content, form)
        except ValueError:
            begin = outside_text(response.text, self.http.secrets, max_chars=80)
            problem = "comes only as a stream" if response.content.lstrip()[:5] == b"data:" else "is no chat completion"
            raise TryAgain(f"the answer {problem}: {begin!r}", senseless=True) from None

    def read(self, content: bytes, form: str) -> ChatResponse:
        """The answer in a body, which was held to `form`. Raises ValueError when there is neither one nor an error."""
        return self._phrasing(form).read(content, form)

    def _phrasing(self, form: str) -> Phrasing:
        return Phrasing(
            self.model, self.sampling, form, self.max_caption_chars, self.request_body, self.accepted_words,
            self.http.secrets,
        )  # fmt: skip

    def check(self, answer: ChatResponse) -> None:
        """Raises what an answer stands for that the server did not finish: TryAgain, Refused or EndpointFailed."""
        if answer.error is not None:
            raise self._error(HttpResponse(error_status(answer.error), dumps(answer.error)))
        if answer.ending is Ending.FAILED:
            raise TryAgain(f"the server aborted its answer (finish_reason {answer.word[:40]!r})")

    def _error(self, response: HttpResponse) -> Exception:
        if response.status == 404 and AZURE_PATH in self.url and not self.http.sends("api-version"):
            return EndpointFailed(
                f"{self.url}: not found (404). Azure's addresses need the API version: set "
                f"--request-query api-version=2024-10-21. {RESUMES}"
            )
        return classify(response, url=self.url, model=self.model, secrets=self.http.secrets)

    def failed(self, refused: Refused) -> EndpointFailed:
        """The error of this endpoint, which refuses every request as it refused one."""
        return endpoint_failed(refused.status, refused.reason, url=self.url, model=self.model)

    # --- finding out

    async def resolve_base_url(self) -> list[str]:
        """The names of the models that the server lists; `url` gets its `/v1` if the user omitted it.

        A list that is missing, forbidden or does not come tells nothing about chat. Raises TryAgain when no connection
        can be made.
        """
        candidates = dict.fromkeys([self.url, self.url.removesuffix("/v1") + "/v1"])
        there: list[str] = []
        for url in candidates:
            try:
                response = await self._get(f"{url}/models")
            except TryAgain as error:
                if error.unreachable:
                    raise
                there.append(url)
                continue
            models = models_in(response.content) if response.status == 200 else None
            if models is not None:
                self.url, self.listed = url, details_of(self.model, models)
                return [model["id"] for model in models]
            # Some answer every path that they do not know with 200 (LM Studio: an error, others: their web page).
            if response.status not in (200, 404):
                there.append(url)
        self.url = next(iter(there), self.url)
        return []

    async def is_there(self) -> bool:
        """Whether anything answers at the endpoint."""
        try:
            await self._get(f"{self.url}/models")
        except TryAgain:
            return False
        return True

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

    def form_question(self, way: str, question: ChatRequest) -> dict[str, Any]:
        """A request that shows whether the server holds its model to a form in the way `way`: see `holds_to_form`."""
        return self.dialect.apply(
            {
                "model": self.model,
                "messages": messages_of(question.images, question.text),
                "max_tokens": PROBE_TOKENS,
                **structured(way, PROBE_REGEX, [PROBE_WORD]),
                **self.request_body,
            }
        )


def _gauge(text: str, name: str) -> int | None:
    """The sum of a Prometheus gauge over its label sets."""
    values = re.findall(rf"^\w+:{name}(?:{{[^}}]*}})? ([0-9.e+-]+)$", text, re.MULTILINE)
    return round(sum(map(float, values))) if values else None
