"""No box is paid for twice: after kill -9, by two runs at the same time, within the run's limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import get_current_settings

from regioncap.captioners.fake_server import Behaviour, Boxes, RunningServer
from tests.support.commands import ROOT
from tests.support.photos import write_photo
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run, config_of

ROWS = 30
IN_FLIGHT = 2

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """A model server that finds one thing or several in every picture."""
    with RunningServer(Behaviour(latency=0.02, slots=IN_FLIGHT, boxes=Boxes())) as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, server: RunningServer) -> dict[str, Any]:
    """Thirty photos without boxes in shards of some eight rows, and the settings of a run."""
    write_rows(tmp_path / "photos.jsonl", [{"image": write_photo(tmp_path / f"{n}.png", n).name} for n in range(ROWS)])
    return {
        "captioner": "openai", "model": "fake-vlm", "endpoint": server.url, "extractor": "vlm", "find": "dog, cat",
        "find_coordinates": "px", "max_in_flight": IN_FLIGHT, "shard_size": 8, "max_boxes": 4,
    }  # fmt: skip


@pytest.fixture
def start(prefect_server: None) -> Iterator[Start]:
    """`start(*args)`: a Python process with the tests' Prefect server; all are ended with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*command: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PREFECT_API_URL": str(get_current_settings().api.url), "PYTHONPATH": str(ROOT)}
        running.append(
            subprocess.Popen([sys.executable, *command], env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
        )
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def config_text(folder: Path, settings: dict[str, Any]) -> str:
    return config_of(folder, **settings).model_dump_json(exclude_defaults=True)


PLACES = {
    "before the first answers are kept": ("regioncap.tasks.answers", "_Answer.keep", 1),
    "while answers are kept": ("regioncap.storage.answers", "Answers.put", 20),
    "in a later step": ("regioncap.tasks.normalize", "normalize_row", 20),
}


@pytest.mark.parametrize("place", PLACES)
def test_after_a_kill_only_what_was_in_flight_is_asked_again(
    place: str, tmp_path: Path, run: Run, settings: dict[str, Any], server: RunningServer, start: Start
) -> None:
    module, name, calls = PLACES[place]
    text = config_text(tmp_path, settings)
    child = start("-m", "tests.support.crash_child", text, module, name, str(calls))
    assert child.wait(200) == -signal.SIGKILL
    summary = run(tmp_path, **settings)
    assert (summary.rows_out, summary.rejects) == (ROWS, 0)
    assert ROWS <= server.stats["for_boxes"] <= ROWS + IN_FLIGHT
    assert run(tmp_path, **settings, prompt="What is it?").captions_asked == summary.regions
    assert server.stats["for_boxes"] <= ROWS + IN_FLIGHT


RUN = (
    "import sys; from regioncap.config.model import RegionCapConfig; "
    "from regioncap.flows.region_caption import region_caption; "
    "region_caption(RegionCapConfig.model_validate_json(sys.argv[1]))"
)


def test_two_runs_at_the_same_time_ask_once(
    tmp_path: Path, settings: dict[str, Any], server: RunningServer, start: Start
) -> None:
    server.change(latency=0.3, slots=2 * IN_FLIGHT)
    outputs = [str(tmp_path / name) for name in ("one.jsonl", "two.jsonl")]
    running = [start("-c", RUN, config_text(tmp_path, {**settings, "output": output})) for output in outputs]
    assert [process.wait(400) for process in running] == [0, 0]
    one, two = (read_rows(Path(output)) for output in outputs)
    assert [row["meta_info"]["bbox"] for row in one] == [row["meta_info"]["bbox"] for row in two]
    assert server.stats["for_boxes"] == ROWS
