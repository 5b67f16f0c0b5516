"""An OpenAI-compatible server without a model, for trying a deployment out and for tests.

It serves a fixed number of requests at once, each for a fixed time, as continuous batching roughly does; queues the
others; decodes the pictures that it gets, and answers with what identifies picture and region, so that a caption at
the wrong place can be told. It counts what it was asked (`GET /stats`) and makes mistakes on demand.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from regioncap.captioners.endpoint import PROBE_WORD

FAULTS = {
    "500": "an internal error",
    "429": "too many requests, with Retry-After",
    "503": "unavailable",
    "hang": "no answer until the client gives up",
    "cut": "the connection is closed in the middle of the answer",
    "truncated": "half of the JSON, as if it were all",
    "garbage": "a page of HTML with status 200",
    "missing": "one region is left out",
    "extra": "one region too many",
    "reordered": "the regions backwards",
    "length": "the answer ends at max_tokens",
    "refusal": "the model declines",
}
"""What it can do wrong, each with a share of the requests."""

LABEL = re.compile(r"<region(\d+)>: …")
PATCH = 28
"""Pixels a side of what becomes one visual token, in Qwen2.5-VL and others."""


@dataclass
class Stats:
    """What was asked. Times in seconds."""

    requests: int = 0
    answered: int = 0
    sent_again: int = 0
    sent_again_after_answer: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    running: int = 0
    waiting: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    seen: dict[str, bool] = field(default_factory=dict, repr=False)
    """Digest of each request, and whether it was answered."""
    first_at: float | None = None
    """When the first request came."""
    first_regions_at: float | None = None
    """When the first request came that asks for regions: before it come those that try the server out."""
    last_at: float = 0.0
    busy_seconds: float = 0.0
    """Added over slots, from `first_regions_at` on."""

    def public(self, slots: int) -> dict[str, Any]:
        """The numbers, for `GET /stats`. `busy_share`: of the slots, between the first request for regions and the
        last answer, which are `seconds` apart. `first_at`, `first_regions_at`: seconds since 1970."""
        span = self.last_at - self.first_regions_at if self.first_regions_at is not None else 0.0
        share = self.busy_seconds / (span * slots) if span > 0 else 0.0
        names = ("requests", "answered", "sent_again", "sent_again_after_answer", "peak_in_flight")
        return {
            **{name: getattr(self, name) for name in names},
            "distinct": len(self.seen),
            "faults": dict(self.faults),
            "first_at": self.first_at,
            "first_regions_at": self.first_regions_at,
            "seconds": round(span, 3),
            "busy_share": round(share, 4),
        }


@dataclass(frozen=True)
class Behaviour:
    """How the server acts. `latency`: seconds a request takes in a slot. `max_waiting`: more are told 429.
    `structure`: whether it keeps to `regex` and `json_schema`, to one of them, or to `none`. `max_model_len`: tokens
    of picture, prompt and answer, more are refused. `retry_after`: what a 429 asks for, seconds."""

    model: str = "fake-vlm"
    slots: int = 32
    latency: float = 0.8
    faults: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    structure: tuple[str, ...] = ("regex", "json_schema")
    max_model_len: int = 32_768
    max_waiting: int | None = None
    retry_after: float = 1.0
    key: str | None = None
    metrics: bool = True


@dataclass(frozen=True)
class Asked:
    """What a request wants: the digests of its pictures as the answer names them, region numbers, form."""

    pictures: tuple[str, ...]
    numbers: tuple[int, ...]
    regex: str | None
    schema: tuple[str, ...] | None
    tokens: int
    max_tokens: int


class BadRequest(ValueError):
    """The request is refused with status 400."""


def caption_of(pictures: tuple[str, ...], number: int) -> str:
    """What the server says of region `number` of the pictures with these digests."""
    return f"Region {number} of picture {'+'.join(pictures)}."


def digest_of(jpeg: bytes) -> str:
    """What identifies a picture in an answer: the first half of the sha256 of the file."""
    return hashlib.sha256(jpeg).hexdigest()[:32]


def understand(body: Mapping[str, Any]) -> Asked:
    """What a chat completion request wants. Raises BadRequest for one without a picture that can be decoded."""
    pictures, texts, tokens = [], [], 0
    for message in body.get("messages", []):
        content = message["content"]
        for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            if part["type"] == "text":
                texts.append(part["text"])
                continue
            head, _, data = part["image_url"]["url"].partition(",")
            if head != "data:image/jpeg;base64":
                raise BadRequest(f"expected a JPEG data URL, got {head[:60]!r}")
            jpeg = base64.b64decode(data)
            image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            if image is None:
                raise BadRequest("a picture cannot be decoded")
            tokens += -(-image.shape[0] // PATCH) * -(-image.shape[1] // PATCH)
            pictures.append(digest_of(jpeg))
    if not pictures:
        raise BadRequest("there is no picture in the request")
    text = "\n".join(texts)
    regex = (body.get("structured_outputs") or {}).get("regex")
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
    names = tuple(schema["properties"]) if schema else None
    numbers = LABEL.findall(text) or re.findall(r"\"region(\d+)\": \"…\"", text)
    most = body.get("max_tokens") or body.get("max_completion_tokens") or 16
    return Asked(tuple(pictures), tuple(map(int, numbers)), regex, names, tokens + len(text) // 4, int(most))


def answer(asked: Asked, structure: tuple[str, ...], fault: str = "") -> str:
    """The text of the answer; with `fault` one of those that change it."""
    told = [(number, caption_of(asked.pictures, number)) for number in asked.numbers]
    if fault == "missing" and told:
        told.pop(len(told) // 2)
    elif fault == "extra":
        number = max(asked.numbers, default=0) + 1
        told.append((number, caption_of(asked.pictures, number)))
    elif fault == "reordered":
        told.reverse()
    if fault == "refusal":
        return "I'm sorry, but I can't describe this picture."
    if asked.schema is not None and "json_schema" in structure:
        texts = {f"region{number}": text for number, text in told}
        names = texts if fault in ("missing", "extra", "reordered") else dict.fromkeys(asked.schema)
        return orjson.dumps({name: texts.get(name, "a word") for name in names}).decode()
    if asked.regex is not None and "regex" in structure and not fault:
        return _matching(asked.regex, dict(told))
    return "\n".join(f"<region{number}>: {text}" for number, text in told)


def _matching(regex: str, texts: Mapping[int, str]) -> str:
    """A text that matches `regex`, of the kind that RegionCap sends: a line for each region, its label first."""
    lines: list[str] = []
    for line in regex.split("\\n<"):
        prefix = ("<" if lines else "") + line.split("[")[0]
        number = re.match(r"<region(\d+)>: $", prefix)
        longest = re.search(r"\{0,(\d+)\}$", line)
        text = texts.get(int(number.group(1)), "") if number else "a"
        lines.append(prefix + (text[: int(longest.group(1)) + 1] if longest and number else text))
    matching = "\n".join(lines)
    if re.fullmatch(regex, matching) is None:
        raise BadRequest(f"cannot make a text that matches {regex!r}")
    return matching


class FakeServer:
    """The server's application and its counts. `behaviour` may be replaced while it runs."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.stats = Stats()
        self._random = random.Random(behaviour.seed)
        self._slots: asyncio.Semaphore | None = None
        self.app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/models", self._models),
                Route("/health", lambda request: Response()),
                Route("/metrics", self._metrics),
                Route("/stats", lambda request: JSONResponse(self.stats.public(self.behaviour.slots))),
            ]
        )

    async def _models(self, request: Request) -> Response:
        if not self._allowed(request):
            return _error(401, "Incorrect API key provided")
        model = {"id": self.behaviour.model, "object": "model", "max_model_len": self.behaviour.max_model_len}
        return JSONResponse({"object": "list", "data": [model]})

    async def _metrics(self, request: Request) -> Response:
        if not self.behaviour.metrics:
            return _error(404, "Not Found")
        stats = self.stats
        label = f'{{engine="0",model_name="{self.behaviour.model}"}}'
        return PlainTextResponse(
            f"vllm:num_requests_running{label} {stats.running}.0\nvllm:num_requests_waiting{label} {stats.waiting}.0\n"
        )

    def _allowed(self, request: Request) -> bool:
        key = self.behaviour.key
        return key is None or request.headers.get("authorization") == f"Bearer {key}"

    async def _chat(self, request: Request) -> Response:
        stats, behaviour = self.stats, self.behaviour
        try:
            raw = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)
        if not self._allowed(request):
            return _error(401, f"Incorrect API key provided: {request.headers.get('authorization', '')[7:]}")
        stats.first_at = time.time() if stats.first_at is None else stats.first_at
        stats.requests += 1
        digest = hashlib.sha256(raw).hexdigest()
        if digest in stats.seen:
            stats.sent_again += 1
            stats.sent_again_after_answer += stats.seen[digest]
        stats.seen.setdefault(digest, False)
        stats.in_flight += 1
        stats.peak_in_flight = max(stats.peak_in_flight, stats.in_flight)
        try:
            return await self._serve(request, raw, digest, behaviour)
        finally:
            stats.in_flight -= 1
            stats.last_at = time.time()

    async def _serve(self, request: Request, raw: bytes, digest: str, behaviour: Behaviour) -> Response:
        body = orjson.loads(raw)
        if body.get("model") != behaviour.model:
            return _error(404, f"The model `{body.get('model')}` does not exist.")
        try:
            asked = await asyncio.get_running_loop().run_in_executor(None, understand, body)
        except (BadRequest, KeyError, TypeError, ValueError) as error:
            return _error(400, str(error))
        if asked.tokens + asked.max_tokens > behaviour.max_model_len:
            return _error(
                400,
                f"This model's maximum context length is {behaviour.max_model_len} tokens. However, you requested "
                f"{asked.max_tokens} output tokens and your prompt contains {asked.tokens} input tokens.",
            )
        if asked.numbers and PROBE_WORD not in (asked.regex or "") and self.stats.first_regions_at is None:
            self.stats.first_regions_at = time.time()
        fault = self._fault()
        if fault == "500":
            return _error(500, "Internal Server Error: EngineCore encountered an issue")
        if fault in ("429", "503") or self._is_full(behaviour):
            self.stats.faults["429"] += fault == ""
            return _error(int(fault or "429"), "Too many requests", {"Retry-After": f"{behaviour.retry_after:g}"})
        if fault == "hang":
            while not await request.is_disconnected():
                await asyncio.sleep(0.05)
            return Response(status_code=499)
        await self._work(behaviour)
        return self._respond(asked, digest, fault, behaviour)

    def _is_full(self, behaviour: Behaviour) -> bool:
        return behaviour.max_waiting is not None and self.stats.waiting >= behaviour.max_waiting

    def _fault(self) -> str:
        drawn = self._random.random()
        for name, share in self.behaviour.faults.items():
            drawn -= share
            if drawn < 0:
                self.stats.faults[name] += 1
                return name
        return ""

    async def _work(self, behaviour: Behaviour) -> None:
        if self._slots is None:
            self._slots = asyncio.Semaphore(behaviour.slots)
        self.stats.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.stats.waiting -= 1
        begun = time.time()
        self.stats.running += 1
        try:
            await asyncio.sleep(behaviour.latency)
        finally:
            self.stats.running -= 1
            if self.stats.first_regions_at is not None:
                self.stats.busy_seconds += time.time() - max(begun, self.stats.first_regions_at)
            self._slots.release()

    def _respond(self, asked: Asked, digest: str, fault: str, behaviour: Behaviour) -> Response:
        if fault == "garbage":
            return Response("<html><body>502 Bad Gateway</body></html>", media_type="text/html")
        text = answer(asked, behaviour.structure, fault)
        if fault == "length":
            text = text[: max(1, 2 * len(text) // 3)]
        tokens = -(-len(text) // 4)
        content = orjson.dumps(
            {
                "id": f"fake-{digest[:12]}",
                "object": "chat.completion",
                "model": behaviour.model,
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": text},
                        "finish_reason": "length" if fault == "length" else "stop",
                    }
                ],
                "usage": {
                    "prompt_tokens": asked.tokens,
                    "completion_tokens": tokens,
                    "total_tokens": asked.tokens + tokens,
                },
            }
        )
        if fault == "truncated":
            return Response(content[: len(content) // 2], media_type="application/json")
        if fault == "cut":
            # A longer length than is sent: the server closes the connection before the answer is whole.
            return Response(content[: len(content) // 2], headers={"Content-Length": str(len(content))})
        self.stats.answered += 1
        self.stats.seen[digest] = True
        return Response(content, media_type="application/json")


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    body = {"error": {"message": message, "type": "error", "code": status}}
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))


class RunningServer:
    """A `FakeServer` on a port of this machine, in a thread; a context manager. `port` 0 takes a free one."""

    def __init__(self, behaviour: Behaviour, host: str = "127.0.0.1", port: int = 0) -> None:
        self.fake = FakeServer(behaviour)
        self._socket = socket.create_server((host, port), backlog=4096)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://{host}:{self.port}/v1"
        config = uvicorn.Config(self.fake.app, log_level="critical", access_log=False, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="fake-vlm", daemon=True)

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    @property
    def stats(self) -> dict[str, Any]:
        """What was asked up to now."""
        return self.fake.stats.public(self.fake.behaviour.slots)

    def __enter__(self) -> RunningServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End at once: open connections are closed."""
        self._server.should_exit = self._server.force_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def serve_forever(self) -> None:
        """Serve in this thread until Ctrl-C."""
        self._run()
