"""Importing RegionCap changes nothing in the process that does it, and a run leaves the process as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from regioncap.errors import UsageError
from regioncap.run.context import RunContext
from tests.support.commands import ROOT
from tests.support.runs import Run, config_of

STATE = """
import logging, os, signal, sys, threading, warnings, cv2
LOGGERS = ("", "prefect", "prefect.flow_runs", "prefect.task_runs", "regioncap")
def logger(name):
    found = logging.getLogger(name)
    return found.level, found.propagate, list(map(repr, found.handlers)), list(map(repr, found.filters))
def state():
    return {
        "environment": dict(os.environ),
        "threads of OpenCV": cv2.getNumThreads(),
        "log level of OpenCV": cv2.utils.logging.getLogLevel(),
        "warning filters": list(map(repr, warnings.filters)),
        "loggers": {name: logger(name) for name in LOGGERS},
        "signals": {number: repr(signal.getsignal(number)) for number in signal.valid_signals()},
        "excepthooks": [repr(sys.excepthook), repr(threading.excepthook)],
    }
"""
"""What a library can change in a process, as code for a Python of its own."""

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "regioncap").rglob("*.py")
) + sorted(
    "regioncap." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for folder in ("flows", "tasks")
    for path in (ROOT / folder).rglob("*.py")
)

IMPORT_ALL = f"import importlib\nfor name in {MODULES!r}: importlib.import_module(name)\n"


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_every_module_changes_nothing() -> None:
    # What RegionCap depends on may change things when it is imported; that is imported first here.
    ours = "name.partition('.')[0] != 'regioncap'"
    listed = f"import sys, json\n{IMPORT_ALL}print(json.dumps([name for name in sys.modules if {ours}]))"
    foreign = json.loads(python(listed))
    code = (
        f"import contextlib, importlib, json\nfor name in {foreign!r}:\n"
        f"    with contextlib.suppress(ImportError): importlib.import_module(name)\n{STATE}"
        f"before = state()\n{IMPORT_ALL}after = state()\n"
        "print(json.dumps({key: [before[key], after[key]] for key in before if before[key] != after[key]}))"
    )
    assert json.loads(python(code)) == {}


def test_a_run_leaves_the_process_as_it_was(project: Path, run: Run) -> None:
    names: dict[str, Any] = {}
    exec(STATE, names)
    run(project)  # with the first run of a process Prefect sets its own logging up
    before = names["state"]()
    run(project, max_boxes=2)
    with pytest.raises(UsageError):
        run(project, input=str(project / "gone.jsonl"))
    assert names["state"]() == before


def test_runs_at_once_share_a_change_and_the_last_one_undoes_it(project: Path) -> None:
    before = cv2.getNumThreads()
    first, second = RunContext(config_of(project)), RunContext(config_of(project, max_boxes=2))
    first.close()
    assert cv2.getNumThreads() == 1
    second.close()
    assert cv2.getNumThreads() == before
