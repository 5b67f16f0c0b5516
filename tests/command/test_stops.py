"""How a run that stops ends: what is said to be kept is not asked for again, and the command that is given goes on."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.command.resume import command_line
from regioncap.errors import BudgetReached, StorageError
from regioncap.records import Step
from regioncap.storage.steps import Manifest, StepStorage
from tests.support.commands import COMMAND, call, environment
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run
from tests.support.waiting import until

ROWS, REGIONS = 24, 48


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.15, slots=2)) as running:
        yield running


@pytest.fixture
def flags(tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The current folder has 24 photos of two regions each; the flags of a run on them."""
    monkeypatch.chdir(tmp_path)
    for number in range(ROWS):
        write_photo(tmp_path / f"{number}.png", number)
    write_rows(tmp_path / "photos.jsonl", [{"image": f"{n}.png", "bbox": [BOX, [60, 10, 20, 20]]} for n in range(ROWS)])
    return ["photos.jsonl", "--endpoint", server.url, "--model", "fake-vlm", "--shard-size", "8"]


def kept(text: str) -> int:
    """The number of captions that are said to be kept."""
    (number,) = re.findall(r"^([\d,]+) captions? (?:are|is) kept and will be reused\.", text, re.MULTILINE)
    return int(number.replace(",", ""))


