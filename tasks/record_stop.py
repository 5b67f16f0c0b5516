"""How a run that stops is put on record: beside its output, and as the number of captions that it leaves."""

from __future__ import annotations

from regioncap.errors import Waiting
from regioncap.run.context import RunContext
from regioncap.tasks.so_far import count_kept
from regioncap.tasks.write import record_run


def record_stop(context: RunContext, error: BaseException) -> None:
    """Close the captioner, record that `error` stopped the run, or what it waits for, and set `context.kept`."""
    context.close_captioner()  # what came is kept by then, and nothing comes after that
    record_run(context, "waiting" if isinstance(error, Waiting) else "stopped", str(error) or type(error).__name__)
    context.kept = count_kept(context)
