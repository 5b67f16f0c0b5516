"""The `regioncap` command, in a process of its own or in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from regioncap.command.app import main

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from regioncap.command.app import main; main()"]


def environment() -> dict[str, str]:
    """The environment of a command that uses the tests' Prefect server."""
    from prefect.settings import PREFECT_API_URL

    return {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value()), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def regioncap(folder: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    settings = {**environment(), **more}
    return subprocess.run([*COMMAND, *args], cwd=folder, env=settings, capture_output=True, text=True, timeout=300)


class Ended(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


def call(capsys: pytest.CaptureFixture[str], *args: str) -> Ended:
    """The command in this process."""
    with pytest.raises(SystemExit) as ended:
        main(args)
    written = capsys.readouterr()
    return Ended(int(ended.value.code or 0), written.out, written.err)
