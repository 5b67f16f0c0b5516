"""Keeps a server alive exactly as long as the process that needs it. Run as a script; the standard library only.

    python supervisor.py LOG COMMAND…

Starts COMMAND with its output in LOG, prints its process id, and waits. When standard input closes (the process at
its other end exited, in whatever way, kill -9 too) or a termination signal comes, COMMAND and everything that it
started is ended: by SIGTERM first, then SIGKILL. Exits with the code of COMMAND when that exits by itself.

A parent-death signal alone would not do: it fires when the starting thread ends, and does not reach grandchildren.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_SECONDS = 10.0
ORPHANS_GRACE_SECONDS = 1.0
"""For processes that outlive the server: it has signalled them, or never will."""

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the process group has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants(pid: int) -> set[int]:
    """Every process that `pid` started, and those that they started, by /proc; empty where there is none."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # The process name, in brackets, may contain spaces and brackets: the fields follow the last bracket.
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(folder.name))
    found: set[int] = set()
    todo = [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def signal_all(server: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the server's group, and to whoever of its children left the group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, number)
    for pid in descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def alive(server: subprocess.Popen[bytes]) -> bool:
    """Whether anything of the server is left. Reaps children that exited."""
    server.poll()
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return server.returncode is None or bool(descendants(os.getpid()))


def end(server: subprocess.Popen[bytes]) -> None:
    """End the server and all that it started."""
    # Only the server itself is asked: its workers end with it, and in order.
    with contextlib.suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGTERM)
    ended = time.monotonic()
    deadline = ended + GRACE_SECONDS
    while alive(server) and time.monotonic() < deadline:
        if server.returncode is not None:
            deadline = min(deadline, ended + ORPHANS_GRACE_SECONDS)
        else:
            ended = time.monotonic()
        time.sleep(0.05)
    while alive(server):
        signal_all(server, signal.SIGKILL)
        time.sleep(0.05)


def main(log: str, command: list[str]) -> int:
    """See the module's text."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    with Path(log).open("ab") as output:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            # Should somebody kill this supervisor, the server at least does not outlive it.
            preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
        )
    print(server.pid, flush=True)
    waiting = selectors.DefaultSelector()
    waiting.register(sys.stdin.fileno(), selectors.EVENT_READ)
    waiting.register(reader, selectors.EVENT_READ)
    while server.poll() is None:
        ready = {key.fd for key, _ in waiting.select()}
        if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 4096):
            break
        if reader in ready and any(number != signal.SIGCHLD for number in os.read(reader, 4096)):
            break
    code = server.poll()
    end(server)
    return code if code is not None and code >= 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
