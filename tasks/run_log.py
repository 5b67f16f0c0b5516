"""Our own lines in a run's log in Prefect, where a person reads how the run goes."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from prefect.logging import get_run_logger

from regioncap.printable import printable
from regioncap.process import shared

OURS = logging.getLogger("regioncap")
FLOWS = logging.getLogger("prefect.flow_runs")


class _Forward(logging.Handler):
    """Hands lines on to where a run's log is kept, whichever thread they come from. On a terminal they are seen as any
    logger's are."""

    def __init__(self) -> None:
        super().__init__()
        run = get_run_logger()
        self._run = dict(run.extra or {}) if isinstance(run, logging.LoggerAdapter) else {}

    def emit(self, record: logging.LogRecord) -> None:
        if FLOWS.isEnabledFor(record.levelno):
            message = printable(record.getMessage())
            copied = logging.makeLogRecord({**vars(record), **self._run, "msg": message, "args": None})
            for handler in FLOWS.handlers:
                handler.handle(copied)


@shared
def forward_logs_to_prefect() -> Iterator[None]:
    """Forward what RegionCap logs in this process to the Prefect run, during the block. Use it in a flow or a task."""
    handler, level = _Forward(), OURS.level
    OURS.addHandler(handler)
    if level == logging.NOTSET:
        OURS.setLevel(logging.INFO)
    try:
        yield
    finally:
        OURS.removeHandler(handler)
        OURS.setLevel(level)
