"""One OpenAI-compatible server: how it is asked, how it is held to its form, and what its errors mean."""

from __future__ import annotations

import asyncio
import base64
import email.utils
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import orjson

from tasks.captioners.limits import InFlightLimit
from tasks.captioners.prompts import form_of_answer, label
from tasks.config import RegionCapConfig
from tasks.errors import CaptionerError

STRUCTURES = ("regex", "guided_regex", "json_schema")
"""Ways to hold a server to a form, best first: vLLM's, vLLM's before 0.11, OpenAI's, which others have too."""

PROBE_WORD = "QZ7"
"""No model says this by itself: an answer with it shows that the server keeps to the form."""

RETRY_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
OVERLOAD_STATUSES = frozenset({429, 503, 529})


class TryAgain(Exception):
    """The request failed in a way that another try may cure.

    `overloaded`: the server has too much to do; `unreachable`: nothing answers there; `after`: seconds to wait.
    """

    def __init__(
        self, reason: str, *, overloaded: bool = False, unreachable: bool = False, after: float | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.overloaded = overloaded
        self.unreachable = unreachable
        self.after = after


class Refused(Exception):
    """The server understood and will not answer this request, however often it is asked."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Ask:
    """One request: `images` are JPEG files, at least one; `wanted` the region numbers; `warmer` is added to the
    temperature."""

    system: str
    text: str
    images: tuple[bytes, ...]
    wanted: tuple[int, ...]
    warmer: float = 0.0

    def __post_init__(self) -> None:
        if not self.images or not all(self.images):
            raise ValueError("a request without its picture")


@dataclass(frozen=True)
class Reply:
    """What a server said: `finish_reason` as it gives it, tokens as it counts them.

    `structured`: the server was held to the form that was asked for.
    """

    text: str
    finish_reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    refused: bool = False
    structured: bool = False

    @property
    def cut(self) -> bool:
        """Whether the answer ended at its limit."""
        return self.finish_reason == "length"


@dataclass(frozen=True)
class Response:
    """What came over the wire."""

    status: int
    content: bytes
    retry_after: str | None = None

    @property
    def text(self) -> str:
        """The content as text, whatever it is."""
        return self.content.decode("utf-8", "replace")


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn, as the config says; None leaves it to the server."""

    max_tokens: int
    temperature: float | None
    seed: int | None
    others: dict[str, float]

    @classmethod
    def of(cls, config: RegionCapConfig) -> Sampling:
        """The sampling of `config`."""
        temperature = None if config.temperature is None or config.temperature < 0 else config.temperature
        others = {name: getattr(config, name) for name in ("top_p", "top_k", "repetition_penalty")}
        given = {name: value for name, value in others.items() if value is not None}
        return cls(config.max_tokens, temperature, config.seed, given)

    def body(self, warmer: float) -> dict[str, Any]:
        """The request's fields, without `max_tokens`."""
        body: dict[str, Any] = dict(self.others)
        if self.temperature is not None:
            body["temperature"] = min(2.0, round(self.temperature + warmer, 2))
        if self.seed is not None:
            # Another draw when asked again, even at the same temperature.
            body["seed"] = self.seed + round(10 * warmer)
        return body


def regex_of(wanted: Sequence[int], longest: int | None, word: str = "") -> str:
    """What an answer must match: one line for each region, its label first; the first text begins with `word`.

    >>> regex_of([1, 2], None)
    '<region1>: [^<\\\\s][^<\\\\n]*\\\\n<region2>: [^<\\\\s][^<\\\\n]*'
    """
    repeat = "*" if longest is None else f"{{0,{longest - 1}}}"
    words = [word] + [""] * len(wanted)
    return "\\n".join(f"{label(n)}: {begin}[^<\\s][^<\\n]{repeat}" for n, begin in zip(wanted, words, strict=False))


def schema_of(names: Sequence[str]) -> dict[str, Any]:
    """`response_format` for an object with a text under each of `names`."""
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": list(names),
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "regions", "strict": True, "schema": schema}}


def structured(way: str, regex: str, names: Sequence[str]) -> dict[str, Any]:
    """The fields of a request that hold the server to a form, in one of `STRUCTURES`."""
    if way == "regex":
        return {"structured_outputs": {"regex": regex}}
    if way == "guided_regex":
        return {"guided_regex": regex}
    return {"response_format": schema_of(names)} if way == "json_schema" else {}


