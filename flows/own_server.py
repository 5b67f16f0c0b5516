"""Prefect's own server, for a run that finds no other: no Ctrl-C reaches it, and it never outlives its process."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

import regioncap.run
from regioncap.errors import UsageError
from regioncap.masking import outside_text

REFUSED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)

_guarded: set[int] = set()
"""Process ids of servers that are ended when this process is gone. A server serves the process that started it, all of
its runs and threads, until the end."""


def ensure_server() -> None:
    """Start Prefect's own server where there is no other.

    A terminal sends a Ctrl-C to all processes of its group: without its server the run could not end, and Prefect would
    wait for it for minutes. A process starts with the signals blocked that are blocked where it is started.

    Raises UsageError when none can be used, neither one that is named nor Prefect's own.
    """
    if FlowRunContext.get() is not None:  # a flow that calls ours has one
        return
    blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with get_client(sync_client=True) as client:
            client.raise_for_api_version_mismatch()
    except Exception as error:  # whatever answers at that address
        raise UsageError(f"Prefect: {_problem(error)}. {_remedy(error)}") from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)
    # Prefect's own server has been started if, and only if, Prefect has loaded what starts it, which takes a second.
    server = sys.modules.get("prefect.server.api.server")
    started = server.SubprocessASGIServer().server_process if server is not None else None
    if started is not None and started.pid not in _guarded and hasattr(os, "pidfd_open"):
        _guarded.add(started.pid)
        _guard(started.pid)


def _problem(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"its server answered {error.response.status_code} {error.response.reason_phrase}"
    return outside_text(str(error)).rstrip(".")


def _remedy(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in REFUSED:
        return (
            "The server asks for credentials: set PREFECT_API_AUTH_STRING to those of a server of your own, or "
            "PREFECT_API_KEY for Prefect Cloud."
        )
    return (
        "If PREFECT_API_URL or a Prefect profile names a server, start it (`prefect server start`) or correct the "
        "address; if none is named, a run starts its own."
    )


def _guard(pid: int) -> None:
    """End the process when this one is gone: without that, a server lives on after kill -9, for good."""
    script = Path(regioncap.run.__file__).with_name("end_with_us.py")
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", str(script), str(pid)],
        stdin=subprocess.PIPE,  # closed by the system when this process ends
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    atexit.register(guard.communicate)  # closes its input, and waits until the server has ended
