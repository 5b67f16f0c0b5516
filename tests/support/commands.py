"""The `regioncap` command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from regioncap.command.app import main; main()"]


def environment() -> dict[str, str]:
    """The environment of a command that uses the tests' Prefect server."""
    from prefect.settings import PREFECT_API_URL

    return {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value()), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def regioncap(folder: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    settings = {**environment(), **more}
    return subprocess.run([*COMMAND, *args], cwd=folder, env=settings, capture_output=True, text=True, timeout=300)
