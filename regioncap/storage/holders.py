"""Who holds a lease: a process, on record, so that others can name it and, on the same machine, see that it died."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from regioncap.errors import RegionCapError
from regioncap.printable import printable
from regioncap.records import dumps, loads

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MAX_TEXT = 200
MAX_RECORD_BYTES = 4096


@dataclass(frozen=True)
class Holder:
    """A process that holds a lease, or wants to.

    `run`: what people call it, such as a flow run's name; "" without one. `machine` and `started` say which process the
    number `pid` means: a host name and a number alone come again, in containers with every start. Both are "" where
    that is not known.
    """

    token: str
    host: str
    pid: int
    since: str
    run: str = ""
    machine: str = ""
    started: str = ""

    @classmethod
    def here(cls, run: str = "") -> Holder:
        """This process, from now on."""
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        pid = os.getpid()
        return cls(uuid.uuid4().hex, socket.gethostname(), pid, now, run, this_machine(), start_of(pid))

    @classmethod
    def read(cls, data: bytes) -> Holder | None:
        """The holder on record in `data`; None when that is no record."""
        with contextlib.suppress(ValueError, TypeError):
            found = loads(data)
            if isinstance(found, dict) and isinstance(found.get("pid"), int):
                texts = {name: found.get(name, "") for name in cls.__dataclass_fields__ if name != "pid"}
                if all(isinstance(text, str) and len(text) <= MAX_TEXT for text in texts.values()):
                    return cls(pid=found["pid"], **texts)
        return None

    def record(self, **more: Any) -> bytes:
        """What `read` reads, with `more` beside it."""
        return dumps({**asdict(self), **more}) + b"\n"

    @property
    def is_near(self) -> bool:
        """Whether the process belongs to this machine and this start of it, so that we can see whether it lives."""
        return bool(self.machine and self.started) and self.machine == this_machine()

    @property
    def is_dead(self) -> bool:
        """Whether the process surely is no more."""
        if not self.is_near:
            return False
        started = start_of(self.pid)
        return started != self.started and bool(started or not _is_hidden(self.pid))

    def __str__(self) -> str:
        """Such as `process 4242 on host gpu-1, since 2026-11-26 23:40:00 UTC (run brave-otter)`."""
        named = f" (run {self.run})" if self.run else ""
        return printable(f"process {self.pid} on host {self.host}, since {self.since}{named}")


class LeaseHeld(RegionCapError):
    """Another holds the lease. Attributes: `holder`, None when it is not known."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(holder)
        self.holder = holder


def this_machine() -> str:
    """This start of this machine, and the container in it, whose processes we see; "" where that is not known."""
    try:
        return f"{BOOT_ID.read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _is_hidden(pid: int) -> bool:
    """Whether a process is there, of another user, of which /proc may say nothing: it is mounted with `hidepid`."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def start_of(pid: int) -> str:
    """When the process with this number was started, in the kernel's ticks; "" when there is none, or it has ended and
    its parent has not reaped it."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in (b"Z", b"X") else rest[18].decode()
