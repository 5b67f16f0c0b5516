"""The asyncio task that a run was called by: when it is cancelled, the run stops.

A call keeps its event loop from doing anything, and `asyncio.run` answers a Ctrl-C by cancelling its task: nothing
would come of that before the end of the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from regioncap.errors import Stopped
from regioncap.run.context import RunContext

CHECK_SECONDS = 0.2

Task = asyncio.Task[Any]

_caller: ContextVar[Task | None] = ContextVar("caller", default=None)


@contextlib.contextmanager
def called_by(task: Task | None) -> Iterator[None]:
    """Runs that are called in this block, from threads too that begin in it, stop with `task`."""
    token = _caller.set(task)
    try:
        yield
    finally:
        _caller.reset(token)


@contextlib.contextmanager
def stopping_with_caller(context: RunContext) -> Iterator[None]:
    """Stop the run when the task that called it is cancelled. Raises asyncio.CancelledError, as an `await` would."""
    task = _caller.get() or _current_task()
    if task is None:
        yield
        return
    over = threading.Event()
    threading.Thread(target=_watch, args=(task, context, over), name="caller-watch", daemon=True).start()
    try:
        yield
    except Stopped:
        if task.cancelling():
            raise asyncio.CancelledError from None
        raise
    finally:
        over.set()


def _watch(task: Task, context: RunContext, over: threading.Event) -> None:
    while not over.wait(CHECK_SECONDS):
        if task.cancelling():
            context.stop_sending()
            return


def _current_task() -> Task | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop in this thread
        return None
