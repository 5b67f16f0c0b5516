"""`regioncap fake-vlm`: personas and faults by name, and runs against it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap.captioners.fake_server import PERSONAS
from tests.support.commands import COMMAND, call, environment
from tests.support.rows import read_rows


@contextlib.contextmanager
def serving(folder: Path, *flags: str) -> Iterator[str]:
    """The URL of a `fake-vlm` with these flags, in a process of its own."""
    command = [*COMMAND, "fake-vlm", "--port", "0", "--latency", "0.01", *flags]
    server = subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        yield server.stderr.readline().split()[2].rstrip(";")
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)


def test_it_lists_its_personas(capsys: pytest.CaptureFixture[str]) -> None:
    listed = call(capsys, "fake-vlm", "--personas")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == list(PERSONAS)
    assert all(persona.imitates in listed.out for persona in PERSONAS.values())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--persona", "nobody"], "'nobody' is not one of"),
        (["--fault", "fire=0.1"], "expected NAME=SHARE with one of 500, 429"),
        (["--fault", "500=2"], "0 to 1"),
        (["--fault", "credits_after=-1"], "or NAME=NUMBER with one of credits_after, loading"),
    ],
)
def test_a_wrong_name_or_number_is_refused(capsys: pytest.CaptureFixture[str], flags: list[str], words: str) -> None:
    ended = call(capsys, "fake-vlm", *flags)
    assert ended.code == 2
    assert words in ended.err


RUNS: dict[str, tuple[list[str], list[str]]] = {
    "azure": (
        ["--persona", "azure", "--key", "0123456789abcdef"],
        ["--request-query", "api-version=2024-10-21", "--request-headers", "api-key: env:AZURE_KEY"],
    ),
    "openai-reasoning": (["--persona", "openai-reasoning"], ["--temperature", "-1"]),
    "vllm-thinking": (["--persona", "vllm-thinking", "--fault", "think_cut=0.2"], ["--max-repairs", "5"]),
}


@pytest.mark.parametrize("case", RUNS)
def test_a_run_against_a_persona(
    here: Path, prefect_server: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setenv("AZURE_KEY", "0123456789abcdef")
    server_flags, flags = RUNS[case]
    with serving(here, *server_flags) as url:
        done = call(capsys, "run", "photos.jsonl", "--endpoint", url, "--model", "fake-vlm", "--max-boxes", "3",
                    "--max-pixels", "40000", "--output", "out.jsonl", *flags)  # fmt: skip
    assert done.code == 0, done.err
    rows = read_rows(here / "out.jsonl")
    assert len(rows) == 6
    for row in rows:
        picture = Path(row["meta_info"]["image_with_bbox"]).stem[:32]
        captions = [f"A cat with {n} bells in photo {picture}." for n in range(1, len(row["mdvp_record"]) + 1)]
        assert row["mdvp_record"] == [f"<region{n}> {text}" for n, text in enumerate(captions, 1)]
    assert "0123456789abcdef" not in done.out + done.err