@dataclass
class Endpoint:
    """One server, with what is known of it. All its methods run on the session's event loop.

    `url`: base URL, to which `/chat/completions` is added. `structure`: one of `STRUCTURES` or `none`, None until it
    is found out. `paused_until`, `alive`, `failures`, `say_after`: kept by the
    session.
    """

    url: str
    model: str
    sampling: Sampling
    timeout: float
    limit: InFlightLimit
    client: aiohttp.ClientSession
    key: str | None = field(default=None, repr=False)
    structure: str | None = None
    longest: int | None = None
    alive: bool = True
    paused_until: float = 0.0
    failures: int = 0
    say_after: float = 0.0
    _tokens_name: str = "max_tokens"

    # --- asking

    def body(self, ask: Ask, *, longest: int | None = None, word: str = "") -> dict[str, Any]:
        """The request for `ask`, in this server's form; `longest`, `word`: see `regex_of`."""
        way = self.structure or "none"
        parts: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()}}
            for jpeg in ask.images
        ]
        note = form_of_answer(ask.wanted, json=way == "json_schema")
        parts.append({"type": "text", "text": f"{ask.text}\n\n{note}"})
        messages = [{"role": "system", "content": ask.system}] if ask.system else []
        messages.append({"role": "user", "content": parts})  # type: ignore[dict-item]
        names = [f"region{number}" for number in ask.wanted]
        return {
            "model": self.model,
            "messages": messages,
            self._tokens_name: self.sampling.max_tokens,
            **self.sampling.body(ask.warmer),
            **structured(way, regex_of(ask.wanted, longest or self.longest, word), names),
        }

    async def ask(self, ask: Ask) -> Reply:
        """The server's answer. Raises TryAgain, Refused, or CaptionerError when no request can succeed."""
        # Here, though it takes 0.1 ms: handing it to a thread takes longer.
        held = self.structure in STRUCTURES
        return replace(await self.post(orjson.dumps(self.body(ask))), structured=held)

    async def post(self, body: bytes) -> Reply:
        """The answer to a request that is JSON already. Raises as `ask` does."""
        try:
            response = await self._fetch("POST", f"{self.url}/chat/completions", self.timeout, body)
        except TimeoutError:
            raise TryAgain(f"no answer within request_timeout={self.timeout:g} s") from None
        except aiohttp.ClientConnectorError as error:
            raise TryAgain(f"cannot connect: {_words(error)}", unreachable=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise TryAgain(f"the connection broke: {_words(error)}") from None
        if response.status != 200:
            again = self._renamed(response, body)
            if again is not None:
                return await self.post(again)
            raise self._error(response)
        return _reply(response)

    async def _fetch(self, method: str, url: str, timeout: float, body: bytes | None = None) -> Response:
        async with (
            asyncio.timeout(timeout),
            self.client.request(method, url, data=body, headers=self._headers(), allow_redirects=False) as response,
        ):
            return Response(response.status, await response.read(), response.headers.get("Retry-After"))

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        return headers | {"Authorization": f"Bearer {self.key}"} if self.key else headers

    def _renamed(self, response: Response, body: bytes) -> bytes | None:
        """The request with the newer name of `max_tokens`, if that is what the server misses."""
        if response.status != 400 or self._tokens_name != "max_tokens":
            return None
        if "max_completion_tokens" not in response.text:
            return None
        self._tokens_name = "max_completion_tokens"
        fields = orjson.loads(body)
        return orjson.dumps({**fields, self._tokens_name: fields.pop("max_tokens")})

    def _error(self, response: Response) -> Exception:
        status, said = response.status, self.said(response)
        if status in (401, 403):
            return CaptionerError(
                f"{self.url} refused the key ({status}: {said}). Set REGIONCAP_API_KEY or OPENAI_API_KEY, or name a "
                "Prefect Secret block with api_key_block, and run the same command again."
            )
        if status == 404:
            return CaptionerError(
                f"{self.url} knows no model {self.model!r}, or no chat completions ({status}: {said}). Check --model "
                "and --endpoint (its base URL, mostly ending in /v1) and run the same command again."
            )
        if status == 429 and re.search(r"insufficient_quota|billing", response.text):
            return CaptionerError(f"{self.url}: the account has no money left ({said}). The same command goes on.")
        if status in RETRY_STATUSES or status >= 500:
            overloaded = status in OVERLOAD_STATUSES
            return TryAgain(f"{status}: {said}", overloaded=overloaded, after=_retry_after(response))
        return Refused(status, f"{status}: {said}")

    def said(self, response: Response) -> str:
        """The server's words about an error, short and without the key."""
        try:
            error = orjson.loads(response.content)
            error = error.get("error", error) if isinstance(error, dict) else error
            text = error.get("message") or error.get("detail") or error if isinstance(error, dict) else error
        except orjson.JSONDecodeError:
            text = response.text
        text = " ".join(str(text).split())
        if self.key:
            text = text.replace(self.key, "***")
        # Servers repeat a wrong key with some of its letters.
        text = re.sub(r"\b(sk|key)-[\w*-]{4,}", "***", text)
        return text if len(text) <= 300 else text[:297] + "…"

    # --- finding out

    async def find_base(self) -> list[str]:
        """The names of the models that the server lists; `url` gets its `/v1` if the user left it away.

        Raises TryAgain when nothing answers, CaptionerError for a refused key.
        """
        for url in dict.fromkeys([self.url, self.url.removesuffix("/v1") + "/v1"]):
            response = await self._get(f"{url}/models")
            if response.status in (401, 403):
                raise self._error(response)
            if response.status == 200:
                self.url = url
                return _model_names(response)
        return []

    async def _get(self, url: str) -> Response:
        try:
            return await self._fetch("GET", url, min(self.timeout, 10.0))
        except TimeoutError:
            raise TryAgain("no answer within 10 s", unreachable=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise TryAgain(f"cannot connect: {_words(error)}", unreachable=True) from None

    async def queue(self) -> tuple[int, int] | None:
        """(running, waiting) requests as vLLM and alike tell them; None where the server does not."""
        try:
            response = await self._get(self.url.removesuffix("/v1") + "/metrics")
        except TryAgain:
            return None
        running = _metric(response.text, "num_requests_running") if response.status == 200 else None
        waiting = _metric(response.text, "num_requests_waiting") if response.status == 200 else None
        return None if running is None or waiting is None else (running, waiting)

    async def keeps_to(self, way: str, picture: bytes) -> bool:
        """Whether the server holds its model to a form in the way `way`: asked for a word that none says."""
        regex = f"{label(1)}: {PROBE_WORD}[a-z]{{1,8}}"
        parts = [
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(picture).decode()}},
            {"type": "text", "text": "Describe the picture in a few words, as JSON."},
        ]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": parts}],
            self._tokens_name: 48,
            **structured(way, regex, [PROBE_WORD]),
        }
        try:
            reply = await self.post(orjson.dumps(body))
        except Refused:
            return False
        if way == "json_schema":
            return f'"{PROBE_WORD}"' in reply.text
        return re.fullmatch(regex, reply.text) is not None


