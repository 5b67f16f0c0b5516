"""What a person reads in a run's log in Prefect: our own lines among it, and errors in their own words.

Our errors say what to do; the frames above them are of no use to whoever reads them, so they are left out. Errors that
are bugs keep theirs.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

from prefect.logging import get_run_logger

from regioncap.errors import RegionCapError

OURS = logging.getLogger("regioncap")
FLOWS = logging.getLogger("prefect.flow_runs")
TASKS = "prefect.task_runs"
LAST_WORDS = "Engine execution exited with unexpected exception"
"""Prefect's line after that of the run's end, with the same error once more."""


class _Forward(logging.Handler):
    """Hands lines on to where a run's log is kept, whichever thread they come from. On a terminal they are seen as any
    logger's are."""

    def __init__(self) -> None:
        super().__init__()
        run = get_run_logger()
        self._run = dict(run.extra or {}) if isinstance(run, logging.LoggerAdapter) else {}

    def emit(self, record: logging.LogRecord) -> None:
        if FLOWS.isEnabledFor(record.levelno):
            copied = logging.makeLogRecord({**vars(record), **self._run})
            for handler in FLOWS.handlers:
                handler.handle(copied)


_lock = threading.Lock()
_users = 0
_handler: _Forward | None = None


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """In this block what RegionCap logs in this process is part of the run's log. Inside of a flow or task."""
    global _users, _handler
    with _lock:
        _users += 1
        if _handler is None:
            _handler = _Forward()
            OURS.addHandler(_handler)
        if OURS.level == logging.NOTSET:
            OURS.setLevel(logging.INFO)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _handler is not None:
                OURS.removeHandler(_handler)
                _handler = None


def in_words(record: logging.LogRecord) -> bool:
    """Makes a record of one of our errors that error's own words. Whether the record is to be logged: for a task it is
    not, since the line of its end says the same."""
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, RegionCapError):
        return True
    if record.name == TASKS or record.getMessage() == LAST_WORDS:
        return False
    record.msg, record.args, record.exc_info, record.exc_text = "%s", (str(error),), None, None
    return True


for _logger in (FLOWS, logging.getLogger(TASKS)):
    _logger.addFilter(in_words)
