"""What a run was called by: when the async code is cancelled, or the command interrupted, the run stops.

A call keeps its event loop from doing anything, and `asyncio.run` answers a Ctrl-C by cancelling its task: nothing
would come of that before the end of the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from regioncap.errors import Stopped
from regioncap.run.context import RunContext

CHECK_SECONDS = 0.2

_cancelled: ContextVar[Callable[[], bool] | None] = ContextVar("cancelled", default=None)
"""Whether the caller is cancelled, where it has another thread make the call."""


@contextlib.contextmanager
def stopped_by(cancelled: Callable[[], bool]) -> Iterator[None]:
    """Runs that are called in this block, and in threads that begin in it, stop when `cancelled` gives True."""
    token = _cancelled.set(cancelled)
    try:
        yield
    finally:
        _cancelled.reset(token)


@contextlib.contextmanager
def stopping_with_caller(context: RunContext) -> Iterator[None]:
    """Stop the run when its caller is cancelled, or the command was interrupted and nobody heard of it. Raises
    asyncio.CancelledError for a cancelled caller, as an `await` would."""
    cancelled = _cancelled.get() or _cancelled_task()
    over = threading.Event()
    threading.Thread(
        target=_watch, args=(cancelled or context.interrupts.any_came, context, over), name="caller-watch", daemon=True
    ).start()
    try:
        yield
    except Stopped:
        if cancelled is not None and cancelled():
            raise asyncio.CancelledError from None
        raise
    finally:
        over.set()


def _watch(cancelled: Callable[[], bool], context: RunContext, over: threading.Event) -> None:
    while not over.wait(CHECK_SECONDS):
        if cancelled():
            context.stop_sending()
            return


def _cancelled_task() -> Callable[[], bool] | None:
    """Whether the asyncio task that this code runs in gets cancelled; None outside of any."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop in this thread
        return None
    if task is None:
        return None
    before = task.cancelling()  # what calls us may be the cleanup after it
    return lambda: task.cancelling() > before
