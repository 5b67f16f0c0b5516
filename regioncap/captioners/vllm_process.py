"""vLLM as a child process: its command line, its GPUs, its port, and what to do when it does not start."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regioncap.config.model import RegionCapConfig
from regioncap.errors import CaptionerError, UsageError

LOOPBACK = "127.0.0.1"
WILDCARDS = ("0.0.0.0", "::")
"""Addresses to listen on that cannot be connected to."""

HEALTH_SECONDS = 5.0
LOG_LINES = 15

PATCH = 28
"""Pixels a side of one visual token of Qwen2.5-VL; models with smaller tokens need `max_model_len` set."""

TEXT_TOKENS = 512
"""For system prompt, prompt and chat template."""

TOKENS_PER_REGION = 24
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
    (r"gated repo|401 Client Error|403 Client Error", "the model requires a login: set HF_TOKEN in the environment"),
    (r"No module named '?vllm", "vLLM is not installed there: pip install 'regioncap[vllm]', or name another Python "
     "with --vllm-python"),
    (
        r"Failed to infer device type|No CUDA GPUs are available|Found no NVIDIA driver|libcuda",
        "vLLM finds no GPU: use --endpoint for a server elsewhere, or --gpus none with a CPU build of vLLM",
    ),
    (r"unrecognized arguments|invalid choice|argument --", "vLLM does not know an argument: check --vllm-args"),
    (r"address already in use", "the port was taken meanwhile: rerun"),
)  # fmt: skip
"""(what the log says, what to do): the first that matches is shown."""


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
    pictures = config.max_pixels if not config.may_ask_closer else config.max_pixels * 5 // 4
    texts = (len(config.prompt) + len(config.system_prompt)) // 3 + TEXT_TOKENS
    needed = pictures // PATCH**2 + texts + TOKENS_PER_REGION * config.max_boxes + config.max_tokens
    return -(-needed // 256) * 256


def command_of(config: RegionCapConfig, port: int, host: str = LOOPBACK) -> list[str]:
    """The command that serves the config's model on `port` of `host`."""
    images = 2 if config.may_ask_closer else 1
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
    """What to do about a server that exited, from its log."""
    return next((advice for pattern, advice in ADVICE if re.search(pattern, log)), "see its log")


_without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""For servers of this machine: a proxy of the environment cannot reach them."""


@dataclass
class Child:
    """One server under its supervisor; see `supervisor.py`."""

    supervisor: subprocess.Popen[bytes]
    port: int
    key: str
    log: Path
    host: str = LOOPBACK

    @property
    def url(self) -> str:
        """Base URL, on this machine."""
        return base_url(LOOPBACK if self.host in WILDCARDS else self.host, self.port)

    def running(self) -> bool:
        """Whether the server is still running."""
        return self.supervisor.poll() is None

    def healthy(self) -> bool:
        """Whether it reports itself healthy."""
        try:
            with _without_proxy.open(self.url.removesuffix("/v1") + "/health", timeout=HEALTH_SECONDS) as response:
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def ask_to_end(self) -> None:
        """Have the supervisor end it and all that it started; does not wait."""
        if self.supervisor.stdin is not None:
            with contextlib.suppress(OSError):
                self.supervisor.stdin.close()

    def end(self) -> None:
        """End it and all that it started; returns when that is done."""
        self.ask_to_end()
        self.supervisor.wait()
        if self.supervisor.stdout is not None:
            self.supervisor.stdout.close()

    def failure(self, what: str) -> CaptionerError:
        """`what` happened, what to do about it, and the end of the log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        tail = "\n".join(f"  {line}" for line in text.splitlines()[-LOG_LINES:])
        return CaptionerError(f"{what}: {why(text)}. The end of its log, {self.log}:\n{tail}")


def base_url(host: str, port: int) -> str:
    """Base URL of a server; an IPv6 address gets its brackets."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
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
        # A Ctrl-C in the terminal is for us: what is in flight must be able to end in order.
        start_new_session=True,
    )
    return Child(supervisor, port, key, log, host)


def groups_of(config: RegionCapConfig) -> list[tuple[str, ...]]:
    """The config's groups of GPUs. Raises UsageError when this machine does not have them."""
    visible = [] if config.gpus == "none" else visible_gpus()
    return gpu_groups(config.gpus, config.tensor_parallel_size, visible)
