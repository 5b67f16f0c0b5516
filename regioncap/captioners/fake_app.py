"""The fake server's HTTP interface: an ASGI application."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from regioncap.captioners.fake_behaviour import Behaviour, Stats, draw_fault
from regioncap.captioners.fake_model import BadRequest, ParsedRequest, answer, parse_request
from regioncap.captioners.structure import PROBE_WORD


class FakeApp:
    """The server's application and its counts. `behaviour` may be replaced while it runs.

    `recorded`: where the body of each request is added; None to keep none, as they hold whole pictures. `on_answer`:
    each is called with the number of answers after every one.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.stats = Stats()
        self.recorded: list[dict[str, Any]] | None = None
        self.on_answer: list[Callable[[int], None]] = []
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
        try:
            raw = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)
        if not self._allowed(request):
            return _error(401, f"Incorrect API key provided: {request.headers.get('authorization', '')[7:]}")
        digest = hashlib.sha256(raw).hexdigest()
        self.stats.record_request(digest)
        try:
            return await self._serve(request, orjson.loads(raw), digest, self.behaviour)
        finally:
            self.stats.in_flight -= 1
            self.stats.last_at = time.time()

    async def _serve(self, request: Request, body: dict[str, Any], digest: str, behaviour: Behaviour) -> Response:
        if self.recorded is not None:
            self.recorded.append(body)
        if body.get("model") != behaviour.model:
            return _error(404, f"The model `{body.get('model')}` does not exist.")
        try:
            parsed = await asyncio.get_running_loop().run_in_executor(None, parse_request, body)
        except (BadRequest, KeyError, TypeError, ValueError) as error:
            return _error(400, str(error))
        if parsed.tokens + parsed.max_tokens > behaviour.max_model_len:
            return _error(
                400,
                f"This model's maximum context length is {behaviour.max_model_len} tokens. However, you requested "
                f"{parsed.max_tokens} output tokens and your prompt contains {parsed.tokens} input tokens.",
            )
        if parsed.numbers and PROBE_WORD not in (parsed.regex or "") and self.stats.first_regions_at is None:
            self.stats.first_regions_at = time.time()
        fault = self._fault()
        failure = await self._fail(request, fault, behaviour)
        if failure is not None:
            return failure
        await self._work(behaviour)
        scripted = behaviour.script(body) if behaviour.script is not None else None
        if scripted is not None:
            return JSONResponse(scripted.body, scripted.status, dict(scripted.headers))
        response = self._respond(parsed, digest, fault, behaviour)
        for callback in self.on_answer:
            callback(self.stats.answered)
        return response

    def _fault(self) -> str:
        fault = draw_fault(self.behaviour.faults, self._random.random())
        if fault:
            self.stats.faults[fault] += 1
        return fault

    async def _fail(self, request: Request, fault: str, behaviour: Behaviour) -> Response | None:
        """The response of a fault before the model is asked; None when it is to be asked."""
        if fault == "500":
            return _error(500, "Internal Server Error: EngineCore encountered an issue")
        full = behaviour.max_waiting is not None and self.stats.waiting >= behaviour.max_waiting
        if fault in ("429", "503") or full:
            self.stats.faults["429"] += fault == ""
            return _error(int(fault or "429"), "Too many requests", {"Retry-After": f"{behaviour.retry_after:g}"})
        if fault == "hang":
            while not await request.is_disconnected():
                await asyncio.sleep(0.05)
            return Response(status_code=499)
        return None

    async def _work(self, behaviour: Behaviour) -> None:
        """Wait for a slot, and for `latency` in it."""
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

    def _respond(self, parsed: ParsedRequest, digest: str, fault: str, behaviour: Behaviour) -> Response:
        if fault == "garbage":
            return Response("<html><body>502 Bad Gateway</body></html>", media_type="text/html")
        text = answer(parsed, behaviour.structure, fault, behaviour.caption)
        if fault == "length":
            text = text[: max(1, 2 * len(text) // 3)]
        reason = "length" if fault == "length" else "stop"
        content = orjson.dumps(completion(text, reason, parsed.tokens, id=f"fake-{digest[:12]}", model=behaviour.model))
        if fault == "truncated":
            return Response(content[: len(content) // 2], media_type="application/json")
        if fault == "cut":
            # A longer length than is sent: the server closes the connection before the answer is whole.
            return Response(content[: len(content) // 2], headers={"Content-Length": str(len(content))})
        self.stats.record_answer(digest)
        return Response(content, media_type="application/json")


def completion(text: str, finish_reason: str = "stop", prompt_tokens: int = 1, **fields: Any) -> dict[str, Any]:
    """The body of a chat completion; `fields` are added at its top."""
    tokens = -(-len(text) // 4)
    message = {"role": "assistant", "content": text}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": prompt_tokens + tokens,
        },
        **fields,
    }


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    body = {"error": {"message": message, "type": "error", "code": status}}
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))
