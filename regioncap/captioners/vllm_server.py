"""vLLM of our own: started when the first caption is missing, restarted once if it dies, ended with the run.

One server for each group of `tensor_parallel_size` GPUs, on this machine's loopback, with a key of its own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from regioncap.captioners.base import Setting
from regioncap.captioners.session import Server
from regioncap.captioners.vlm import VlmCaptioner
from regioncap.config.model import RegionCapConfig
from regioncap.errors import CaptionerError, Stopped, UsageError

logger = logging.getLogger("regioncap")

LOOPBACK = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "::")
"""Addresses to listen on that are none to connect to."""

START_SECONDS = 3600.0
"""Loading a large model from a slow disk, or from the network the first time, takes its time."""

LOOK_SECONDS = 0.5
SAY_SECONDS = 60.0
DEAF_SECONDS = 60.0
"""A server that does not say within this time that it is well counts as dead."""

LOG_LINES = 15

PATCH = 28
"""Pixels a side of one visual token of Qwen2.5-VL; models with smaller tokens want `max_model_len` set."""

TOKENS_OF_TEXT = 512
"""For system prompt, prompt and chat template."""

TOKENS_A_REGION = 24
"""Of the prompt: a region's label, and the form of its answer."""

ADVICE = (
    (
        r"CUDA out of memory|OutOfMemoryError|No available memory for the cache|Free memory on device",
        "the GPU's memory is too small for these settings: lower --max-model-len (or --max-pixels), let more GPUs "
        "share the model with --tensor-parallel-size, or change --gpu-memory-utilization",
    ),
    (
        r"max seq len|is larger than the maximum number of tokens that can be stored|KV cache",
        "the context does not fit: lower --max-model-len (it follows from --max-pixels and --max-tokens), or give "
        "more memory with --gpu-memory-utilization or --tensor-parallel-size",
    ),
    (
        r"not a valid model identifier|Repository Not Found|404 Client Error|does not appear to have a file named|"
        r"Can't load the configuration|couldn't connect to|LocalEntryNotFound|OfflineMode",
        "there is no such model here: check --model (a name on the Hugging Face hub, or a folder), and that the hub "
        "can be reached",
    ),
    (r"gated repo|401 Client Error|403 Client Error", "the model wants a login: set HF_TOKEN in the environment"),
    (r"No module named '?vllm", "vLLM is not installed there: pip install 'regioncap[vllm]', or name another Python "
     "with --vllm-python"),
    (
        r"Failed to infer device type|No CUDA GPUs are available|Found no NVIDIA driver|libcuda",
        "vLLM finds no GPU: use --endpoint for a server elsewhere, or --gpus none with a CPU build of vLLM",
    ),
    (r"unrecognized arguments|invalid choice|argument --", "vLLM does not know an argument: check --vllm-args"),
    (r"address already in use", "the port was taken meanwhile: run the same command again"),
)  # fmt: skip
"""What to do, by what the log says: the first that fits is told."""


