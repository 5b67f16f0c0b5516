"""Several runs at the same time on one cache: each answer is requested once, by one of them, and all have it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import fsspec
import pytest
from prefect.settings import get_current_settings

from regioncap.captioners.fake_server import Behaviour, RunningServer
from tests.support.commands import ROOT
from tests.support.photos import draw_photo
from tests.support.rows import BOX, read_rows
from tests.support.runs import Run

ROWS = 40
IN_FLIGHT = 4

RUN = (
    "import json, sys; from regioncap.config.model import RegionCapConfig; "
    "from regioncap.flows.region_caption import region_caption; "
    "region_caption(RegionCapConfig(**json.loads(sys.argv[1])))"
)

Start = Callable[[dict[str, Any]], subprocess.Popen[bytes]]


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """A model server that takes its time, so that runs that start one after the other are at work together."""
    with RunningServer(Behaviour(latency=0.5, slots=2 * IN_FLIGHT)) as running:
        yield running


@pytest.fixture
def start(prefect_server: None) -> Iterator[Start]:
    """`start(settings)`: a run in a process of its own."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(settings: dict[str, Any]) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PREFECT_API_URL": str(get_current_settings().api.url), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", RUN, json.dumps(settings)]
        running.append(subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def settings_of(folder: Path, server: RunningServer, cache: str, name: str, *, turned: bool = False) -> dict[str, Any]:
    """The settings of a run over forty photos; `turned`: in the other order."""
    rows = []
    for number in range(ROWS):
        photo = folder / f"{number}.png"
        if not photo.exists():
            assert cv2.imwrite(str(photo), draw_photo(number))
        rows.append({"image": photo.name, "bbox": [BOX]})
    listing = folder / f"{name}-in.jsonl"
    listing.write_text("".join(json.dumps(row) + "\n" for row in (rows[::-1] if turned else rows)))
    return {
        "input": str(listing), "output": f"{folder}/{name}.jsonl", "cache_path": cache, "captioner": "openai",
        "model": "fake-vlm", "endpoint": server.url, "max_pixels": 40_000, "max_in_flight": IN_FLIGHT, "shard_size": 16,
    }  # fmt: skip


def captions_in(folder: Path, name: str) -> dict[str, list[str]]:
    return {row["image"]: row["mdvp_record"] for row in read_rows(folder / f"{name}.jsonl")}


def left_in(cache: str, kind: str) -> list[str]:
    files, path = fsspec.core.url_to_fs(cache, use_listings_cache=False)
    return list(files.find(f"{path}/{kind}"))


def cache_on(store: str, request: pytest.FixtureRequest, folder: Path) -> str:
    return f"{folder}/cache" if store == "disk" else f"{request.getfixturevalue('bucket')}/cache"


@pytest.mark.parametrize(("store", "runs"), [("disk", 3), ("s3", 2)])
def test_each_answer_is_requested_once(
    store: str, runs: int, tmp_path: Path, server: RunningServer, start: Start, request: pytest.FixtureRequest
) -> None:
    cache, names = cache_on(store, request, tmp_path), [f"run{number}" for number in range(runs)]
    every = [settings_of(tmp_path, server, cache, name, turned=name == "run1") for name in names]
    processes = [start(settings) for settings in every]
    ended = [process.communicate(timeout=300)[1].decode() for process in processes]
    assert server.stats["for_regions"] == ROWS, ended
    captions = [captions_in(tmp_path, name) for name in names]
    assert len(captions[0]) == ROWS
    assert all(other == captions[0] for other in captions)
    assert left_in(cache, "claims") + left_in(cache, "live") == []


@pytest.mark.parametrize("store", ["disk", "s3"])
def test_what_a_killed_run_was_requesting_is_taken_over(
    store: str, tmp_path: Path, server: RunningServer, start: Start, run: Run, request: pytest.FixtureRequest
) -> None:
    cache = cache_on(store, request, tmp_path)
    some = server.when_answered(ROWS // 4)
    first = start(settings_of(tmp_path, server, cache, "first"))
    assert some.wait(300)

    def kill_later() -> None:
        server.when_answered(server.stats["answered"] + ROWS // 4).wait(300)
        first.send_signal(signal.SIGKILL)

    killing = threading.Thread(target=kill_later)
    killing.start()
    summary = run(tmp_path, **settings_of(tmp_path, server, cache, "second", turned=True))
    killing.join()
    assert summary.rows_out == len(captions_in(tmp_path, "second")) == ROWS
    # What was in flight at the dead one is lost, and nothing else.
    assert server.stats["for_regions"] <= ROWS + IN_FLIGHT
    assert left_in(cache, "claims") == []


def test_two_runs_in_one_process_of_which_one_comes_later(tmp_path: Path, server: RunningServer, run: Run) -> None:
    one, two = (settings_of(tmp_path, server, f"{tmp_path}/cache", name) for name in ("one", "two"))
    some = server.when_answered(ROWS // 4)
    first = threading.Thread(target=run, args=(tmp_path,), kwargs=one)
    first.start()
    assert some.wait(300)
    assert run(tmp_path, **two).rows_out == ROWS
    first.join()
    assert server.stats["for_regions"] == ROWS
    assert captions_in(tmp_path, "one") == captions_in(tmp_path, "two")
