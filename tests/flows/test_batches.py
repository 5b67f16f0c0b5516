"""Runs by batches: submitted once, collected when they are done, and with the output of an online run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap.command.app import main
from regioncap.errors import Waiting
from regioncap.tasks import batches
from tests.support.batches_of_runs import Serve, batch_servers, settings_of
from tests.support.photos import photo_rows
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run

ROWS = 12


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of tests take moments."""
    monkeypatch.setattr(batches, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(batches, "MAX_PAUSE_SECONDS", 0.1)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with batch_servers() as start:
        yield start


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path / "photos.jsonl", photo_rows(tmp_path, ROWS))
    return tmp_path


def places(folder: Path, name: str) -> dict[str, str]:
    """An output and a cache of its own."""
    return {"output": f"{folder}/{name}.jsonl", "cache_path": f"{folder}/{name}-cache"}


def command(*args: str) -> int:
    """The exit code of `regioncap`, called in this process."""
    with pytest.raises(SystemExit) as end:
        main(args)
    return int(end.value.code or 0)


def texts(folder: Path, name: str) -> bytes:
    """An output, with the names of the cache's folders made the same."""
    return (folder / f"{name}.jsonl").read_bytes().replace(f"{name}-cache".encode(), b"cache")


def test_the_output_is_that_of_an_online_run(folder: Path, run: Run, serve: Serve) -> None:
    server = serve(shuffled=True, twice=0.3)
    run(folder, **settings_of(serve(), delivery="online"), **places(folder, "online"))
    summary = run(folder, **settings_of(server, batch_max_requests=5), **places(folder, "batch"))
    assert texts(folder, "batch") == texts(folder, "online")
    seen = server.batches.public()
    assert (seen["batches"], seen["submitted"], seen["submitted_twice"], seen["answered"]) == (3, ROWS, 0, ROWS)
    assert server.stats["for_regions"] == 0  # nothing was asked online
    assert summary.ok


def test_a_run_that_has_waited_long_enough_is_waiting_and_the_next_goes_on(
    folder: Path, run: Run, serve: Serve
) -> None:
    done = threading.Event()
    server = serve(until={"in_progress": done})
    with pytest.raises(Waiting, match="0 of 1 batches done, 0 of 12 answers"):
        run(folder, **settings_of(server, batch_wait=0))
    assert not (folder / "out.jsonl").exists()
    done.set()
    run(folder, **settings_of(server))
    assert len(read_rows(folder / "out.jsonl")) == ROWS
    assert server.batches.public()["submitted"] == ROWS


def test_the_command_lists_batches_and_ends_them(
    folder: Path, run: Run, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    done = threading.Event()
    server = serve(until={"in_progress": done})
    with pytest.raises(Waiting):
        run(folder, **settings_of(server, batch_wait=0))
    of = [str(folder / "out.jsonl"), "--cache-path", str(folder / "cache")]
    assert command("batches", *of) == 0
    assert ": in_progress, 0 of 12 answers" in capsys.readouterr().out
    assert command("batches", *of, "--cancel") == 0
    done.set()
    assert server.batches.public()["cancelled"] == 1
    run(folder, **settings_of(server))
    assert len(read_rows(folder / "out.jsonl")) == ROWS
    assert command("batches", *of) == 0
    assert "no batches" in capsys.readouterr().out


def test_the_command_says_that_it_waits(
    folder: Path, prefect_server: None, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(until={"in_progress": threading.Event()})
    given = [
        str(folder / "photos.jsonl"), "--output", str(folder / "out.jsonl"), "--cache-path", str(folder / "cache"),
        "--model", "fake-vlm", "--endpoint", server.url, "--delivery", "batch", "--batch-wait", "0",
    ]  # fmt: skip
    assert command("run", *given) == 75
    said = capsys.readouterr().err
    assert "waiting: 0 of 1 batches done, 0 of 12 answers" in said
    assert not (folder / "out.jsonl").exists()
