"""Shards on worker processes of this machine: the same rows, one bill and one set of limits, and nothing outlives the
run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prefect_dask", reason="needs regioncap[dask]")

import psutil
from prefect.settings import get_current_settings

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.config.model import RegionCapConfig
from regioncap.errors import BudgetReached, UsageError
from regioncap.tasks.worker_processes import process_count, threads_of_one
from tests.support.commands import ROOT
from tests.support.model_servers import TRIAL
from tests.support.photos import photo_rows
from tests.support.rows import write_rows
from tests.support.runs import Run, config_of
from tests.support.waiting import until

ROWS = 60
IN_FLIGHT = 4
KEPT_AT_ONCE = 8
"""Answers that came, and are on their way to the process or its disk."""


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.1, slots=16)) as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, server: RunningServer) -> dict[str, Any]:
    """Sixty different photos, in shards of some eight rows, and the settings of a run."""
    write_rows(tmp_path / "photos.jsonl", [*photo_rows(tmp_path, ROWS), "broken"])
    return {
        "captioner": "openai", "model": "fake-vlm", "endpoint": server.url, "max_pixels": 40_000, "shard_size": 8,
        "max_in_flight": IN_FLIGHT,
    }  # fmt: skip


def outputs(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "out.jsonl").read_bytes(), (folder / "out.rejects.jsonl").read_bytes()


def workers_of(pid: int) -> list[psutil.Process]:
    """The processes that a run's process has started for its shards, and theirs."""
    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends in this moment, or has ended
            if any("local_cluster" in word for word in child.cmdline()):
                found += [child, *child.children(recursive=True)]
    return found


def kill_one_worker() -> None:
    working = [process for process in workers_of(os.getpid()) if "spawn_main" in " ".join(process.cmdline())]
    working[0].send_signal(signal.SIGKILL)


def test_one_budget_and_after_a_kill_of_a_worker_the_same_bytes(
    tmp_path: Path, run: Run, server: RunningServer, settings: dict[str, Any]
) -> None:
    summary = run(tmp_path, **settings)
    expected, asked = outputs(tmp_path), server.stats["requests"]
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "out.summary.json").unlink()
    processes = {**settings, "runner": "processes", "processes": 2}
    with pytest.raises(BudgetReached, match=r"^max_requests=20 is reached"):
        run(tmp_path, **processes, max_requests=20)
    assert server.stats["requests"] - asked == 20
    assert workers_of(os.getpid()) == []

    def kill() -> None:
        until(lambda: server.stats["requests"] > asked + 40, every=0.02)
        kill_one_worker()

    killer = threading.Thread(target=kill)
    killer.start()
    again = run(tmp_path, **processes)
    killer.join()
    assert outputs(tmp_path) == expected
    assert (again.rows_in, again.rows_out, again.regions) == (summary.rows_in, summary.rows_out, summary.regions)
    assert server.stats["peak_in_flight"] <= IN_FLIGHT
    # Each process of each run may have tried the server out; else nothing was asked twice but what the kill cut off.
    assert server.stats["requests"] - asked <= ROWS + 5 * TRIAL + KEPT_AT_ONCE


CALL = """
import json, sys
from regioncap import region_caption
region_caption(**json.loads(sys.argv[1]))
"""


def test_no_worker_outlives_a_killed_run(
    prefect_server: None, tmp_path: Path, server: RunningServer, settings: dict[str, Any]
) -> None:
    server.change(latency=5.0)
    values = {"input": str(tmp_path / "photos.jsonl"), "output": str(tmp_path / "out.jsonl"),
              "cache_path": str(tmp_path / "cache")}  # fmt: skip
    # A script without `if __name__ == "__main__"`: no process runs it a second time.
    (tmp_path / "script.py").write_text(CALL)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), json.dumps({**settings, **values, "runner": "processes"})],
        env={**os.environ, "PREFECT_API_URL": str(get_current_settings().api.url), "PYTHONPATH": str(ROOT)},
    )
    until(lambda: server.stats["requests"] or process.poll() is not None)
    workers = workers_of(process.pid)
    process.kill()
    process.wait()
    assert len(workers) >= 3  # two at work, and who starts them
    until(lambda: not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "processes for threads": ({"processes": 4}, "processes: runner 'threads' uses none; set runner=processes"),
    "an address": (
        {"runner": "processes", "dask_address": "tcp://a:1"}, "dask_address: runner 'processes' uses none"
    ),
    "vLLM of our own": (
        {"runner": "processes", "captioner": "vllm", "model": "m"}, "runner: 'processes' cannot start vLLM"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_do_not_go_together(case: str) -> None:
    wrong, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        RegionCapConfig(**{"input": "a.jsonl", "captioner": "pixels", **wrong})


def test_the_cpus_are_shared_out(tmp_path: Path) -> None:
    some = config_of(tmp_path, runner="processes")
    assert process_count(some) >= 2
    assert process_count(some) * threads_of_one(some) >= len(os.sched_getaffinity(0))
    told = config_of(tmp_path, runner="processes", processes=3, threads=5)
    assert (process_count(told), threads_of_one(told)) == (3, 5)