def visible_gpus() -> list[str]:
    """The GPUs of this machine that may be used: `CUDA_VISIBLE_DEVICES` if it is set, else what nvidia-smi lists."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu.strip() for gpu in named.split(",") if gpu.strip()]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listed.stdout.split() if listed.returncode == 0 else []


def gpu_groups(gpus: str, size: int, visible: Sequence[str]) -> list[tuple[str, ...]]:
    """Which GPUs serve together: groups of `size`; one empty group means a server without any.

    `gpus`: `all`, a count, a list such as `0,2`, or `none`. Raises UsageError when there are not enough.

    >>> gpu_groups("all", 2, ["0", "1", "2", "3"])
    [('0', '1'), ('2', '3')]
    """
    if gpus == "none":
        return [()]
    if gpus == "all":
        chosen = list(visible)
    elif re.fullmatch(r"\d+", gpus):
        if int(gpus) > len(visible):
            raise UsageError(f"gpus: expected at most the {len(visible)} GPUs of this machine, got {gpus}")
        chosen = list(visible[: int(gpus)])
    else:
        chosen = [gpu.strip() for gpu in gpus.split(",") if gpu.strip()]
        unknown = [gpu for gpu in chosen if gpu not in visible]
        if unknown:
            raise UsageError(f"gpus: expected some of {', '.join(visible) or 'no GPUs'}, got {', '.join(unknown)}")
    if not chosen:
        raise UsageError(
            "gpus: no GPU was found on this machine. Use --endpoint for a server elsewhere, --captioner pixels for no "
            "model, or --gpus none with a CPU build of vLLM"
        )
    if len(chosen) < size:
        raise UsageError(f"tensor_parallel_size: expected at most the {len(chosen)} GPUs that there are, got {size}")
    return [tuple(chosen[start : start + size]) for start in range(0, len(chosen) - size + 1, size)]


def context_length(config: RegionCapConfig) -> int:
    """Tokens that the largest picture, its prompt and its answer need, rounded up to a multiple of 256."""
    if config.max_model_len is not None:
        return config.max_model_len
    pictures = config.max_pixels if not config.asks_closer else config.max_pixels * 5 // 4
    texts = (len(config.prompt) + len(config.system_prompt)) // 3 + TOKENS_OF_TEXT
    needed = pictures // PATCH**2 + texts + TOKENS_A_REGION * config.max_boxes + config.max_tokens
    return -(-needed // 256) * 256


def command_of(config: RegionCapConfig, port: int, host: str = LOOPBACK) -> list[str]:
    """The command that serves the config's model on `port` of `host`."""
    images = 2 if config.asks_closer else 1
    # The module, not the `vllm` command: a CPU build is another distribution, whose command fails.
    return [
        config.vllm_python or sys.executable, "-m", "vllm.entrypoints.openai.api_server",
        "--host", host, "--port", str(port),
        "--model", config.model or "", "--served-model-name", config.model or "",
        "--tensor-parallel-size", str(config.tensor_parallel_size),
        "--gpu-memory-utilization", str(config.gpu_memory_utilization),
        "--max-model-len", str(context_length(config)),
        "--limit-mm-per-prompt", json.dumps({"image": images}),
        "--uvicorn-log-level", "warning",
        *shlex.split(config.vllm_args),
    ]  # fmt: skip


def why(log: str) -> str:
    """What to do about a server that ended, from its log."""
    return next((advice for pattern, advice in ADVICE if re.search(pattern, log)), "see its log")


@dataclass
class Child:
    """One server under its supervisor."""

    supervisor: subprocess.Popen[bytes]
    port: int
    key: str
    log: Path
    host: str = LOOPBACK

    @property
    def url(self) -> str:
        """Base URL, on this machine."""
        return base_url(LOOPBACK if self.host in EVERYWHERE else self.host, self.port)

    def running(self) -> bool:
        """Whether the server has not ended."""
        return self.supervisor.poll() is None

    def healthy(self) -> bool:
        """Whether it serves."""
        try:
            with urllib.request.urlopen(self.url.removesuffix("/v1") + "/health", timeout=5) as response:
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def end(self) -> None:
        """End it and all that it started; returns when that is done."""
        if self.supervisor.stdin is not None:
            with contextlib.suppress(OSError):
                self.supervisor.stdin.close()
        self.supervisor.wait()
        if self.supervisor.stdout is not None:
            self.supervisor.stdout.close()

    def failure(self, what: str) -> CaptionerError:
        """What to tell the user: what to do, and the end of the log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        tail = "\n".join(f"  {line}" for line in text.splitlines()[-LOG_LINES:])
        return CaptionerError(f"{what}: {why(text)}. The end of its log, {self.log}:\n{tail}")


def base_url(host: str, port: int) -> str:
    """Base URL of a server; an IPv6 address gets its brackets."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(config: RegionCapConfig, gpus: Sequence[str], log: Path, port: int, key: str, host: str = LOOPBACK) -> Child:
    """Start a server for the config's model on these GPUs; it is not ready yet."""
    environment = {**os.environ, "VLLM_API_KEY": key, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    supervisor = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("supervisor.py")), str(log), *command_of(config, port, host)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        # A Ctrl-C in the terminal is for us: what is under way must be able to end in order.
        start_new_session=True,
    )
    return Child(supervisor, port, key, log, host)


