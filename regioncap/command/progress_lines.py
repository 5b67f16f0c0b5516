"""How far a run is, where there is no terminal to draw a bar on: a line of text now and then, for logs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from regioncap.report.run_summary import duration, progress_text
from regioncap.run.context import RunContext

SECONDS_BETWEEN_LINES = 30.0

Write = Callable[[str], None]
Wait = Callable[[float], bool]
"""Waits for so many seconds; returns True, at once, when the run is over."""


@contextlib.contextmanager
def progress_lines(context: RunContext, write: Write, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """`write` how far the run is, every half minute until the block ends, and how it went when it ends well."""
    over, begun = threading.Event(), clock()
    thread = threading.Thread(
        target=write_progress, args=(context, write, over.wait, clock), name="progress", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    counts = context.progress.counts
    write(f"finished: {counts.rows:,} rows, {counts.rejects:,} rejected, in {duration(clock() - begun)}")


def write_progress(context: RunContext, write: Write, wait: Wait, clock: Callable[[], float]) -> None:
    """`write` a line each time that `wait` returns False."""
    begun = clock()
    while not wait(SECONDS_BETWEEN_LINES):
        percent, text = progress_text(context, clock() - begun)
        write(f"progress: {percent:.0f} %, {text}" if percent else f"progress: {text}")
