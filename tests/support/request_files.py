"""Files of requests, and whoever answers them: a fake server that gets what is in the files, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.run.progress import Bill
from regioncap.tasks.request_files import caption_by_files
from tests.support.batches_of_runs import context_of
from tests.support.runs import config_of

FOLDER = "out.requests"
REQUESTS, RESULTS = ".requests.jsonl", ".results.jsonl"

Change = Callable[[list[dict[str, Any]]], Iterable[Any]]
"""What becomes of a file's results: a list of them, other texts for lines too."""


def file_settings(**more: Any) -> dict[str, Any]:
    """Of a run by files: it knows of no server."""
    return {"captioner": "auto", "model": "fake-vlm", "delivery": "file", "shard_size": 5, **more}


def captioned_by_files(folder: Path, **more: Any) -> Bill:
    """Go on with the rows of a folder's `photos.jsonl` by files, up to where their answers are in the cache, without
    Prefect; returns what that cost."""
    with context_of(config_of(folder, **file_settings(**more))) as context:
        caption_by_files(context)
        return context.progress.bill()


def request_files(folder: Path) -> list[Path]:
    """The files of requests in a run's folder."""
    return sorted((folder / FOLDER).glob(f"*{REQUESTS}"))


def requests_in(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of requests."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def results_beside(path: Path, name: str = "") -> Path:
    """Where the results of a request file go; `name`: in place of `.results.jsonl`."""
    return path.with_name(path.name.removesuffix(REQUESTS) + (name or RESULTS))


class Answerer:
    """Answers files as `vllm run-batch` does: all requests of a file, then all results are written.

    `asked`: how often each request was answered, by custom_id.
    """

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self.asked: dict[str, int] = {}

    def results(self, path: Path) -> list[dict[str, Any]]:
        """The results of a file's requests, in their order."""
        return [self._result(request) for request in requests_in(path)]

    def answer(self, path: Path, change: Change = lambda results: results, name: str = "") -> Path:
        """Put the results of a file beside it, changed."""
        there = results_beside(path, name)
        there.write_text("".join(_line(each) for each in change(self.results(path))))
        return there

    def answer_all(self, folder: Path, change: Change = lambda results: results) -> None:
        """Answer all files of a run that have no results yet."""
        for path in request_files(folder):
            if not results_beside(path).exists():
                self.answer(path, change)

    def _result(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["custom_id"]
        self.asked[name] = self.asked.get(name, 0) + 1
        given = httpx.post(f"{self._server.url}/chat/completions", json=request["body"], timeout=60)
        body = given.json()
        ok = given.status_code == 200
        return {
            "id": f"vllm-{name}", "custom_id": name,
            "response": {"status_code": given.status_code, "request_id": "vllm-batch-1", "body": body if ok else None},
            "error": None if ok else body,
        }  # fmt: skip


def _line(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(result) + "\n"


def failed(result: dict[str, Any], status: int, message: str = "too large") -> dict[str, Any]:
    """A result as vLLM has it for a request that it refused."""
    error = {"error": {"message": message, "type": "BadRequestError", "param": None, "code": status}}
    return {**result, "response": {"status_code": status, "request_id": "r", "body": None}, "error": error}


def answerers() -> Iterator[Answerer]:
    """One on a fake server that ends with the block."""
    with RunningServer(Behaviour(latency=0.0, slots=8)) as server:
        yield Answerer(server)
