"""Our own lines in a run's log in Prefect, where a person reads how the run goes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from weakref import WeakValueDictionary

from prefect.logging import get_run_logger
from prefect.logging.handlers import PrefectConsoleHandler

from regioncap.config.setting_names import by_setting_names
from regioncap.printable import printable
from regioncap.process import SharedChange, shared
from regioncap.run.runs import RUNS

OURS = logging.getLogger("regioncap")
FLOWS = logging.getLogger("prefect.flow_runs")
PREFECT = logging.getLogger("prefect")
TASKS = "prefect.task_runs"


class _Forward(logging.Handler):
    """Hands lines of one run on to where its log is kept, whichever of the run's threads they come from. On a terminal
    they are seen as any logger's are."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run
        logger = get_run_logger()
        self._extra = dict(logger.extra or {}) if isinstance(logger, logging.LoggerAdapter) else {}

    def emit(self, record: logging.LogRecord) -> None:
        sent_already = hasattr(record, "worker")  # Dask's word for where it was logged
        if RUNS.current == self._run and FLOWS.isEnabledFor(record.levelno) and not sent_already:
            message = by_setting_names(printable(record.getMessage()))
            copied = logging.makeLogRecord({**vars(record), **self._extra, "msg": message, "args": None})
            for handler in FLOWS.handlers:
                handler.handle(copied)


_forwarding: WeakValueDictionary[str, SharedChange] = WeakValueDictionary()
"""By run: several of its tasks may forward at once, in a process of a cluster."""
_lock = threading.Lock()


@contextmanager
def forward_logs_to_prefect() -> Iterator[None]:
    """Forward what the current run logs in this process to that run's log in Prefect, during the block. Use it in a
    flow or a task."""
    with _lock:
        run = RUNS.current
        forwarding = _forwarding.setdefault(run, SharedChange(partial(_forwarded, run)))
    with _info_is_logged, forwarding:
        yield


@contextmanager
def _forwarded(run: str) -> Iterator[None]:
    handler = _Forward(run)
    OURS.addHandler(handler)
    try:
        yield
    finally:
        OURS.removeHandler(handler)


@shared
def _info_is_logged() -> Iterator[None]:
    level = OURS.level
    if level == logging.NOTSET:
        OURS.setLevel(logging.INFO)
    try:
        yield
    finally:
        OURS.setLevel(level)


def _worth_a_line(record: logging.LogRecord) -> bool:
    """False for Prefect's lines on the ends of tasks, of which a shard has seven. Bugs come with a traceback."""
    return record.name != TASKS or not RUNS.current or record.exc_info is not None


@shared
def brief_console() -> Iterator[None]:
    """In `with brief_console:` Prefect's console has our lines and those on runs, but none on their tasks; the pages
    have all. Who has set Prefect's log to DEBUG sees all."""
    ours = _consoles(PREFECT) if not OURS.handlers else []
    brief = [] if FLOWS.isEnabledFor(logging.DEBUG) else [*_consoles(logging.getLogger()), *_consoles(PREFECT)]
    for handler in ours:
        OURS.addHandler(handler)
    for handler in brief:
        handler.addFilter(_worth_a_line)
    try:
        yield
    finally:
        for handler in brief:
            handler.removeFilter(_worth_a_line)
        for handler in ours:
            OURS.removeHandler(handler)


def _consoles(logger: logging.Logger) -> list[logging.Handler]:
    return [one for one in logger.handlers if isinstance(one, PrefectConsoleHandler)]
