"""Worker processes on this machine, for `runner="processes"`: where one interpreter cannot feed the servers."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distributed.security import Security
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from regioncap.config.model import RegionCapConfig
from regioncap.errors import WorkersLost
from regioncap.run.threads import cpus
from regioncap.tasks.workers import MAX_SHARDS_IN_FLIGHT

SCRIPT = Path(__file__).with_name("local_cluster.py")
END_SECONDS = 30.0

NO_FAREWELL = ("-W", "ignore::UserWarning:multiprocessing.resource_tracker")
"""Processes that end without closing anything are meant to."""

QUIET = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING"}
"""The run's own process has a line for each task on its console, or none."""

CPUS_PER_PROCESS = 1.5
"""What one interpreter can keep busy: about two thirds of a row's work need its lock (benchmarks/NOTES.md)."""


def process_count(config: RegionCapConfig) -> int:
    """How many worker processes a run has; two at least, since one does no more than threads."""
    return config.processes or max(2, int(cpus() / CPUS_PER_PROCESS))


def threads_of_one(config: RegionCapConfig) -> int:
    """How many threads decode and draw in each: all of them together make use of every CPU."""
    return config.threads or -(-cpus() // process_count(config))


@contextlib.contextmanager
def worker_processes(config: RegionCapConfig) -> Iterator[tuple[str, Security]]:
    """Worker processes, until the block ends: where Dask's client finds them, and what lets it in. They can import what
    can be imported here, and find Prefect's server. Raises WorkersLost where they cannot be started."""
    process = subprocess.Popen(
        [sys.executable, "-P", *NO_FAREWELL, str(SCRIPT), str(process_count(config)), str(MAX_SHARDS_IN_FLIGHT)],
        stdin=subprocess.PIPE,  # closed by the system when this process ends
        stdout=subprocess.PIPE,
        env={**os.environ, **QUIET, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
        start_new_session=True,  # a Ctrl-C is for this process, which lets the others finish
    )
    assert process.stdout is not None
    try:
        there = _arrival(process.stdout.readline())
        with _prefect_named():
            yield there["address"], Security(require_encryption=True, **there["access"])  # type: ignore[no-untyped-call]
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=END_SECONDS)  # closes its input
        process.kill()


def _arrival(line: bytes) -> dict[str, Any]:
    try:
        there: dict[str, Any] = json.loads(line)
    except ValueError:
        raise WorkersLost(
            "the worker processes could not be started: see the lines above. runner='threads' needs none."
        ) from None
    return there


@contextlib.contextmanager
def _prefect_named() -> Iterator[None]:
    """Name Prefect's server in its settings, which go with every task: where a run has a server of its own no setting
    names it, and each process would start another."""
    with get_client(sync_client=True) as client:
        url = str(client.api_url)
    with temporary_settings(updates={PREFECT_API_URL: url}):
        yield
