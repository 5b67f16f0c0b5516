"""SIGTERM, as systemd and `timeout` send it: a command ends as it does with Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Terminated(KeyboardInterrupt):
    """Raised where SIGTERM arrives."""


@contextlib.contextmanager
def sigterm_like_ctrl_c() -> Iterator[None]:
    """In this block SIGTERM raises Terminated: Prefect makes it an end of the run, and then hands it to the handler
    that was there before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
