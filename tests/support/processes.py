"""Processes of a test's own that serve until they are ended."""

from __future__ import annotations

import atexit
import subprocess
import sys
from pathlib import Path

import regioncap.run

SCRIPT = Path(regioncap.run.__file__).with_name("end_with_us.py")


def end_with_us(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """End `process` when this one is gone, in whatever way: tests that are killed leave no server behind."""
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", str(SCRIPT), str(process.pid)],
        stdin=subprocess.PIPE,  # closed by the system when this process ends
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    atexit.register(guard.communicate)
    return process