class VllmServers:
    """The servers of one run. Thread-safe; `close` also ends a start that is under way."""

    def __init__(
        self, config: RegionCapConfig, host: str = LOOPBACK, first_port: int | None = None, key: str | None = None
    ) -> None:
        self._config = config
        self._host = host
        self._first_port = first_port
        self._key = key or secrets.token_urlsafe(24)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._folder: Path | None = None
        self._children: list[Child] = []
        self._restarted: set[int] = set()
        self._failed = False
        """Whether a log is wanted that says why."""
        self._groups: list[tuple[str, ...]] = []

    def start(self) -> list[Server]:
        """Start them all and wait until they serve. Raises CaptionerError with the end of the log, Stopped."""
        self._groups = groups_of(self._config)
        with self._lock:
            if self._over.is_set():
                raise Stopped
            self._folder = Path(tempfile.mkdtemp(prefix="regioncap-vllm-"))
        where = ", ".join("+".join(group) or "CPU" for group in self._groups)
        logger.info("starting vLLM with %s on %s; its log: %s", self._config.model, where, self._folder)
        with self._lock:
            for number, group in enumerate(self._groups):
                if self._over.is_set():
                    raise Stopped
                port = free_port() if self._first_port is None else self._first_port + number
                log = self._folder / f"vllm-{number}.log"
                self._children.append(start(self._config, group, log, port, self._key, self._host))
            children = list(self._children)
        begun = time.monotonic()
        for child in children:
            self._wait(child)
        logger.info("vLLM is ready after %.0f s", time.monotonic() - begun)
        return [Server(child.url, child.key, partial(self._revive, number)) for number, child in enumerate(children)]

    def _wait(self, child: Child) -> None:
        begun = said = time.monotonic()
        while not child.healthy():
            now = time.monotonic()
            if self._over.is_set():
                raise Stopped
            if not child.running():
                raise self._failure(child, "vLLM did not start")
            if now - begun > START_SECONDS:
                raise self._failure(child, f"vLLM was not ready after {START_SECONDS:.0f} s")
            if now - said > SAY_SECONDS:
                said = now
                logger.info("vLLM is still starting (%.0f s)", now - begun)
            self._over.wait(LOOK_SECONDS)

    def _failure(self, child: Child, what: str) -> CaptionerError:
        self._failed = True
        return child.failure(what)

    def _revive(self, number: int) -> None:
        """Start a server again that has ended, or hangs; the second time is the last. Raises CaptionerError."""
        with self._lock:
            if self._over.is_set():
                return
            child = self._children[number]
        begun = time.monotonic()
        while child.running() and time.monotonic() - begun < DEAF_SECONDS:
            if self._over.is_set() or child.healthy():
                return
            self._over.wait(LOOK_SECONDS)
        if self._over.is_set():
            return
        if number in self._restarted:
            raise self._failure(child, "vLLM ended again, so the run stops; what was answered is kept")
        self._restarted.add(number)
        logger.warning("vLLM ended in the middle (%s); it is started again", child.log)
        child.end()
        log = child.log.with_suffix(".again.log")
        with self._lock:
            if self._over.is_set():
                return
            # Where requests go already.
            again = start(self._config, self._groups[number], log, child.port, child.key, self._host)
            self._children[number] = again
        self._wait(again)

    def watch(self) -> None:
        """Start a server again that ends, until `close`. Raises CaptionerError for one that ends once more."""
        while not self._over.wait(LOOK_SECONDS):
            for number, child in enumerate(self._children):
                if not child.running():
                    self._revive(number)

    def close(self) -> None:
        """End all servers; returns when nothing of them is left."""
        self._over.set()
        with self._lock:
            children, self._children = self._children, []
        for child in children:
            if child.supervisor.stdin is not None:
                with contextlib.suppress(OSError):
                    child.supervisor.stdin.close()  # all at once, then wait for each
        for child in children:
            child.end()
        if self._folder is not None and not self._failed:
            shutil.rmtree(self._folder, ignore_errors=True)


def groups_of(config: RegionCapConfig) -> list[tuple[str, ...]]:
    """The config's groups of GPUs. Raises UsageError when this machine does not have them."""
    visible = [] if config.gpus == "none" else visible_gpus()
    return gpu_groups(config.gpus, config.tensor_parallel_size, visible)


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

    def __init__(self, setting: Setting) -> None:
        self._servers = VllmServers(setting.config)
        super().__init__(setting)

    def check(self) -> None:
        """Raises UsageError when vLLM or the GPUs are not here."""
        check_vllm(self._config)
        groups_of(self._config)

    def connect(self) -> Sequence[Server]:
        """Start the servers. Raises CaptionerError when they do not."""
        return self._servers.start()

    def close(self) -> None:
        """Give up what is under way, and end the servers."""
        self._servers.close()
        super().close()
