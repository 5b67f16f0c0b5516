"""`regioncap fake-vlm`: personas and faults by name, and runs against it."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from regioncap.captioners.fake_server import PERSONAS
from tests.support.batches import client_of, create, line_of, reached, results_in
from tests.support.commands import COMMAND, call, environment
from tests.support.rows import read_rows


@contextlib.contextmanager
def serving(folder: Path, *flags: str) -> Iterator[list[str]]:
    """The command that a `fake-vlm` with these flags, in a process of its own, suggests to run against it."""
    command = [*COMMAND, "fake-vlm", "--port", "0", "--latency", "0.01", *flags]
    server = subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        assert "serving on http://127.0.0.1:" in server.stderr.readline()
        yield shlex.split(server.stderr.readline())[1:]
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
        (["--boxes", "round"], "'round' is not one of"),
        (["--mix-up", "colour=0.1"], "--mix-up: expected NAME=SHARE with one of number, order, place"),
        (["--mix-up", "order=1.5"], "0 to 1"),
        (["--batch", "fire=1"], "--batch: expected NAME=VALUE with one of delay, list_delay, pending, 400"),
        (["--batch", "429=2"], "expected a number from 0 to 1, got '429=2'"),
        (["--batch", "delay=long"], "expected a number of at least 0"),
        (["--batch", "no_list=500"], "expected no_list=404 or no_list=405"),
        (["--batch", "create=late"], "expected a list with commas of ok, 429, 500"),
    ],
)
def test_a_wrong_name_or_number_is_refused(capsys: pytest.CaptureFixture[str], flags: list[str], words: str) -> None:
    ended = call(capsys, "fake-vlm", *flags)
    assert ended.code == 2
    assert words in ended.err


RUNS = {
    "azure": ["--key", "0123456789abcdef"],
    "openai-reasoning": [],
    "vllm-thinking": ["--fault", "think_cut=0.2"],
}
"""Flags of the server, by its persona."""


@pytest.mark.parametrize("name", RUNS)
def test_the_run_that_it_suggests_works(
    here: Path, prefect_server: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("AZURE_KEY", "0123456789abcdef")
    with serving(here, "--persona", name, *RUNS[name]) as command:
        done = call(capsys, *command, "--max-boxes", "3", "--max-pixels", "40000", "--output", "out.jsonl",
                    "--max-repairs", "5")  # fmt: skip
    assert done.code == 0, done.err
    rows = read_rows(here / "out.jsonl")
    assert len(rows) == 6
    for row in rows:
        picture = Path(row["meta_info"]["image_with_bbox"]).stem[:32]
        captions = [f"A cat with {n} bells in photo {picture}." for n in range(1, len(row["mdvp_record"]) + 1)]
        assert row["mdvp_record"] == [f"<region{n}> {text}" for n, text in enumerate(captions, 1)]
    assert "0123456789abcdef" not in done.out + done.err


def test_batches_fare_as_the_flags_say(tmp_path: Path) -> None:
    flags = ["--batch", "expires=0.5", "--batch", "create=ok,lost", "--batch", "troubled=1", "--batch", "no_list=405"]
    with serving(tmp_path, *flags) as run, client_of(run[run.index("--endpoint") + 1]) as client:
        batch = reached(client, create(client, map(line_of, range(4))))
        assert (batch.status, len(results_in(client, batch.output_file_id))) == ("expired", 2)
        with pytest.raises(openai.APIConnectionError):
            create(client, [line_of(1)])
        with pytest.raises(openai.APIStatusError, match="Invalid URL"):
            client.batches.list()
