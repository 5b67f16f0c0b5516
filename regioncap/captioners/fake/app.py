"""The fake server's HTTP interface: an ASGI application."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from regioncap.captioners.fake.answers import Answers
from regioncap.captioners.fake.batch_lines import LineAnswers
from regioncap.captioners.fake.batch_routes import BatchRoutes
from regioncap.captioners.fake.batch_work import BatchWork
from regioncap.captioners.fake.behaviour import Behaviour
from regioncap.captioners.fake.boxes import asks_for_boxes
from regioncap.captioners.fake.errors import ScriptedResponse
from regioncap.captioners.fake.faults import BROKEN_OFF, STATUSES
from regioncap.captioners.fake.files import FileStore
from regioncap.captioners.fake.metrics import metrics_of
from regioncap.captioners.fake.model import BadRequest, ParsedRequest
from regioncap.captioners.fake.stats import Stats
from regioncap.captioners.structure import PROBE_WORD

UNSEEN = frozenset({"garbage", "truncated", "cut", "endless"})
"""Faults after which the client cannot read what the answer cost."""


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
        self._answers = Answers(behaviour.seed, self.stats)
        self._files = FileStore()
        self._slots: asyncio.Semaphore | None = None
        lines = LineAnswers(self._answers, self.stats)
        work = BatchWork(lambda: self.behaviour, self.stats, self._files, lines)
        self.batches = BatchRoutes(lambda: self.behaviour, self.stats, self._files, work, self._allowed, _response)
        self.app = Starlette(
            routes=[
                Route(f"{behaviour.prefix}/chat/completions", self._chat, methods=["POST"]),
                Route(f"{behaviour.prefix}/models", self._models),
                *(self.batches.routes(behaviour.prefix) if behaviour.persona.batches else ()),
                Route("/health", lambda request: Response()),
                Route("/metrics", self._metrics),
                Route("/stats", lambda request: JSONResponse(self.stats.public(self.behaviour.slots))),
                Route("/{path:path}", self._unknown, methods=["GET", "POST"]),
            ]
        )

    def close(self) -> None:
        """Delete the files that it was sent."""
        self._files.close()

    # --- what a server says of itself

    async def _models(self, request: Request) -> Response:
        behaviour = self.behaviour
        if not self._allowed(request):
            return self._error("key", value="")
        if not behaviour.persona.lists:
            return await self._unknown(request)
        if behaviour.persona.list_refused:
            return self._error("forbidden")
        name = behaviour.persona.lists.format(model=behaviour.model)
        model = {"id": name, "object": "model", "max_model_len": behaviour.max_model_len}
        return JSONResponse({"object": "list", "data": [model]})

    async def _metrics(self, request: Request) -> Response:
        behaviour = self.behaviour
        if not (behaviour.metrics and behaviour.persona.metrics):
            return await self._unknown(request)
        return PlainTextResponse(metrics_of(behaviour.persona.metrics, behaviour.model, self.stats))

    async def _unknown(self, request: Request) -> Response:
        return self._error("path", path=f"{request.method} {request.url.path}")

    def _allowed(self, request: Request) -> bool:
        key, header = self.behaviour.key, self.behaviour.persona.auth
        given = request.headers.get(header)
        return key is None or given == (f"Bearer {key}" if header == "Authorization" else key)

    # --- chat

    async def _chat(self, request: Request) -> Response:
        try:
            raw = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)
        persona = self.behaviour.persona
        if persona.max_body is not None and len(raw) > persona.max_body:
            return self._error("body")
        if any(name not in request.query_params for name in persona.query):
            return await self._unknown(request)
        if not self._allowed(request):
            return self._error("key", value=request.headers.get("authorization", "")[7:])
        digest = hashlib.sha256(raw).hexdigest()
        self.stats.record_request(digest)
        try:
            return await self._serve(request, orjson.loads(raw), digest, self.behaviour)
        except (BadRequest, KeyError, TypeError, ValueError) as error:
            if isinstance(error, BadRequest):
                return self._error(error.kind, **error.values)
            return self._error("request", detail=str(error))
        finally:
            self.stats.in_flight -= 1
            self.stats.last_at = time.time()

    async def _serve(self, request: Request, body: dict[str, Any], digest: str, behaviour: Behaviour) -> Response:
        if self.recorded is not None:
            self.recorded.append(body)
        if await self._loads(behaviour):
            return self._error("loading")
        parsed = await self._answers.parsed(body, digest, behaviour)
        if asks_for_boxes(parsed):
            self.stats.record_boxes()
        elif not parsed.numbers or PROBE_WORD in str(parsed.forms):
            self.stats.trials.add(digest)
        else:
            self.stats.record_regions()
        fault = self._answers.fault(parsed, behaviour)
        failure = await self._fail(request, fault, behaviour)
        if failure is not None:
            return failure
        await self._work(behaviour)
        scripted = behaviour.script(body) if behaviour.script is not None else None
        if scripted is not None:
            return _response(scripted)
        return await self._respond(request, parsed, digest, fault)

    async def _loads(self, behaviour: Behaviour) -> bool:
        """Whether the model is not loaded yet. Waits for it if the persona does."""
        left = (self.stats.first_at or 0.0) + behaviour.loading - time.time()
        if left <= 0 or not behaviour.persona.waits_to_load:
            return left > 0
        await asyncio.sleep(left)
        return False

    async def _fail(self, request: Request, fault: str, behaviour: Behaviour) -> Response | None:
        """The response of a fault before the model is asked; None when it is to be asked."""
        if fault in STATUSES:
            return self._error(fault)
        if behaviour.max_waiting is not None and self.stats.waiting >= behaviour.max_waiting:
            self.stats.faults["429"] += 1
            return self._error("429")
        if fault == "hang":
            while not await request.is_disconnected():
                await asyncio.sleep(0.05)
            return Response(status_code=499)
        return None

    async def _work(self, behaviour: Behaviour) -> None:
        """Wait for a slot, and for `latency` in it; whether the client still waits or not, as servers mostly do."""
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
            if behaviour.beat:
                await asyncio.sleep(-time.monotonic() % behaviour.beat)
        finally:
            self.stats.running -= 1
            if self.stats.first_regions_at is not None:
                self.stats.busy_seconds += time.time() - max(begun, self.stats.first_regions_at)
            self._slots.release()

    async def _respond(self, request: Request, parsed: ParsedRequest, digest: str, fault: str) -> Response:
        behaviour = self.behaviour
        reply = self._answers.reply(parsed, digest, fault, behaviour)
        seen = fault not in UNSEEN and not await request.is_disconnected()
        self.stats.record_cost(digest, parsed.tokens, reply.completion_tokens, seen=seen)
        content = behaviour.persona.padding.encode() + orjson.dumps(reply.body)
        response = _spoilt(request, content, fault)
        if response is None:
            response = Response(content, media_type="application/json")
            if fault not in BROKEN_OFF:
                self.stats.record_answer(digest, seen=seen)
        for callback in self.on_answer:
            callback(self.stats.answered)
        return response

    def _error(self, kind: str, **values: object) -> Response:
        return _response(self.behaviour.error(kind, **values))


def _spoilt(request: Request, content: bytes, fault: str) -> Response | None:
    """An answer that does not arrive as it was made; None for one that does."""
    if fault == "garbage":
        return Response("<html><body>502 Bad Gateway</body></html>", media_type="text/html")
    if fault == "truncated":
        return Response(content[: len(content) // 2], media_type="application/json")
    if fault == "cut":
        # A longer length than is sent: the server closes the connection before the answer is whole.
        return Response(content[: len(content) // 2], headers={"Content-Length": str(len(content))})
    endless = fault == "endless"
    return StreamingResponse(_endless(request, content), media_type="application/json") if endless else None


async def _endless(request: Request, content: bytes) -> AsyncIterator[bytes]:
    yield content[: len(content) // 2]
    while not await request.is_disconnected():
        yield b" " * 65_536


def _response(scripted: ScriptedResponse) -> Response:
    if isinstance(scripted.body, str):
        return Response(scripted.body, scripted.status, dict(scripted.headers))
    return JSONResponse(scripted.body, scripted.status, dict(scripted.headers))
