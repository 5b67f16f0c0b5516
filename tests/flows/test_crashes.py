"""Whatever ends a run, the same command ends well: the same bytes, nothing lost, nothing paid for twice."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import get_current_settings

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.errors import StorageError
from tests.support.commands import ROOT
from tests.support.model_servers import TRIAL
from tests.support.photos import photo_rows
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run, config_of

ROWS = 60
IN_FLIGHT = 4
KEPT_AT_ONCE = 8
"""Answers that came, and are on their way to the disk."""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """A model server that is never the bottleneck."""
    with RunningServer(Behaviour(latency=0.02, slots=IN_FLIGHT)) as running:
        yield running


def prepare(folder: Path, server: RunningServer) -> dict[str, Any]:
    """Sixty different photos in shards of some eight rows, and the settings of a run."""
    write_rows(folder / "photos.jsonl", [*photo_rows(folder, ROWS), "broken"])
    return {
        "captioner": "openai", "model": "fake-vlm", "endpoint": server.url, "max_pixels": 40_000,
        "max_in_flight": IN_FLIGHT, "shard_size": 8,
    }  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path, server: RunningServer) -> dict[str, Any]:
    return prepare(tmp_path, server)


@pytest.fixture(scope="session")
def expected(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """What an undisturbed run writes."""
    from regioncap.flows.region_caption import region_caption

    folder = tmp_path_factory.mktemp("undisturbed")
    with RunningServer(Behaviour(latency=0.0, slots=IN_FLIGHT)) as server:
        region_caption(config_of(folder, **prepare(folder, server)))
    return outputs(folder)


@pytest.fixture
def start(prefect_server: None) -> Iterator[Start]:
    """`start(code or file, *args)`: a process with the tests' Prefect server; all are ended with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*command: str, **more: Any) -> subprocess.Popen[bytes]:
        url = get_current_settings().api.url
        environment = {**os.environ, "PREFECT_API_URL": str(url), "PYTHONPATH": str(ROOT)}
        running.append(subprocess.Popen([sys.executable, *command], env=environment, cwd=ROOT, **more))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def config_text(folder: Path, settings: dict[str, Any]) -> str:
    return config_of(folder, **settings).model_dump_json(exclude_defaults=True)


def content(path: Path, folder: Path) -> bytes:
    """A file's content without the place of the run, which is in the addresses of pictures."""
    return path.read_bytes().replace(bytes(folder), b"FOLDER")


def outputs(folder: Path) -> tuple[bytes, bytes]:
    return content(folder / "out.jsonl", folder), content(folder / "out.rejects.jsonl", folder)


PLACES = {
    "load": ("regioncap.tasks.load", "load_row", 30),
    "route": ("regioncap.tasks.route", "route_row", 30),
    "extract": ("regioncap.tasks.extract", "extract_row", 30),
    "normalize": ("regioncap.tasks.normalize", "normalize_row", 30),
    "drawing": ("regioncap.tasks.draw_row", "draw_marks", 30),
    "before an answer is kept": ("regioncap.storage.answers", "Answers.put", 30),
    "caption": ("regioncap.tasks.caption", "finish", 30),
    "between data and manifest": ("regioncap.storage.steps", "library_versions", 30),
    "write": ("regioncap.output.jsonl", "RowFormat.captioned", 30),
    "between output and summary": ("regioncap.tasks.write", "summary_of", 1),
    "before the end": ("regioncap.tasks.write", "register_end", 1),
}


