"""Shards on the processes of a Dask cluster: the same rows, the same bill, the same end."""

from __future__ import annotations

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

import distributed
from prefect.settings import get_current_settings

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.config.model import RegionCapConfig
from regioncap.errors import BudgetReached, CaptionerError, UsageError, WorkersLost
from regioncap.tasks import dask_workers
from regioncap.tasks.dask_workers import config_elsewhere, taken_over
from tests.support.commands import ROOT
from tests.support.model_servers import TRIAL
from tests.support.photos import write_photo
from tests.support.plugins import importable, write_package
from tests.support.processes import end_with_us
from tests.support.rows import BOX, write_rows
from tests.support.runs import Run
from tests.support.waiting import until

ROWS = 60
TRIED_OUT = TRIAL
"""Requests with which each process finds out, once a run, what a server can do; they are always the same."""

KEPT_AT_ONCE = 8
"""Answers that came, and are on their way to the disk."""

DASK = [sys.executable, "-m", "dask"]


class Cluster:
    """A scheduler and two workers, as `dask scheduler` and `dask worker` start them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "scheduler.json"
        self._environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "PREFECT_API_URL": str(get_current_settings().api.url),
        }  # fmt: skip
        self.processes = [self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                                      "--scheduler-file", str(self._file))]  # fmt: skip
        until(self._file.exists)
        for _ in range(2):
            self.add()
        with self.client() as client:
            self.address = client.scheduler.address
            client.wait_for_workers(2, timeout=180)

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        log = (self._folder / "log").open("ab")
        with log:
            return end_with_us(
                subprocess.Popen([*DASK, *command], env=self._environment, stdout=log, stderr=log, cwd=self._folder)
            )

    def add(self) -> None:
        """One more worker."""
        self.processes.append(
            self._start("worker", "--scheduler-file", str(self._file), "--host", "127.0.0.1", "--nthreads", "4",
                        "--no-nanny", "--no-dashboard", "--local-directory", str(self._folder))
        )  # fmt: skip

    def client(self) -> Any:
        return distributed.Client(scheduler_file=str(self._file), set_as_default=False)  # type: ignore[no-untyped-call]

    def end(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.end()


@pytest.fixture
def own_cluster(prefect_server: None, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose workers a test may kill."""
    (tmp_path / "cluster").mkdir()
    made = Cluster(tmp_path / "cluster")
    yield made
    made.end()


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.02, slots=16)) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with sixty photos, with and without boxes, and two rows that will be rejected; the current one."""
    rows: list[Any] = []
    for number in range(ROWS):
        write_photo(tmp_path / f"{number}.png", number)
        boxes = {"bbox": [BOX, [60, 10, 20, 20]][: 1 + number % 2]} if number % 5 else {}
        rows.append({"image": f"{number}.png", "id": number, **boxes})
    rows[7:7] = ["broken", {"image": "gone.png", "bbox": [BOX]}]
    write_rows(tmp_path / "photos.jsonl", rows)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(server: RunningServer, **more: Any) -> dict[str, Any]:
    return {
        # Relative paths: the workers' current folder is another.
        "input": "photos.jsonl", "output": "out.jsonl", "cache_path": "cache",
        "captioner": "openai", "model": "fake-vlm", "endpoint": server.url, "max_pixels": 40_000, "shard_size": 8,
        "max_in_flight": 8, **more,
    }  # fmt: skip


def on(cluster: Cluster) -> dict[str, Any]:
    return {"runner": "dask", "dask_address": cluster.address}


def outputs(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "out.jsonl").read_bytes(), (folder / "out.rejects.jsonl").read_bytes()


def test_byte_for_byte_as_with_threads_and_the_counts_are_right(
    folder: Path, run: Run, cluster: Cluster, server: RunningServer
) -> None:
    threads = run(folder, **settings(server))
    expected, before = outputs(folder), server.stats["requests"]
    for name in ("cache", "out.jsonl", "out.rejects.jsonl", "out.summary.json"):
        shutil.rmtree(folder / name) if name == "cache" else (folder / name).unlink()
    found = run(folder, **settings(server), **on(cluster))
    assert outputs(folder) == expected
    assert found.requests == server.stats["requests"] - before
    # Each of the two processes tried the server out, unless the other one had done so by then.
    assert found.requests - threads.requests in (0, TRIED_OUT)
    same = ("rows_in", "rows_out", "rejects_by_code", "regions", "captions_asked", "captions_new", "boxes_in")
    assert [getattr(found, name) for name in same] == [getattr(threads, name) for name in same]
    assert found.captions_reused == 0
    assert set(found.step_seconds) == set(threads.step_seconds)
    assert server.stats["peak_in_flight"] <= 8
    # Whichever way, the next run asks for nothing.
    asked = server.stats["requests"]
    for way in (on(cluster), {}):
        again = run(folder, **settings(server), **way)
        assert (again.captions_asked, again.requests, again.captions_reused) == (0, 0, found.regions)
    assert server.stats["requests"] == asked
    assert outputs(folder) == expected


def test_the_run_is_audited_and_what_that_costs_is_counted(
    folder: Path, run: Run, cluster: Cluster, server: RunningServer
) -> None:
    found = run(folder, **settings(server, audit_rows=4, max_requests=1000), **on(cluster))
    assert found.audit is not None
    assert found.audit.rows == 4
    assert found.requests == server.stats["requests"]
    assert 0 < found.requests - ROWS - 4 * 3 <= 3 * TRIED_OUT  # two workers and the run itself tried the server out
    assert (found.captions_new, found.captions_reused) == (found.regions, 0)


def test_both_processes_have_a_hand_in_it_and_nothing_of_the_run_is_left(
    folder: Path, run: Run, cluster: Cluster, server: RunningServer
) -> None:
    run(folder, **settings(server), **on(cluster))
    with cluster.client() as client:
        left = client.run(contexts_left)
    assert list(left.values()) == [0, 0]
    # Two sessions asked: each tried the server out, unless the other one had done so by then.
    assert server.stats["requests"] - ROWS in (TRIED_OUT, 2 * TRIED_OUT)


def contexts_left() -> int:
    from regioncap.run.runs import RUNS

    return len(RUNS)


def test_the_budget_is_shared_and_more_goes_on(folder: Path, run: Run, cluster: Cluster, server: RunningServer) -> None:
    with pytest.raises(BudgetReached, match=r"^max_requests=30 is reached"):
        run(folder, **settings(server, max_requests=30), **on(cluster))
    assert server.stats["requests"] == 30
    assert not (folder / "out.jsonl").exists()
    asked = server.stats["requests"]
    summary = run(folder, **settings(server), **on(cluster))
    assert summary.rows_out == ROWS
    # Two runs of two processes: beside what tries the server out nothing was asked twice.
    assert server.stats["sent_again_after_answer"] <= 3 * TRIED_OUT
    # A bill for each run, together what the server says.
    assert summary.requests == server.stats["requests"] - asked


def test_an_error_in_one_process_stops_the_others(
    folder: Path, run: Run, cluster: Cluster, server: RunningServer
) -> None:
    server.change(key="another")
    with pytest.raises(CaptionerError, match="key"):
        run(folder, **settings(server), **on(cluster))
    with cluster.client() as client:
        until(lambda: set(client.run(contexts_left).values()) == {0})


def test_a_process_that_is_killed_costs_nothing_but_time(
    folder: Path, run: Run, own_cluster: Cluster, server: RunningServer
) -> None:
    # The others wait for nobody: the shards of the one that is killed are done by those that are left.
    killed: list[int] = []

    def kill_one() -> None:
        until(lambda: server.stats["requests"] > 20)
        process = own_cluster.processes[1]
        os.kill(process.pid, signal.SIGKILL)
        killed.append(process.wait())

    thread = threading.Thread(target=kill_one)
    thread.start()
    summary = run(folder, **settings(server, max_in_flight=4), **on(own_cluster))
    thread.join()
    assert killed == [-signal.SIGKILL]
    assert (summary.rows_in, summary.rows_out) == (ROWS + 2, ROWS)
    # The second try-out, and answers that were on their way to the process or its disk when it was killed.
    assert server.stats["sent_again_after_answer"] <= TRIED_OUT + 2 + KEPT_AT_ONCE


@pytest.mark.parametrize("lost", ["the workers", "the workers, and others came", "the scheduler"])
def test_a_lost_cluster_is_reported(
    folder: Path, run: Run, own_cluster: Cluster, server: RunningServer, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_workers, "GONE_SECONDS", 2)
    monkeypatch.setattr(dask_workers, "CONNECT_SECONDS", 10)
    own = own_cluster.processes

    def kill() -> None:
        until(lambda: server.stats["requests"] > 20)
        for process in own[:1] if lost == "the scheduler" else own[1:]:
            process.kill()
            process.wait()
        if lost == "the workers, and others came":
            own_cluster.add()

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(WorkersLost, match=r"is gone\. Start it and rerun"):
        run(folder, **settings(server, max_in_flight=4), **on(own_cluster))
    thread.join()
    assert run(folder, **settings(server)).rows_out == ROWS


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no address": ({"runner": "dask"}, "dask_address: expected the address"),
    "an address for threads": ({"dask_address": "tcp://a:1"}, "runner 'threads' uses none"),
    "vLLM of our own": (
        {"runner": "dask", "dask_address": "tcp://a:1", "captioner": "vllm", "endpoint": (), "model": "m"},
        "regioncap serve-model MODEL --gpus all --host",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_do_not_go_together(case: str) -> None:
    wrong, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        RegionCapConfig(**{"input": "a.jsonl", "captioner": "pixels", **wrong})


def test_no_cluster(folder: Path, run: Run, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_workers, "CONNECT_SECONDS", 2)
    with pytest.raises(UsageError, match=r"no cluster with a worker answers at tcp://127\.0\.0\.1:9 .*dask scheduler"):
        run(folder, **settings(server), runner="dask", dask_address="tcp://127.0.0.1:9")


def test_what_to_install(folder: Path, run: Run, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "regioncap.tasks.dask_workers", None)
    with pytest.raises(UsageError, match=r"pip install 'regioncap\[dask\]'"):
        run(folder, **settings(server), runner="dask", dask_address="tcp://127.0.0.1:9")


def test_a_cache_that_the_workers_do_not_see(folder: Path, run: Run, cluster: Cluster, server: RunningServer) -> None:
    # Each process has a memory:// of its own, as machines have disks of their own.
    with pytest.raises(UsageError, match=r"cache_path: the Dask worker tcp://.* does not see memory://cache"):
        run(folder, **settings(server, cache_path="memory://cache"), **on(cluster))
    assert server.stats["requests"] == 0


def test_paths_mean_the_same_elsewhere_and_limits_are_the_runs() -> None:
    config = RegionCapConfig(input="a.jsonl", model="m", endpoint="http://h/v1", max_in_flight=7, output="out/")
    elsewhere = config_elsewhere(config)
    assert elsewhere.input == str(Path("a.jsonl").absolute())
    assert elsewhere.output == str(Path("out").absolute()) + "/"
    assert elsewhere.max_in_flight == 7


MEMBERS = [
    ({"a", "b"}, {"a", "b", "c"}, {"a", "b"}),
    ({"a", "b"}, {"a", "c", "d"}, {"a", "c"}),
    ({"a", "b"}, {"a"}, {"a"}),
    ({"a"}, {"a", "c"}, {"a", "c"}),
    ({"a", "b"}, set(), {"a", "b"}),
]


@pytest.mark.parametrize(("members", "there", "then"), MEMBERS)
def test_who_comes_later_takes_the_place_of_who_is_lost(members: set[str], there: set[str], then: set[str]) -> None:
    assert taken_over(members, there, 2) == then


def test_a_plugin_that_the_workers_do_not_have_is_refused(folder: Path, run: Run, cluster: Cluster) -> None:
    write_package(folder, "own_pkg", finders="def find(image):\n    return []\n")
    before = {"input": "photos.jsonl", "output": "out.jsonl", "cache_path": "cache", "captioner": "pixels"}
    with (
        importable(folder, "own_pkg"),
        pytest.raises(UsageError, match=r"cannot use the plugin: .* no module 'own_pkg'"),
    ):
        run(folder, **before, extractor="own_pkg.finders:find", **on(cluster))
