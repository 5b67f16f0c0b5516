"""Ctrl-C, and SIGTERM as systemd and `timeout` send it: they end a command in the same way, wherever they reach it."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from regioncap.run.interrupts import Interrupts


class Terminated(KeyboardInterrupt):
    """Raised where SIGTERM arrives."""


RAISED = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


@contextlib.contextmanager
def stopping_signals() -> Iterator[Interrupts]:
    """In this block SIGINT raises KeyboardInterrupt and SIGTERM Terminated, and that ends the block even where the code
    that they reached makes another exception of it; one that reaches a finalizer, which cannot raise, is not shown.
    Gives what knows whether one came.

    Prefect makes an end of the run of a SIGTERM, and then hands it to the handler that was there before.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        error = RAISED[signal.Signals(number)]()
        interrupts.came(error)
        raise error

    before = {number: signal.signal(number, interrupt) for number in RAISED if _is_heeded(number)}
    show_ignored = sys.unraisablehook
    sys.unraisablehook = functools.partial(_show_ignored, show_ignored)
    try:
        with interrupts.named():
            yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = show_ignored


def in_a_word(error: BaseException) -> str:
    """What an interrupt does to a command."""
    return "terminated" if isinstance(error, Terminated) else "stopped"


def let_ctrl_c_end_python(code: int) -> None:
    """From now on a Ctrl-C ends the process at once, with this exit code: its work is done, and what is waited for at
    its exit would only show a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(code))


def _is_heeded(number: signal.Signals) -> bool:
    """Whether a signal does anything here: a shell has Ctrl-C ignored by what a script runs in the background."""
    return signal.getsignal(number) not in (signal.SIG_IGN, None)  # None: not set by Python, which cannot set it again


def _show_ignored(show: Callable[[sys.UnraisableHookArgs], object], ignored: sys.UnraisableHookArgs) -> None:
    """`show` an exception that Python ignores, but for an interrupt, of which `Interrupts` knows."""
    if not isinstance(ignored.exc_value, KeyboardInterrupt):
        show(ignored)
