"""Files of batch requests, and the real `openai` client that sends them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

import openai

from regioncap.captioners.chat import messages_of
from regioncap.captioners.fake_server import RunningServer
from tests.support.model_servers import jpeg_of

ENDPOINT: Final = "/v1/chat/completions"

Connect = Callable[..., openai.OpenAI]
"""`connect(server)`: a client that is closed with the test, a fixture."""


def body_of(seed: int) -> dict[str, Any]:
    """A request about two regions of picture `seed`."""
    text = "Describe:\n<region1>: …\n<region2>: …"
    return {"model": "fake-vlm", "messages": messages_of([jpeg_of(seed)], text), "max_tokens": 200}


def line_of(seed: int, **fields: Any) -> dict[str, Any]:
    """A line of an input file; its custom_id is `row-SEED`."""
    return {"custom_id": f"row-{seed}", "method": "POST", "url": ENDPOINT, "body": body_of(seed), **fields}


def jsonl_of(lines: Iterable[Any]) -> bytes:
    """The file with these lines; a text stands for itself."""
    return b"".join((line if isinstance(line, str) else json.dumps(line)).encode() + b"\n" for line in lines)


def client_of(server: RunningServer | str, retries: int = 0, key: str = "a key") -> openai.OpenAI:
    """The real client, of a server or URL. `retries`: how often it tries a failed call again by itself."""
    url = server if isinstance(server, str) else server.url
    return openai.OpenAI(base_url=url, api_key=key, max_retries=retries, timeout=60)


def upload(client: openai.OpenAI, lines: Iterable[Any], filename: str = "rows.jsonl") -> openai.types.FileObject:
    """Upload a file with these lines."""
    return client.files.create(file=(filename, jsonl_of(lines)), purpose="batch")


def create(client: openai.OpenAI, lines: Iterable[Any], **fields: Any) -> openai.types.Batch:
    """Upload and submit these lines."""
    file = upload(client, lines)
    return client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", **fields)


def reached(client: openai.OpenAI, batch: openai.types.Batch, *statuses: str) -> openai.types.Batch:
    """The batch when it has one of these statuses; when it is done if none is given."""
    while batch.status not in (statuses or ("completed", "failed", "expired", "cancelled")):
        batch = client.batches.retrieve(batch.id)
    return batch


def results_in(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of an output or error file; none if there is no such file."""
    if file_id is None:
        return []
    return [json.loads(line) for line in client.files.content(file_id).iter_lines()]