def _words(error: Exception) -> str:
    """An error of the network in a few words: `Connection refused`."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno)
    return str(cause) or type(error).__name__


def _retry_after(response: Response) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or a date."""
    value = response.retry_after
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _reply(response: Response) -> Reply:
    """The answer in a response of status 200. Raises TryAgain when there is none in it."""
    try:
        data = orjson.loads(response.content)
        choice = data["choices"][0]
        message = choice["message"]
        usage = data.get("usage") or {}
        refusal = message.get("refusal")
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        reason = str(choice.get("finish_reason") or "")
        refused = bool(refusal) or reason == "content_filter"
        return Reply(
            str(refusal or content) if refused else str(content),
            reason,
            int(usage.get("prompt_tokens") or 0),
            int(usage.get("completion_tokens") or 0),
            refused,
        )
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError, ValueError):
        begin = " ".join(response.text[:80].split())
        raise TryAgain(f"the answer is no chat completion: {begin!r}") from None


def _model_names(response: Response) -> list[str]:
    try:
        return [str(model["id"]) for model in orjson.loads(response.content)["data"]]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []


def _metric(text: str, name: str) -> int | None:
    """The sum of a Prometheus gauge over its label sets."""
    values = re.findall(rf"^\w+:{name}(?:{{[^}}]*}})? ([0-9.e+-]+)$", text, re.MULTILINE)
    return round(sum(map(float, values))) if values else None