@pytest.mark.parametrize("place", PLACES)
def test_killed_anywhere_the_same_command_ends_well(
    place: str,
    tmp_path: Path,
    run: Run,
    settings: dict[str, Any],
    server: RunningServer,
    start: Start,
    expected: tuple[bytes, bytes],
) -> None:
    module, name, calls = PLACES[place]
    child = start(
        "-m", "tests.support.crash_child", config_text(tmp_path, settings), module, name, str(calls),
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert child.wait(120) == -signal.SIGKILL
    answered = len(list((tmp_path / "cache").glob("captions/*/*.json")))
    if place != "before the end":
        assert not (tmp_path / "out.summary.json").exists()
    summary = run(tmp_path, **settings)
    assert outputs(tmp_path) == expected
    assert (summary.rows_in, summary.rows_out, summary.rejects) == (ROWS + 1, ROWS, 1)
    # Every answer that was kept is used; what was in flight is asked again, and nothing else.
    asked = server.stats["requests"] - TRIAL
    assert asked <= ROWS + IN_FLIGHT + KEPT_AT_ONCE
    assert summary.requests <= ROWS - answered + TRIAL


def test_what_was_received_before_a_kill_is_not_requested_again_though_nothing_was_stored(
    tmp_path: Path, run: Run, settings: dict[str, Any], server: RunningServer, start: Start,
    expected: tuple[bytes, bytes],
) -> None:  # fmt: skip
    server.change(beat=0.2)  # all answers at the same moment
    received = 0
    for _ in range(3):
        child = start(
            "-m", "tests.support.crash_child", config_text(tmp_path, settings), "regioncap.tasks.answers",
            "_Answer.keep", "1", stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert child.wait(120) == -signal.SIGKILL
        journals = [path.read_bytes().splitlines() for path in (tmp_path / "cache" / "journal").glob("*.journal")]
        assert len(journals) == 1
        received += len(journals[0])
        # What the killed run before had received is stored, by the next one.
        assert len(list((tmp_path / "cache").glob("captions/*/*.json"))) == received - len(journals[0])
    server.change(beat=0.0)
    summary = run(tmp_path, **settings)
    assert outputs(tmp_path) == expected
    assert received >= 3
    assert ROWS - received <= summary.requests <= ROWS - received + TRIAL


def test_parts_of_a_killed_run_are_whole(
    tmp_path: Path, run: Run, settings: dict[str, Any], start: Start, expected: tuple[bytes, bytes]
) -> None:
    whole, _ = expected
    settings["output"] = f"{tmp_path}/parts/"
    child = start(
        "-m", "tests.support.crash_child", config_text(tmp_path, settings), "regioncap.output.jsonl",
        "RowFormat.captioned", "30", stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert child.wait(120) == -signal.SIGKILL
    there = sorted((tmp_path / "parts").glob("part-*.jsonl"))
    assert all(part.read_bytes().endswith(b"\n") and content(part, tmp_path) in whole for part in there)
    assert not (tmp_path / "parts" / "_SUCCESS").exists()
    run(tmp_path, **settings)
    assert b"".join(content(part, tmp_path) for part in sorted((tmp_path / "parts").glob("part-*.jsonl"))) == whole


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_ends_the_run_at_once(
    tmp_path: Path,
    run: Run,
    settings: dict[str, Any],
    server: RunningServer,
    start: Start,
    sent: signal.Signals,
    expected: tuple[bytes, bytes],
) -> None:
    (tmp_path / "out.jsonl").write_bytes(b"of an earlier run")
    server.change(latency=0.3)
    half = server.when_answered(server.stats["answered"] + ROWS // 3)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    child = start(
        "-c", "from regioncap.command.app import main; main()", "run", str(tmp_path / "photos.jsonl"), "--max-boxes=3",
        f"--output={tmp_path / 'out.jsonl'}", f"--cache-path={tmp_path / 'cache'}", *flags, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert half.wait(120)
    server.change(latency=10.0)  # a busy machine hears of the signal late: no slot is free by then
    before = server.stats["requests"]
    child.send_signal(sent)
    _, errors = child.communicate(timeout=60)
    assert server.stats["requests"] <= before + 2 * IN_FLIGHT
    assert child.returncode in (1, -sent), errors.decode()
    assert (tmp_path / "out.jsonl").read_bytes() == b"of an earlier run"
    assert "Traceback" not in errors.decode()
    answered = len(list((tmp_path / "cache").glob("captions/*/*.json")))
    assert answered >= ROWS // 3 - TRIAL - IN_FLIGHT  # the trial was answered too
    server.change(latency=0.0)
    summary = run(tmp_path, **settings)
    assert outputs(tmp_path) == expected
    assert summary.requests <= ROWS - answered + TRIAL


LIMITED = """
import json, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from regioncap.command.app import main
from regioncap.command.prefect_env import prepare_prefect
prepare_prefect(quiet=True)
import regioncap.flows.region_caption
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv = ["regioncap", *sys.argv[2:]]
main()
"""


@pytest.mark.parametrize(("room", "where"), [(3_000, "cache"), (20_000, "out")])
def test_a_full_disk_is_one_clear_line_and_the_run_resumes_when_there_is_room(
    tmp_path: Path,
    run: Run,
    settings: dict[str, Any],
    start: Start,
    room: int,
    where: str,
    expected: tuple[bytes, bytes],
) -> None:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    child = start(
        "-c", LIMITED, str(room), "run", str(tmp_path / "photos.jsonl"), "--max-boxes=3",
        f"--output={tmp_path / 'out.jsonl'}", f"--cache-path={tmp_path / 'cache'}", *flags,
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    _, errors = child.communicate(timeout=120)
    text = errors.decode()
    assert child.returncode == 1, text
    (error,) = [line for line in text.splitlines() if line.startswith("regioncap: cannot")]
    assert error.startswith(f"regioncap: cannot write {tmp_path}/{where}"), text
    assert "File too large" in error
    assert "Fix this and rerun; it resumes." in error
    assert "Traceback" not in text
    assert not (tmp_path / "out.jsonl").exists()
    run(tmp_path, **settings)
    assert outputs(tmp_path) == expected
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path: Path, run: Run, settings: dict[str, Any]) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(StorageError, match=r"cannot write .*/closed/.*: Permission denied"):
        run(tmp_path, **settings, cache_path=str(tmp_path / "closed" / "cache"))


def test_a_server_that_dies_and_comes_back(tmp_path: Path, run: Run, settings: dict[str, Any]) -> None:
    with RunningServer(Behaviour(latency=0.05, slots=IN_FLIGHT)) as first:
        port, third = first.port, first.when_answered(ROWS // 3)
        settings["endpoint"] = first.url
        ended: list[Any] = []
        running = threading.Thread(target=lambda: ended.append(run(tmp_path, **settings)))
        running.start()
        assert third.wait(180)
    answered = first.stats["answered"]
    with RunningServer(Behaviour(latency=0.0, slots=IN_FLIGHT), port=port) as second:
        running.join(180)
    assert not running.is_alive()
    assert [summary.rows_out for summary in ended] == [ROWS]
    # What was answered was answered once: the first server's answers and the second's make up the rows.
    assert answered + second.stats["answered"] <= ROWS + TRIAL + IN_FLIGHT


def test_two_runs_at_once_on_one_cache_are_both_right(
    tmp_path: Path,
    run: Run,
    settings: dict[str, Any],
    server: RunningServer,
    start: Start,
    expected: tuple[bytes, bytes],
) -> None:
    code = (
        "import json, sys; from regioncap.config.model import RegionCapConfig; "
        "from regioncap.flows.region_caption import region_caption; "
        "region_caption(RegionCapConfig(**json.loads(sys.argv[1])))"
    )
    children = []
    for name in ("one", "two"):
        config = json.loads(config_text(tmp_path, settings)) | {"output": str(tmp_path / f"{name}.jsonl")}
        children.append(start("-c", code, json.dumps(config), stderr=subprocess.DEVNULL))
    assert [child.wait(180) for child in children] == [0, 0]
    for name in ("one", "two"):
        assert content(tmp_path / f"{name}.jsonl", tmp_path) == expected[0]
    assert len(read_rows(tmp_path / "one.rejects.jsonl")) == 1
    asked = server.stats["requests"]
    assert run(tmp_path, **settings).requests == 0
    assert server.stats["requests"] == asked
