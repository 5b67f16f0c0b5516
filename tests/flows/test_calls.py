"""The flow called from Python: by settings or by a config, from wherever a program may call it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.runtime import flow_run

from regioncap import ConfigError, RegionCapConfig, UsageError, region_caption
from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.run.runs import RUNS
from regioncap.run.threads import RunThreads
from regioncap.tasks.run_log import forward_logs_to_prefect
from tests.support.commands import ROOT
from tests.support.runs import config_of
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def settings(project: Path) -> dict[str, Any]:
    """Settings of a run on six photos, as keyword arguments."""
    return config_of(project).model_dump(exclude_unset=True)


def test_settings_are_given_by_name(settings: dict[str, Any]) -> None:
    assert region_caption(**settings).rows_out == 6


def test_settings_win_over_a_config_given_with_them(project: Path) -> None:
    assert region_caption(config_of(project), limit=2).rows_out == 2
    assert region_caption({**config_of(project).model_dump(exclude_unset=True), "limit": 3}).rows_out == 3


def test_an_async_function_may_call_it(settings: dict[str, Any]) -> None:
    async def here() -> int:
        return region_caption(**settings).rows_out

    async def in_a_thread() -> int:
        return (await asyncio.to_thread(region_caption, **settings, limit=2)).rows_out

    assert (asyncio.run(here()), asyncio.run(in_a_thread())) == (6, 2)


@pytest.fixture
def slow() -> Iterator[RunningServer]:
    """A model server whose answers take longer than any test."""
    with RunningServer(Behaviour(latency=3600)) as server:
        yield server


@pytest.mark.parametrize("way", ["direct", "aio"])
def test_ctrl_c_stops_a_call_in_async_code(settings: dict[str, Any], slow: RunningServer, way: str) -> None:
    config = {**settings, "captioner": "openai", "endpoint": slow.url, "model": "fake-vlm"}

    async def call() -> None:
        region_caption(**config) if way == "direct" else await region_caption.aio(**config)

    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(interrupt_when, lambda: slow.stats["requests"])
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(call())


def interrupt_when(holds: Callable[[], Any]) -> None:
    until(holds)
    os.kill(os.getpid(), signal.SIGINT)


def test_only_what_is_cancelled_stops(settings: dict[str, Any], slow: RunningServer, tmp_path: Path) -> None:
    config = {**settings, "captioner": "openai", "endpoint": slow.url, "model": "fake-vlm"}

    async def calls() -> tuple[Any, Any]:
        stopped = asyncio.ensure_future(region_caption.aio(**config))
        await asyncio.to_thread(until, lambda: slow.stats["requests"])
        goes_on = asyncio.ensure_future(region_caption.aio(**{**settings, "output": str(tmp_path / "other.jsonl")}))
        stopped.cancel()
        return await asyncio.gather(stopped, goes_on, return_exceptions=True)

    stopped, done = asyncio.run(calls())
    assert isinstance(stopped, asyncio.CancelledError)
    assert done.rows_out == 6


def test_calls_neither_need_nor_fill_the_threads_of_the_loop(settings: dict[str, Any]) -> None:
    over = threading.Event()

    async def call() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, over.wait)
        try:
            with pytest.raises(ConfigError):
                await region_caption.aio(**{**settings, "max_boxes": 0})
        finally:
            over.set()
            await busy

    asyncio.run(asyncio.wait_for(call(), 60))


def test_with_other_options_it_is_called_in_the_same_way(settings: dict[str, Any]) -> None:
    assert region_caption.with_options(name="mine", retries=1)(**settings, limit=2).rows_out == 2


def test_another_flow_may_call_it(settings: dict[str, Any]) -> None:
    @flow
    def outer() -> int:
        return region_caption(**settings).rows_out

    assert outer() == 6


def test_threads_may_call_it_at_once(settings: dict[str, Any], tmp_path: Path) -> None:
    def call(number: int) -> int:
        return region_caption(**{**settings, "output": str(tmp_path / f"{number}.jsonl")}).rows_out

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(call, range(2))) == [6, 6]


class Kept(logging.Handler):
    """Keeps what it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def page() -> Iterator[Kept]:
    """What goes to the logs of Prefect's flow runs."""
    kept, logger = Kept(), logging.getLogger("prefect.flow_runs")
    logger.addHandler(kept)
    yield kept
    logger.removeHandler(kept)


def test_two_runs_at_once_have_a_log_each(page: Kept) -> None:
    both_log = threading.Barrier(2, timeout=60)

    @flow
    def logs(name: str) -> str:
        with RUNS.enter(), forward_logs_to_prefect(), closing(RunThreads()) as threads:
            both_log.wait()
            logging.getLogger("regioncap").info("from the flow %s", name)
            threads.io.submit(logging.getLogger("regioncap").info, "from a thread of %s", name).result()
            both_log.wait()
        return str(flow_run.id)

    with ThreadPoolExecutor(2) as callers:
        first, second = callers.map(logs, ["first", "second"])
    ours = [record for record in page.records if record.name == "regioncap"]
    assert {(vars(record)["flow_run_id"], record.getMessage()) for record in ours} == {
        (first, "from the flow first"), (first, "from a thread of first"),
        (second, "from the flow second"), (second, "from a thread of second"),
    }  # fmt: skip


WRONG: dict[str, tuple[dict[str, Any], type[UsageError], str]] = {
    "range": ({"max_boxes": 0}, ConfigError, "max_boxes: expected greater than or equal to 1, got 0"),
    "kind": ({"input": 3}, ConfigError, "input: expected a valid string, got 3"),
    "choice": ({"bbox_format": "nix"}, ConfigError, "bbox_format: expected .*'cxcywh', got 'nix'"),
    "plugin": ({"captioner": "nix"}, ConfigError, "captioner: expected .*pixels, the name of .*, got 'nix'"),
    "name": ({"boxes": 1}, UsageError, "boxes: there is no such setting; did you mean max_boxes"),
    "together": ({"captioner": "openai"}, UsageError, "endpoint: expected the server's base URL"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_named(settings: dict[str, Any], case: str) -> None:
    values, kind, words = WRONG[case]
    for call in (region_caption, RegionCapConfig, RegionCapConfig.model_validate):
        with pytest.raises(kind, match=words):
            call({**settings, **values}) if call == RegionCapConfig.model_validate else call(**{**settings, **values})


def test_a_path_is_no_config() -> None:
    with pytest.raises(UsageError, match=r"such as input='photos\.jsonl', or a config, got 'photos\.jsonl'"):
        region_caption("photos.jsonl")  # type: ignore[arg-type]


STARTS_A_SERVER = """
import sys
from regioncap.flows.own_server import ensure_server
from prefect.server.api.server import SubprocessASGIServer
ensure_server()
print(SubprocessASGIServer().server_process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux only")
def test_a_killed_program_leaves_no_server_behind(tmp_path: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    home = {
        "PREFECT_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "240", "DO_NOT_TRACK": "1",
    }  # fmt: skip
    program = subprocess.Popen(
        [sys.executable, "-c", STARTS_A_SERVER], env=plain | home, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with program:
        assert program.stdout is not None
        server = int(program.stdout.readline())
        assert Path(f"/proc/{server}").exists()
        program.send_signal(signal.SIGKILL)
    until(lambda: not Path(f"/proc/{server}").exists())
