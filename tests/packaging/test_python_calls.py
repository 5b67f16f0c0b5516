"""The installed wheel, called from Python as projects do: from flows and tasks, from async code, in a notebook."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.photos import write_photo
from tests.support.rows import BOX, write_rows
from tests.support.sites import PrefectServer

LOGIN = "admin:of-tests"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project: `photos.jsonl` with two photos."""
    folder = tmp_path_factory.mktemp("project")
    images = [write_photo(folder / f"photo{number}.png", number).name for number in range(2)]
    write_rows(folder / "photos.jsonl", [{"image": image, "bbox": [BOX]} for image in images])
    return folder


@pytest.fixture(scope="module")
def server(installed: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A Prefect server of the environment that has the wheel, which asks for credentials."""
    server = PrefectServer(
        tmp_path_factory.mktemp("prefect"), folder=folder, python=installed / "python", pythonpath=None
    )
    server.environment |= {"PREFECT_SERVER_API_AUTH_STRING": LOGIN, "PREFECT_API_AUTH_STRING": LOGIN}
    server.ui = server.ui.replace("//", f"//{LOGIN}@")
    try:
        server.begin()
        yield server
    finally:
        server.end()


def printed(code: str, server: PrefectServer, installed: Path, folder: Path) -> Any:
    """What a script prints last, as JSON."""
    done = subprocess.run(
        [installed / "python", "-c", code], cwd=folder, env=server.environment, capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


FLOWS = """
import asyncio, json
from prefect import flow, task
from prefect.runtime import flow_run
from regioncap import region_caption

def settings(name):
    return {"input": "photos.jsonl", "captioner": "pixels", "output": f"{name}.jsonl"}

@task
def in_a_task(name):
    return region_caption(**settings(name)).rows_out

@flow
def nightly():
    submitted = [in_a_task.submit(name) for name in ("first", "second")]
    mine = region_caption.with_options(name="mine", retries=1)
    return [region_caption(**settings("sub")).rows_out, mine(**settings("mine")).rows_out,
            *(one.result() for one in submitted)]

@flow
async def nightly_async():
    at_once = await asyncio.gather(*(region_caption.aio(**settings(name)) for name in ("one", "two")))
    return [region_caption(**settings("async")).rows_out, *(summary.rows_out for summary in at_once)]

state = region_caption(**settings("state"), return_state=True)
print(json.dumps([*nightly(), *asyncio.run(nightly_async()), state.name]))
"""


def test_in_flows_and_tasks(server: PrefectServer, installed: Path, folder: Path) -> None:
    assert printed(FLOWS, server, installed, folder) == [2] * 7 + ["Completed"]
    flows = {one["id"]: one["name"] for one in server.post("flows/filter").json()}
    runs = server.post("flow_runs/filter").json()
    children = [flows[run["flow_id"]] for run in runs if run["parent_task_run_id"]]
    assert sorted(children) == ["mine", *["region-caption"] * 6]
    assert {run["state"]["type"] for run in runs} == {"COMPLETED"}


def test_in_a_notebook(
    server: PrefectServer, installed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = 'input="photos.jsonl", captioner="pixels", output="notebook.jsonl"'
    sources = [
        "from regioncap import region_caption",
        f"region_caption({settings})",
        "region_caption(input='gone.csv')",
    ]
    cells = [{"cell_type": "code", "metadata": {}, "source": source, "outputs": []} for source in sources]
    notebook = nbformat.from_dict({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells})
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    with_kernel(installed, tmp_path, monkeypatch)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, allow_errors=True, kernel_name="scratch", resources=resources).execute()

    *lines, shown = notebook.cells[1].outputs
    page = shown["data"]["text/html"]
    assert "<td>rows captioned</td><td style='text-align:right'>2</td>" in page
    assert page.count("data:image/jpeg;base64,") == 2
    log = [line["data"]["text/plain"] for line in lines]
    assert len(log) == 3, log  # the run's begin, its page, its end: none of its tasks, no settings
    assert "Beginning flow run" in log[0]

    error = notebook.cells[2].outputs[-1]
    assert (error["ename"], error["evalue"].split(":")[0]) == ("UsageError", "captioner")
    assert len(error["traceback"]) <= 5, "frames of Prefect's"


def with_kernel(installed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let notebooks find the kernel `scratch`: the Python that has the wheel."""
    kernel = folder / "kernels" / "scratch" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    command = [str(installed / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": command, "display_name": "scratch", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(folder))


UNCHANGED = """
import asyncio, json, locale, logging, multiprocessing, os, signal, sys, threading, warnings

def state():
    root = logging.getLogger()
    return {
        "environment": dict(os.environ), "folder": os.getcwd(), "path": list(sys.path),
        "root logger": [root.level, *map(repr, [*root.handlers, *root.filters]), logging.root.manager.disable],
        "last resort": repr(logging.lastResort), "showwarning": repr(warnings.showwarning),
        "signals": {int(number): repr(signal.getsignal(number)) for number in signal.valid_signals()},
        "blocked signals": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
        "hooks": [repr(sys.excepthook), repr(sys.unraisablehook), repr(threading.excepthook), repr(sys.displayhook)],
        "event loops": repr(type(asyncio.get_event_loop_policy())), "locale": locale.setlocale(locale.LC_ALL),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "streams": [repr(sys.stdout), repr(sys.stderr)],
        "limits": [sys.getrecursionlimit(), sys.getswitchinterval()],
    }

def changes(before):
    return sorted(name for name, value in state().items() if value != before[name])

before = state()
from regioncap import region_caption
found = {"import": changes(before)}
logging.basicConfig(level="WARNING")
before = state()

def call(name, **settings):
    try:
        region_caption(**{"input": "photos.jsonl", "captioner": "pixels", "output": "u.jsonl", **settings})
    except BaseException as error:
        name += f" ({type(error).__name__})"
    found[name] = changes(before)

call("call")
filters = list(warnings.filters)  # dependencies add theirs with the first run that loads them
call("wrong", max_boxes=0)
call("gone", input="gone.jsonl")
import regioncap.flows.running as running
def interrupted(*_, **__):
    raise KeyboardInterrupt
running.start = interrupted
call("stop")
found["filters"] = [repr(one) for one in warnings.filters if one not in filters]
print(json.dumps(found))
"""


def test_nothing_is_changed_in_the_program_that_imports_and_calls(
    server: PrefectServer, installed: Path, folder: Path
) -> None:
    assert printed(UNCHANGED, server, installed, folder) == {
        "import": [], "call": [], "wrong (ConfigError)": [], "gone (UsageError)": [], "stop (KeyboardInterrupt)": [],
        "filters": [],
    }  # fmt: skip
