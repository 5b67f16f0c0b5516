"""Lets go of what a Prefect server that is gone was to be told.

Prefect tries every state, event and log line for seconds or minutes, and waits for that at the program's end: a program
whose server is gone would not end for minutes. What stops that is inside Prefect; where a version of it has changed,
the program ends later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping

from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import get_current_settings

SERVICES = (EventsWorker, APILogWorker)
LOGGERS = ("prefect._internal.concurrency", "prefect.events.clients")
"""They report each event that could not be delivered."""

SECONDS_TO_STOP = 5.0

logger = logging.getLogger("regioncap")


def deliver_nothing_more() -> None:
    """In the current run: try nothing twice, send no log lines, and drop the events that wait."""
    settings = get_current_settings()  # those of a call are its own
    settings.client.max_retries = 0
    settings.logging.to_api.enabled = False
    drop_undelivered()


def drop_undelivered() -> None:
    """Stop what sends events and log lines in this process. It starts again with the next of them."""
    try:
        with _unreported():
            running: Mapping[int, object] = EventsWorker._instances  # type: ignore[misc]  # services of all kinds
            for service in list(running.values()):
                if isinstance(service, SERVICES):
                    _stop(service)
    except Exception as error:
        logger.debug("events for Prefect could not be dropped: %r", error)


def _stop(service: EventsWorker | APILogWorker) -> None:
    loop, task, done = service._loop, service._task, service._done_event
    if loop is not None and task is not None and done is not None:
        loop.call_soon_threadsafe(task.cancel)
        asyncio.run_coroutine_threadsafe(done.wait(), loop).result(SECONDS_TO_STOP)
        service._queue.put_nowait(None)  # for its thread, which waits for more


@contextlib.contextmanager
def _unreported() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for one in loggers:
        one.addFilter(_nothing)
    try:
        yield
    finally:
        for one in loggers:
            one.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False
