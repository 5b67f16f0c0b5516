"""vLLM of our own: started, found dead, started again, and never left behind.

What is started here is not vLLM but the fake server under vLLM's module name, with a worker process as vLLM has; the
real one is tried by `make test-vllm`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.access import Access
from regioncap.captioners.base import CaptionerOptions
from regioncap.captioners.health import RetryPolicy
from regioncap.captioners.vllm_process import Child, command_of, context_length, free_port, gpu_groups, why
from regioncap.captioners.vllm_server import VllmCaptioner, VllmServers
from regioncap.captioners.vllm_serving import serve_until
from regioncap.captioners.vlm import OpenAICaptioner
from regioncap.config.model import RegionCapConfig
from regioncap.errors import CaptionerError, UsageError
from tests.support.commands import ROOT
from tests.support.model_servers import Bill, captions_for, request_of
from tests.support.proxies import RefusingProxy
from tests.support.waiting import until

SERVER = """
import os, subprocess, sys, time
from pathlib import Path

here = Path(os.environ["FAKE_VLLM"])
# A worker that leaves the group, as a stubborn one might.
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
with (here / "pids").open("a") as pids:
    pids.write(f"{os.getpid()} {worker.pid}\\n")
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
(here / "arguments").write_text("\\n".join(sys.argv[1:]))
print("fake vLLM starts", flush=True)
if (here / "fail").exists():
    print((here / "fail").read_text(), flush=True)
    sys.exit(1)
while (here / "hold").exists():
    time.sleep(0.02)
