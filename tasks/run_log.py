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

from tasks.errors import RegionCapError

OURS = logging.getLogger("regioncap")
TASKS = "prefect.task_runs"
LAST_WORDS = "Engine execution exited with unexpected exception"
"""Prefect's line after that of the run's end, with the same error once more."""


class _Forward(logging.Handler):
    """Hands lines on to the log of a run, whichever thread they come from."""

    def __init__(self, run_log: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> None:
        super().__init__()
        self._run_log = run_log

    def emit(self, record: logging.LogRecord) -> None:
        self._run_log.log(record.levelno, "%s", record.getMessage(), exc_info=record.exc_info)


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
            _handler = _Forward(get_run_logger())
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


for _name in ("prefect.flow_runs", TASKS):
    logging.getLogger(_name).addFilter(in_words)
