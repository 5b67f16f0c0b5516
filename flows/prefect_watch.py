"""Notices that Prefect's server is gone for good, while a run is under way.

Prefect's client tries each of its requests again for about a minute; a run would go on in silence, and never end.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Iterator

import httpx
from prefect.client.orchestration import get_client

from regioncap.errors import PrefectLost, Stopped
from regioncap.flows.undelivered import deliver_nothing_more
from regioncap.run.context import RunContext

CHECK_SECONDS = 5.0
TICK_SECONDS = 0.5
GONE_SECONDS = 30.0
"""A server that cannot be connected to for so long does not come back: a restart takes less."""

REQUEST_SECONDS = 20.0

logger = logging.getLogger("regioncap")


@contextlib.contextmanager
def watching_prefect(context: RunContext) -> Iterator[None]:
    """Stop the run when Prefect's server is gone; `loss_of_prefect_named` says so.

    To a run that ends, a server that does not answer is gone at once: systemd and `timeout` send their SIGTERM to the
    server that the run has started, too.
    """
    over = threading.Event()
    with get_client(sync_client=True) as client:
        address = str(client.api_url).rstrip("/") + "/health"
    # Prefect's settings for this run are in context variables, which a new thread does not inherit.
    run = contextvars.copy_context().run
    thread = threading.Thread(target=run, args=(_watch, context, address, over), name="prefect-watch", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        if not context.prefect_lost.is_set() and not _answers(address):
            deliver_nothing_more()
        raise
    finally:
        over.set()


@contextlib.contextmanager
def loss_of_prefect_named(context: RunContext) -> Iterator[None]:
    """Raises PrefectLost where the run was stopped since Prefect's server is gone."""
    try:
        yield
    except Stopped:
        if context.prefect_lost.is_set():
            raise PrefectLost from None
        raise


def _watch(context: RunContext, address: str, over: threading.Event) -> None:
    checked = answered = time.monotonic()
    while not over.wait(TICK_SECONDS):
        ending = context.stop.is_set()
        if not ending and time.monotonic() - checked < CHECK_SECONDS:
            continue
        if _answers(address):
            answered = time.monotonic()
        elif ending or time.monotonic() - answered > GONE_SECONDS:
            if not ending:
                logger.error("%s", PrefectLost())
            context.prefect_lost.set()
            deliver_nothing_more()
            context.stop_sending()
            return
        checked = time.monotonic()


def _answers(address: str) -> bool:
    """Whether anybody is there: a slow answer is one, and so is a refusal."""
    try:
        httpx.get(address, timeout=REQUEST_SECONDS)
    except httpx.ConnectError:
        return False
    except httpx.HTTPError:
        return True
    return True