from regioncap.captioners.fake_server import Behaviour, RunningServer
behaviour = Behaviour(model=arguments["--served-model-name"], key=os.environ["VLLM_API_KEY"], latency=0.02)
RunningServer(behaviour, port=int(arguments["--port"])).serve_forever()
"""


@pytest.fixture
def fake_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Python with a module `vllm` that serves the fake; gives the folder where it leaves its process ids."""
    package = tmp_path / "packages" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "api_server.py").write_text(SERVER)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path / "packages"}:{ROOT} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("FAKE_VLLM", str(tmp_path))
    yield tmp_path
    for pid in started(tmp_path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def started(folder: Path) -> list[int]:
    """Process ids of all servers and workers that were started."""
    with contextlib.suppress(FileNotFoundError):
        return [int(pid) for pid in (folder / "pids").read_text().split()]
    return []


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not taken leave of does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def config_of(folder: Path, **settings: Any) -> RegionCapConfig:
    values = {"input": "a.jsonl", "model": "Qwen/tiny", "gpus": "none", "vllm_python": str(folder / "python")}
    return RegionCapConfig(**{**values, "max_pixels": 40_000, "max_boxes": 4, **settings})


@pytest.fixture
def captioner(fake_vllm: Path, request: pytest.FixtureRequest) -> Iterator[VllmCaptioner]:
    """A captioner with a vLLM of its own; its parameter is further settings, and `policy`."""
    settings = dict(getattr(request, "param", {}))
    policy = settings.pop("policy", None)
    made = VllmCaptioner(CaptionerOptions(config_of(fake_vllm, **settings), count=Bill()), policy)
    yield made
    made.close()


def test_it_starts_with_the_first_caption_and_ends_with_the_captioner(
    fake_vllm: Path, captioner: VllmCaptioner
) -> None:
    captioner.check()
    assert not started(fake_vllm)
    futures = [captioner.submit(request_of(seed)) for seed in range(20)]
    assert [future.result(timeout=60).captions for future in futures] == [captions_for(n, 1, 2, 3) for n in range(20)]
    pids = started(fake_vllm)
    assert len(pids) == 2  # one server with one worker, however many captions were missing at once
    assert all(map(alive, pids))
    captioner.close()
    assert not any(map(alive, pids))


def test_a_proxy_does_not_come_between(
    fake_vllm: Path, captioner: VllmCaptioner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with RefusingProxy() as proxy:
        for name, value in proxy.environment().items():
            monkeypatch.setenv(name, value)
        assert captioner.submit(request_of(1)).result(timeout=60).captions == captions_for(1, 1, 2, 3)
    assert proxy.asked == []


def test_it_is_started_again_once(fake_vllm: Path, captioner: VllmCaptioner) -> None:
    assert captioner.submit(request_of(1)).result(timeout=60).code is None
    os.kill(started(fake_vllm)[0], signal.SIGKILL)
    assert captioner.submit(request_of(2)).result(timeout=60).captions == captions_for(2, 1, 2, 3)
    assert len(started(fake_vllm)) == 4
    os.kill(started(fake_vllm)[2], signal.SIGKILL)
    error = captioner.submit(request_of(3)).exception(timeout=60)
    assert isinstance(error, CaptionerError)
    assert "vLLM ended again" in str(error)
    captioner.close()
    assert not any(map(alive, started(fake_vllm)))


@pytest.mark.parametrize("captioner", [{"max_in_flight": 2, "policy": RetryPolicy(patience=0.2)}], indirect=True)
def test_requests_wait_for_a_slow_start_as_long_as_it_takes(fake_vllm: Path, captioner: VllmCaptioner) -> None:
    assert captioner.submit(request_of(1)).result(timeout=60).code is None
    (fake_vllm / "hold").touch()
    os.kill(started(fake_vllm)[0], signal.SIGKILL)
    futures = [captioner.submit(request_of(seed)) for seed in range(2, 14)]
    assert wait(futures, timeout=2).done == set()  # many times what would end the run, were the server not ours
    (fake_vllm / "hold").unlink()
    assert [future.result(timeout=60).captions for future in futures] == [
        captions_for(n, 1, 2, 3) for n in range(2, 14)
    ]


class SlowToEnd(Child):
    """A process that ends only when it was asked to twice: by who restarts it, and by who closes."""

    def __init__(self, port: int, key: str, log: Path) -> None:
        process = subprocess.Popen(["true"])
        process.wait()
        super().__init__(process, port, key, log)
        self.ending, self.asked_again = threading.Event(), threading.Event()

    def ask_to_end(self) -> None:
        (self.asked_again if self.ending.is_set() else self.ending).set()

    def end(self) -> None:
        self.ask_to_end()
        assert self.asked_again.wait(60)


def test_closing_while_a_dead_server_is_seen_to_starts_no_other(tmp_path: Path) -> None:
    children: list[SlowToEnd] = []

    def launch(config: RegionCapConfig, gpus: Sequence[str], log: Path, port: int, key: str, host: str) -> Child:
        children.append(SlowToEnd(port, key, log))
        return children[-1]

    servers = VllmServers(config_of(tmp_path), launch=launch)
    with pytest.raises(CaptionerError, match="vLLM did not start"):
        servers.start()
    restarting = threading.Thread(target=servers.watch)
    restarting.start()
    assert children[0].ending.wait(60)
    servers.close()
    restarting.join(60)
    assert not restarting.is_alive()
    assert len(children) == 1


LOGS = {
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20 GiB": "--tensor-parallel-size",
    "OSError: Qwen/tiny is not a local folder and is not a valid model identifier": "check --model",
    "ModuleNotFoundError: No module named 'vllm'": r"pip install 'regioncap\[vllm\]'",
    "RuntimeError: Failed to infer device type": "--endpoint",
    "api_server.py: error: unrecognized arguments: --dtypo half": "--vllm-args",
    "something nobody has seen": "see its log",
}


@pytest.mark.parametrize("log", LOGS)
def test_a_server_that_does_not_start_says_why(fake_vllm: Path, captioner: VllmCaptioner, log: str) -> None:
    (fake_vllm / "fail").write_text(log)
    error = captioner.submit(request_of(1)).exception(timeout=60)
    assert isinstance(error, CaptionerError)
    message = str(error)
    assert message.startswith("vLLM did not start")
    assert log in message  # the end of its log
    assert LOGS[log].replace("\\", "") in message
    assert not any(map(alive, started(fake_vllm)))


RUN = """
import json, os, sys, threading
from regioncap.captioners.access import Access
from regioncap.captioners.base import CaptionerOptions
from regioncap.captioners.vllm_server import VllmCaptioner
from regioncap.config.model import RegionCapConfig
from tests.support.model_servers import Bill, request_of

captioner = VllmCaptioner(CaptionerOptions(RegionCapConfig(**json.loads(sys.argv[1])), count=Bill()))
try:
    captioner.submit(request_of(1)).result()
    print("captioned", flush=True)
    if sys.argv[2] == "raise":
        raise RuntimeError("as a run might")
    if sys.argv[2] != "succeed":
        threading.Event().wait(600)
finally:
    captioner.close()
"""

ENDS = {"succeed": None, "raise": None, "Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM, "kill -9": signal.SIGKILL}


@pytest.mark.parametrize("end", ENDS)
def test_nothing_survives_the_process(fake_vllm: Path, end: str) -> None:

    settings = {
        name: value for name, value in config_of(fake_vllm).model_dump(mode="json").items() if value is not None
    }
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, json.dumps(settings), end],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"captioned\n"
        pids = started(fake_vllm)
        assert len(pids) == 2
        number = ENDS[end]
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does: to the whole group
        elif number is not None:
            process.send_signal(number)
        process.wait(timeout=60)
    until(lambda: not any(map(alive, pids)))


def test_closing_ends_a_start_that_is_under_way(fake_vllm: Path, captioner: VllmCaptioner) -> None:
    future = captioner.submit(request_of(1))
    until(lambda: started(fake_vllm))
    captioner.close()
    assert future.exception(timeout=60) is not None
    assert not any(map(alive, started(fake_vllm)))


def test_settings_reach_the_command(fake_vllm: Path) -> None:
    config = config_of(
        fake_vllm, tensor_parallel_size=2, gpu_memory_utilization=0.5, max_model_len=8192, prompt_mode="focal",
        vllm_args="--dtype half --served-model-name 'a b'",
    )  # fmt: skip
    command = command_of(config, 1234)
    text = " ".join(command)
    assert "--tensor-parallel-size 2" in text
    assert "--gpu-memory-utilization 0.5 --max-model-len 8192" in text
    assert '--limit-mm-per-prompt {"image": 2}' in text
    assert command[-4:] == ["--dtype", "half", "--served-model-name", "a b"]


def test_the_context_follows_from_the_picture_and_the_answer() -> None:
    config = RegionCapConfig(input="a.jsonl", model="m")
    assert context_length(config) <= 4352
    assert context_length(config.model_copy(update={"max_pixels": 4_000_000})) > 5000


GROUPS: dict[str, tuple[str, int, list[str], Any]] = {
    "all": ("all", 1, ["0", "1"], [("0",), ("1",)]),
    "pairs": ("all", 2, ["0", "1", "2"], [("0", "1")]),
    "how many": ("2", 1, ["4", "5", "6"], [("4",), ("5",)]),
    "which": ("0,3", 2, ["0", "1", "2", "3"], [("0", "3")]),
    "none": ("none", 1, [], [()]),
    "none there": ("all", 1, [], "no GPU was found"),
    "too many": ("3", 1, ["0", "1"], "at most the 2 GPUs"),
    "not there": ("0,7", 1, ["0", "1"], "got 7"),
    "too few to share": ("all", 4, ["0", "1"], "tensor_parallel_size"),
}


@pytest.mark.parametrize("case", GROUPS)
def test_groups_of_gpus(case: str) -> None:
    gpus, size, visible, expected = GROUPS[case]
    if isinstance(expected, list):
        assert gpu_groups(gpus, size, visible) == expected
    else:
        with pytest.raises(UsageError, match=expected):
            gpu_groups(gpus, size, visible)


def test_a_missing_vllm_is_reported_before_anything_runs(tmp_path: Path) -> None:
    config = RegionCapConfig(input="a.jsonl", model="m", vllm_python=str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="vllm_python"):
        VllmCaptioner(CaptionerOptions(config)).check()


def test_out_of_memory_and_a_long_context_get_different_advice() -> None:
    assert "--max-model-len" in why("ValueError: To serve at least one request with the models's max seq len (128000)")


# --- for runs elsewhere: regioncap serve-model


def test_a_model_is_served_until_ctrl_c_and_started_again_once(fake_vllm: Path) -> None:
    port, key = free_port(), "key-of-a-test"
    command = [
        sys.executable,
        "-c",
        "from regioncap.command.app import main; main()",
        "serve-model",
        "Qwen/tiny",
        "--gpus",
        "none",
    ]
    command += ["--vllm-python", str(fake_vllm / "python"), "--port", str(port), "--max-boxes", "4"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "REGIONCAP_API_KEY": key}
    with (fake_vllm / "said").open("wb") as said, (fake_vllm / "log").open("wb") as log:
        serving = subprocess.Popen(command, env=environment, stdout=said, stderr=log, cwd=fake_vllm)
    try:
        url = until(lambda: (fake_vllm / "said").read_text()).strip()
        assert url == f"http://127.0.0.1:{port}/v1"
        assert key not in (fake_vllm / "log").read_text()
        assert f"--model Qwen/tiny --endpoint {url}" in (fake_vllm / "log").read_text()
        captioner = OpenAICaptioner(CaptionerOptions(served(url), lambda: [Access().with_key(key)], Bill()))
        assert captioner.submit(request_of(1)).result(timeout=60).captions == captions_for(1, 1, 2, 3)
        os.kill(started(fake_vllm)[0], signal.SIGKILL)
        until(lambda: len(started(fake_vllm)) == 4)
        assert captioner.submit(request_of(2)).result(timeout=60).captions == captions_for(2, 1, 2, 3)
        captioner.close()
        serving.send_signal(signal.SIGINT)
        assert serving.wait(60) == 0
    finally:
        serving.kill()
        serving.wait()
    assert not any(map(alive, started(fake_vllm)))


def served(url: str) -> RegionCapConfig:
    return RegionCapConfig(input="a.jsonl", model="Qwen/tiny", endpoint=url, max_pixels=40_000, max_boxes=4)


def test_where_a_model_is_served(fake_vllm: Path) -> None:
    config = config_of(fake_vllm)
    served_at: list[tuple[list[str], str]] = []

    def ready(endpoints: Sequence[str], key: str) -> None:
        served_at.append((list(endpoints), key))
        raise KeyboardInterrupt

    port = free_port()
    with pytest.raises(KeyboardInterrupt):
        serve_until(config, "0.0.0.0", port, None, ready)
    ((endpoints, key),) = served_at
    # Not the address that it listens on, which is none to connect to.
    assert endpoints == [f"http://{socket.getfqdn()}:{port}/v1"]
    assert len(key) > 20
    assert f"--host\n0.0.0.0\n--port\n{port}\n" in (fake_vllm / "arguments").read_text()
    assert not any(map(alive, started(fake_vllm)))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match=r"--host, --port: cannot listen on 127\.0\.0\.1:"):
            serve_until(config, "127.0.0.1", taken.getsockname()[1], None, ready)
