"""vLLM of our own: started when the first caption is missing, restarted once if it dies, ended with the run.

One server for each group of `tensor_parallel_size` GPUs, on this machine's loopback interface, with a key of its own.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from regioncap.captioners.access import Access
from regioncap.captioners.base import CaptionerOptions
from regioncap.captioners.health import RetryPolicy
from regioncap.captioners.session import Server
from regioncap.captioners.vllm_process import LOOPBACK, Child, free_port, groups_of, start
from regioncap.captioners.vlm import VlmCaptioner
from regioncap.config.model import RegionCapConfig
from regioncap.errors import CaptionerError, Stopped, UsageError

START_SECONDS = 3600.0
"""Loading a large model from a slow disk, or from the network the first time, takes its time."""

CHECK_SECONDS = 0.5
LOG_SECONDS = 60.0
UNRESPONSIVE_SECONDS = 60.0
"""A server that does not report itself healthy within this time counts as dead."""

Launch = Callable[[RegionCapConfig, Sequence[str], Path, int, str, str], Child]
"""See `regioncap.captioners.vllm_process.start`."""

logger = logging.getLogger("regioncap")


class VllmServers:
    """The servers of one run. Thread-safe; `close` also ends a start in progress.

    `first_port`: the next servers follow; None takes free ones. `key`: None makes one. `launch`: starts one process.
    """

    def __init__(
        self,
        config: RegionCapConfig,
        host: str = LOOPBACK,
        first_port: int | None = None,
        key: str | None = None,
        launch: Launch = start,
    ) -> None:
        self._launch = launch
        self._config = config
        self._host = host
        self._first_port = first_port
        self.key = key or secrets.token_urlsafe(24)
        """What all of these servers require."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._folder: Path | None = None
        self._children: list[Child] = []
        self._restarted: set[int] = set()
        self._failed = False
        """Whether the logs are still needed, to say why."""
        self._groups: list[tuple[str, ...]] = []

    def start(self) -> list[Server]:
        """Start them all and wait until they serve. Raises CaptionerError with the end of the log, Stopped."""
        self._groups = groups_of(self._config)
        with self._lock:
            if self._closed.is_set():
                raise Stopped
            self._folder = Path(tempfile.mkdtemp(prefix="regioncap-vllm-"))
        where = ", ".join("+".join(group) or "CPU" for group in self._groups)
        logger.info("starting vLLM with %s on %s; its log: %s", self._config.model, where, self._folder)
        with self._lock:
            for number, group in enumerate(self._groups):
                if self._closed.is_set():
                    raise Stopped
                port = free_port() if self._first_port is None else self._first_port + number
                log = self._folder / f"vllm-{number}.log"
                self._children.append(self._launch(self._config, group, log, port, self.key, self._host))
            children = list(self._children)
        begun = time.monotonic()
        for child in children:
            self._wait(child)
        logger.info("vLLM is ready after %.0f s", time.monotonic() - begun)
        return [
            Server(child.url, Access().with_key(child.key), partial(self._revive, number))
            for number, child in enumerate(children)
        ]

    def _wait(self, child: Child) -> None:
        begun = logged = time.monotonic()
        while not child.healthy():
            now = time.monotonic()
            if self._closed.is_set():
                raise Stopped
            if not child.running():
                raise self._failure(child, "vLLM did not start")
            if now - begun > START_SECONDS:
                raise self._failure(child, f"vLLM was not ready after {START_SECONDS:.0f} s")
            if now - logged > LOG_SECONDS:
                logged = now
                logger.info("vLLM is still starting (%.0f s)", now - begun)
            self._closed.wait(CHECK_SECONDS)

    def _failure(self, child: Child, what: str) -> CaptionerError:
        self._failed = True
        return child.failure(what)

    def _revive(self, number: int) -> None:
        """Restart a server that has exited, or hangs; once. Raises CaptionerError the second time."""
        with self._lock:
            if self._closed.is_set():
                return
            child = self._children[number]
        begun = time.monotonic()
        while child.running() and time.monotonic() - begun < UNRESPONSIVE_SECONDS:
            if self._closed.is_set() or child.healthy():
                return
            self._closed.wait(CHECK_SECONDS)
        if self._closed.is_set():
            return
        if number in self._restarted:
            raise self._failure(child, "vLLM ended again, so the run stops")
        self._restarted.add(number)
        logger.warning("vLLM exited during the run (%s); restarting it", child.log)
        child.end()
        log = child.log.with_suffix(".again.log")
        with self._lock:
            if self._closed.is_set():
                return
            # On the same port: requests go there already.
            again = self._launch(self._config, self._groups[number], log, child.port, child.key, self._host)
            self._children[number] = again
        self._wait(again)

    def watch(self) -> None:
        """Restart servers that exit, until `close`. Raises CaptionerError for one that exits twice."""
        while not self._closed.wait(CHECK_SECONDS):
            for number, child in enumerate(self._children):
                if not child.running():
                    self._revive(number)

    def close(self) -> None:
        """End all servers; returns when nothing of them is left."""
        self._closed.set()
        with self._lock:
            children, self._children = self._children, []
        for child in children:
            child.ask_to_end()  # all at once, then wait for each
        for child in children:
            child.end()
        if self._folder is not None and not self._failed:
            shutil.rmtree(self._folder, ignore_errors=True)


def check_vllm(config: RegionCapConfig) -> None:
    """Raises UsageError when there is no vLLM to start."""
    if config.vllm_python is not None:
        if not os.access(config.vllm_python, os.X_OK):
            raise UsageError(f"vllm_python: expected a Python that can be run, got {config.vllm_python!r}")
    elif importlib.util.find_spec("vllm") is None:
        raise UsageError(
            "captioner 'vllm': vLLM is not installed in this environment. Install it with pip install "
            "'regioncap[vllm]', name an environment that has it with --vllm-python, or use a server with --endpoint"
        )


class VllmCaptioner(VlmCaptioner):
    """A model on this machine's GPUs."""

    name = "vllm"

    def __init__(self, options: CaptionerOptions, policy: RetryPolicy | None = None) -> None:
        self._servers = VllmServers(options.config)
        super().__init__(options, policy)

    def check(self) -> None:
        """Raises UsageError when vLLM or the GPUs are not here."""
        check_vllm(self._config)
        groups_of(self._config)

    def connect(self) -> Sequence[Server]:
        """Start the servers. Raises CaptionerError when they do not."""
        return self._servers.start()

    def close(self) -> None:
        """Give up what is in flight, and end the servers."""
        self._servers.close()
        super().close()