def command_of(text: str) -> list[str]:
    """The arguments of the command line that is the last thing said."""
    program, *args = shlex.split(text.splitlines()[-1])
    assert program == "regioncap"
    return args


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "photos.regioncap.summary.json").read_text())
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_killed_run_says_what_it_keeps_and_the_command_that_goes_on(
    number: signal.Signals,
    tmp_path: Path,
    flags: list[str],
    server: RunningServer,
    prefect_server: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    running = subprocess.Popen([*COMMAND, "run", *flags], env=environment(), stderr=subprocess.PIPE, text=True)
    until(lambda: running.poll() is not None or server.stats["answered"] > 4, every=0.05)
    # However late the signal comes, the run is not at its end; and its requests hold the server's slots no longer.
    server.change(latency=20.0)
    running.send_signal(number)
    _, errors = running.communicate(timeout=120)
    server.change(latency=0.0)
    assert running.returncode == 1
    assert 0 < kept(errors) < REGIONS
    assert "Traceback" not in errors
    assert command_of(errors) == ["run", *flags]
    again = call(capsys, *command_of(errors))
    assert again.code == 0, again.err
    assert summary(tmp_path)["captions_asked"] == REGIONS - kept(errors)


AMIDST_A_LIBRARY = """
import contextlib, importlib.abc, signal, sys
import pydantic

number, becomes, module = getattr(signal, sys.argv[1]), sys.argv[2], sys.argv[3]

class Interrupted(pydantic.BaseModel):
    @pydantic.model_serializer
    def serialize(self) -> dict:
        signal.raise_signal(number)

class Finalized:
    def __del__(self):
        signal.raise_signal(number)

class Interrupting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == module:
            sys.meta_path.remove(self)
            if becomes == "ignored":
                Finalized()
                return
            with contextlib.suppress(*[Exception] if becomes == "caught" else []):
                Interrupted().model_dump()

sys.meta_path.insert(0, Interrupting())
from regioncap.command.app import main
main(sys.argv[4:])
"""
"""The command, which a signal reaches in a library while Prefect is imported: pydantic makes another error of it, which
something may catch, and Python ignores it in a finalizer. argv: the signal, which of these, the module that is imported
then, and the command's own."""


@pytest.mark.parametrize("becomes", ["changed", "caught", "ignored"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_reaches_a_library_stops_the_run_too(
    number: signal.Signals, becomes: str, tmp_path: Path, flags: list[str], server: RunningServer, prefect_server: None
) -> None:
    server.change(latency=60.0)
    command = [sys.executable, "-c", AMIDST_A_LIBRARY, number.name, becomes, "prefect.main", "run", *flags]
    stopped = subprocess.run(command, env=environment(), stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert stopped.returncode == 1
    assert f"regioncap: {'stopped' if number == signal.SIGINT else 'terminated'}" in stopped.stderr
    assert command_of(stopped.stderr) == ["run", *flags]
    assert "Traceback" not in stopped.stderr
    (record,) = read_rows(tmp_path / "photos.regioncap.runs.jsonl")
    assert (record["outcome"], record["problem"]) == (
        "stopped", "KeyboardInterrupt" if number == signal.SIGINT else "Terminated"
    )  # fmt: skip


def test_a_signal_that_reaches_what_starts_prefects_own_server_is_no_problem_of_prefects(
    tmp_path: Path, flags: list[str], server: RunningServer
) -> None:
    server.change(latency=60.0)
    own = {**environment(), "PREFECT_HOME": str(tmp_path / "home")}
    del own["PREFECT_API_URL"]
    command = [sys.executable, "-c", AMIDST_A_LIBRARY, "SIGINT", "changed", "prefect.server.api.server", "run", *flags]
    stopped = subprocess.run(command, env=own, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert stopped.returncode == 1, stopped.stderr
    assert "\nregioncap: stopped\n" in stopped.stderr
    assert command_of(stopped.stderr) == ["run", *flags]


def test_a_budget_that_is_spent_says_what_is_kept_also_of_earlier_runs(
    flags: list[str], server: RunningServer, prefect_server: None, capsys: pytest.CaptureFixture[str]
) -> None:
    first = call(capsys, "run", *flags, "--max-requests", "5")
    second = call(capsys, "run", *flags, "--max-requests", "9")
    assert (first.code, second.code) == (1, 1)
    assert "max_requests=9 is reached" in second.err
    assert 0 < kept(first.err) < kept(second.err) < REGIONS
    explained = call(capsys, "explain", "photos.regioncap.jsonl")
    captions = kept(second.err)
    assert explained.out.splitlines()[-1].startswith(f"rows       {captions // 2} of {ROWS} captioned, 0 rejected, ")
    assert explained.out.splitlines()[-1].endswith(f"; {captions} captions")
    third = call(capsys, "run", *flags)
    assert third.code == 0, third.err
    assert summary(Path())["captions_asked"] == REGIONS - kept(second.err)


def test_other_settings_that_are_refused_give_the_command_that_accepts_them(
    flags: list[str], prefect_server: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "run", *flags).code == 0
    changed = [*flags, "--temperature", "0.5"]
    refused = call(capsys, "run", "--on-config-change", "refuse", *changed)
    assert refused.code == 2
    assert f"{REGIONS} captions are kept for the earlier settings." in refused.err
    assert command_of(refused.err) == ["run", *changed, "--on-config-change", "recaption"]
    assert call(capsys, *command_of(refused.err)).code == 0


def test_captions_that_came_before_their_marks_were_on_disk_count(
    tmp_path: Path, flags: list[str], server: RunningServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard's first captions come while the rest of it is drawn: only its answers tell of them then."""
    settings = {"captioner": "openai", "endpoint": server.url, "model": "fake-vlm", "shard_size": 8}
    write = StepStorage.write

    def full(self: StepStorage, parts: dict[str, Any], rows: list[Any], seconds: float) -> Manifest:
        if parts["step"] == "visualize":
            until(lambda: server.stats["answered"] > 4, every=0.05)
            raise StorageError("cache", "write", "No space left on device")
        return write(self, parts, rows, seconds)

    with monkeypatch.context() as patched:
        patched.setattr(StepStorage, "write", full)
        with pytest.raises(StorageError) as stopped:
            run(tmp_path, **settings)
    (note,) = stopped.value.__notes__
    assert note.endswith("Call region_caption with the same settings to resume.")
    assert kept(note) > 0
    assert run(tmp_path, **settings).captions_asked == REGIONS - kept(note)


def test_captions_that_cost_nothing_are_kept_by_the_shard(
    tmp_path: Path, flags: list[str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:  # `flags`: for the photos
    def stop(*args: object) -> Step:
        raise BudgetReached("enough")

    monkeypatch.setattr("regioncap.flows.region_caption.write", stop)
    with pytest.raises(BudgetReached) as stopped:
        run(tmp_path, shard_size=8)
    assert kept(stopped.value.__notes__[0]) == REGIONS


def test_secrets_that_were_typed_are_not_repeated() -> None:
    typed = ["run", "s3://me:quiet-river-7@bucket/a b.jsonl", "--request-headers", "Authorization: Bearer quietRiver7"]
    shown = command_line([*typed, "--prompt", "Describe <region1>, key=value."])
    assert "uiet" not in shown
    assert shlex.split(shown)[-1] == "Describe <region1>, key=value."
