"""Large files go through the fake server in pieces: its memory does not grow with them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import psutil
import pytest

from tests.support.batches import ENDPOINT, client_of, create, line_of, reached

SERVER = """
from regioncap.captioners.fake_server import Behaviour, RunningServer
server = RunningServer(Behaviour())
print(server.url, flush=True)
server.serve_forever()
"""
LINES, LINE = 96, 1_000_000
"""How many lines the file has, and how many bytes each has about."""


@contextlib.contextmanager
def serving() -> Iterator[tuple[psutil.Process, openai.OpenAI]]:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            with client_of(server.stdout.readline().strip()) as client:
                yield psutil.Process(server.pid), client
        finally:
            server.terminate()


def peak_of(process: psutil.Process) -> int:
    """The most memory that the process has had, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in status if line.startswith("VmHWM")))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of another process is read there")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with path.open("w") as out:
        for number in range(LINES):
            line = line_of(1, custom_id=f"row-{number}")
            line["body"]["padding"] = "x" * LINE
            out.write(json.dumps(line) + "\n")
    with serving() as (process, client):
        reached(client, create(client, map(line_of, range(4))))  # What it needs anyway.
        before = peak_of(process)
        with path.open("rb") as source:
            file = client.files.create(file=source, purpose="batch")
        assert file.bytes == path.stat().st_size
        batch = client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
        batch = reached(client, batch)
        assert (batch.request_counts and batch.request_counts.completed) == LINES
        assert peak_of(process) - before < LINES * LINE / 3
