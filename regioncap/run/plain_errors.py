"""Errors of ours in Prefect's logs: in their own words, without a traceback.

Our errors say what to do; the frames above them are of no use to whoever reads them. Errors that are bugs keep theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from regioncap.errors import RegionCapError
from regioncap.process import shared

FLOWS, TASKS = "prefect.flow_runs", "prefect.task_runs"
"""Prefect's loggers of runs; their names, since nothing here needs Prefect."""

LAST_WORDS = "Engine execution exited with unexpected exception"
"""Prefect's line after that of the run's end, with the same error once more."""


def in_words(record: logging.LogRecord) -> bool:
    """Make a record of one of our errors that error's own words. Whether the record is to be logged: for a task it is
    not, since the line of its end says the same."""
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, RegionCapError):
        return True
    if record.name == TASKS or record.getMessage() == LAST_WORDS:
        return False
    record.msg, record.args, record.exc_info, record.exc_text = "%s", (str(error),), None, None
    return True


@shared
def plain_errors() -> Iterator[None]:
    """In `with plain_errors:` Prefect logs our errors as `in_words` says."""
    loggers = [logging.getLogger(name) for name in (FLOWS, TASKS)]
    for logger in loggers:
        logger.addFilter(in_words)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(in_words)
