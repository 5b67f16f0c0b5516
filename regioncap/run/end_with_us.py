"""Ends a process when the one that started this script is gone, in whatever way, kill -9 too. Standard library only.

    python end_with_us.py PID

Waits until standard input closes, or the process PID has ended; then ends it: by SIGTERM first, then SIGKILL. Linux
only.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

GRACE_SECONDS = 10.0


def main(pid: int) -> None:
    """See the module's text."""
    process = os.pidfd_open(pid)  # whatever gets this number later is not meant
    wait_for_either(sys.stdin.fileno(), process)
    for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, 0.0)):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, number)
        if select.select([process], [], [], seconds)[0]:
            return


def wait_for_either(us: int, process: int) -> None:
    """Return when the pipe `us` is closed, or the process has ended."""
    while True:
        ready, *_ = select.select([us, process], [], [])
        if process in ready or not os.read(us, 4096):
            return


if __name__ == "__main__":
    main(int(sys.argv[1]))
