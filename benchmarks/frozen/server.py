"""The server that the benchmarks meet: OpenAI's chat completions without a model, frozen (see SHA256SUMS).

    python server.py SLOTS SECONDS {regex,none}

Serves SLOTS requests at once, each for SECONDS, and queues the others; decodes the pictures it gets. Prints its base
URL, then serves until it is ended. With `regex` it holds answers to the regex of a request, as vLLM does, and reports
its queue at /metrics as vLLM does; with `none` it knows neither, as most hosted servers.

GET /stats: `requests`, `rows` (requests but those that only try the server out), `peak` in flight; in seconds since
1970 when the first request came (`first_at`), the first and the last for a row (`first_row_at`, `last_row_at`) and the
last answer went (`last_answer_at`); `busy`: share of the slots in use from the first request of all to the last answer.
GET /log: [picture, came, answered] of each row's request, in seconds since 1970; answered is null if it was not.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
import sys
import time
from typing import Any

import cv2
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

MODEL = "fake-vlm"
TRIAL = "QZ7"
"""In the forms of requests that try out whether a form is enforced."""

ASKED = re.compile(r"<region(\d+)>: …")


class Server:
    """The application, and what it was asked."""

    def __init__(self, slots: int, seconds: float, regex: bool) -> None:
        self.slots, self.seconds, self.regex = slots, seconds, regex
        self.free = asyncio.Semaphore(slots)
        self.requests = self.in_flight = self.peak = self.running = self.waiting = 0
        self.first_at: float | None = None
        self.last_answer_at = self.busy_seconds = 0.0
        self.log: list[list[Any]] = []
        self.app = Starlette(
            routes=[
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/models", lambda _: JSONResponse({"object": "list", "data": [{"id": MODEL}]})),
                Route("/metrics", self.metrics),
                Route("/stats", self.stats),
                Route("/log", lambda _: JSONResponse(self.log)),
            ]
        )

    async def metrics(self, request: Request) -> Response:
        """The queue, in vLLM's words."""
        if not self.regex:
            return Response(status_code=404)
        label = f'{{model_name="{MODEL}"}}'
        lines = f"vllm:num_requests_running{label} {self.running}\nvllm:num_requests_waiting{label} {self.waiting}\n"
        return PlainTextResponse(lines)

    async def stats(self, request: Request) -> Response:
        """See the module's text."""
        span = self.last_answer_at - (self.first_at or 0.0)
        return JSONResponse(
            {
                "requests": self.requests,
                "rows": len(self.log),
                "peak": self.peak,
                "first_at": self.first_at,
                "first_row_at": min((came for _, came, _ in self.log), default=None),
                "last_row_at": max((came for _, came, _ in self.log), default=None),
                "last_answer_at": self.last_answer_at,
                "busy": self.busy_seconds / (span * self.slots) if span > 0 else 0.0,
            }
        )

    async def chat(self, request: Request) -> Response:
        """One chat completion."""
        came = time.time()
        self.first_at = came if self.first_at is None else self.first_at
        try:
            body = json.loads(await request.body())
        except ClientDisconnect:
            return Response(status_code=400)
        pictures, text = read(body)
        numbers = ASKED.findall(text)
        entry = ["+".join(pictures), came, None]
        forms = {name: value for name, value in body.items() if name != "messages"}  # base64 holds any three letters
        if numbers and TRIAL not in str(forms):
            self.log.append(entry)
        self.requests += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await self.work()
        finally:
            self.in_flight -= 1
        self.last_answer_at = entry[2] = time.time()
        return JSONResponse(completion(self.answer(body, pictures, numbers)))

    async def work(self) -> None:
        """Wait for a slot, and for `seconds` in it."""
        self.waiting += 1
        try:
            await self.free.acquire()
        finally:
            self.waiting -= 1
        begun = time.time()
        self.running += 1
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.running -= 1
            self.busy_seconds += time.time() - begun
            self.free.release()

    def answer(self, body: dict[str, Any], pictures: list[str], numbers: list[str]) -> str:
        """A line for each region, which names region and picture."""
        texts = {number: f"A cat with {number} bells in photo {'+'.join(pictures)}." for number in numbers}
        plain = "\n".join(f"<region{number}>: {text}" for number, text in texts.items())
        regex = body.get("structured_outputs", {}).get("regex") if self.regex else None
        return matching(regex, texts) or plain if regex else plain or "A cat."


def read(body: dict[str, Any]) -> tuple[list[str], str]:
    """(digests of the pictures, all text) of a request; the pictures are decoded, as a model's server does."""
    pictures, texts = [], []
    for message in body["messages"]:
        content = message["content"]
        for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            if part["type"] == "text":
                texts.append(part["text"])
                continue
            data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
            assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None
            pictures.append(hashlib.sha256(data).hexdigest()[:32])
    return pictures, "\n".join(texts)


def matching(regex: str, texts: dict[str, str]) -> str:
    """A text that matches a regex of labelled lines; "" for a regex of another kind."""
    lines: list[str] = []
    for line in regex.split("\\n<"):
        prefix = ("<" if lines else "") + line.split("[")[0]
        number = re.match(r"<region(\d+)>: $", prefix)
        longest = re.search(r"\{\d+,(\d+)\}$", line)
        text = texts.get(number.group(1), "a") if number else "a"
        lines.append(prefix + (text[: int(longest.group(1)) + 1] if longest and number else text))
    found = "\n".join(lines)
    return found if re.fullmatch(regex, found) else ""


def completion(text: str) -> dict[str, Any]:
    """The body of a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": -(-len(text) // 4), "total_tokens": 1 - (-len(text) // 4)}
    return {"id": "fake", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage}


async def serve(slots: int, seconds: float, regex: bool) -> None:
    """Serve on a free port of this machine."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", flush=True)
    app = Server(slots, seconds, regex).app
    config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off")
    await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "regex"))
