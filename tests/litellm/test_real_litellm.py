"""A real LiteLLM proxy before the fake server: captions are right, and each error is whose it is.

Run by `make test-litellm`, which makes LiteLLM's environment.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from regioncap.captioners.access import Access
from regioncap.captioners.base import CaptionerOptions, CaptionResult
from regioncap.captioners.fake_server import PERSONAS, Behaviour, RunningServer
from regioncap.captioners.vlm import OpenAICaptioner
from regioncap.config.model import RegionCapConfig
from regioncap.errors import CaptionerError
from tests.support.model_servers import Bill, captions_for, request_of, results_of, warm_up
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run
from tests.support.waiting import until

VENV = os.environ.get("REGIONCAP_LITELLM_VENV", "")
KEY = "sk-proxy-0123456789"
BACKENDS = {"hosted": "hosted_vllm/fake-vlm", "compatible": "openai/fake-vlm"}
"""LiteLLM's ways to a server with OpenAI's interface, by the name that clients use."""

ROWS = 16
SEED = 2
"""Of the fake server's faults: one with which the picture that tries it out is allowed."""

pytestmark = [pytest.mark.litellm, pytest.mark.skipif(not VENV, reason="needs a real LiteLLM: make test-litellm")]


class Proxy(NamedTuple):
    """The proxy's URL, and the server behind it."""

    url: str
    server: RunningServer


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with the two backends, on a free port; it adds no tries of its own."""
    folder = tmp_path_factory.mktemp("litellm")
    with RunningServer(Behaviour(persona=PERSONAS["vllm"], latency=0.01, seed=SEED, retry_after=0.05)) as server:
        models = [
            {"model_name": name, "litellm_params": {"model": model, "api_base": server.url, "api_key": "none"}}
            for name, model in BACKENDS.items()
        ]
        settings = {"num_retries": 0, "disable_cooldowns": True}
        config = {"model_list": models, "general_settings": {"master_key": KEY}, "router_settings": settings}
        (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
        port = free_port()
        running = start(folder, port)
        try:
            until(lambda: is_ready(running, port, folder / "log"), seconds=240)
            yield Proxy(f"http://127.0.0.1:{port}/v1", server)
        finally:
            running.terminate()
            running.wait(60)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [str(Path(VENV).absolute() / "bin" / "litellm"), "--config", "config.yaml", "--host", "127.0.0.1"]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DO_NOT_TRACK": "1"}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [*command, "--port", str(port), "--telemetry", "False"],
            cwd=folder, env={**os.environ, **quiet}, stdout=log, stderr=log,
        )  # fmt: skip


def is_ready(running: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert running.poll() is None, log.read_text()[-2000:]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture(params=list(BACKENDS))
def asked(proxy: Proxy, request: pytest.FixtureRequest) -> Iterator[tuple[OpenAICaptioner, RunningServer]]:
    """A captioner for one of the backends, which it has tried out, and the server behind it."""
    proxy.server.change(faults={})
    captioner = captioner_for(proxy, request.param)
    warm_up(captioner)
    yield captioner, proxy.server
    captioner.close()
    proxy.server.change(faults={})


def captioner_for(proxy: Proxy, model: str, key: str = KEY, **settings: Any) -> OpenAICaptioner:
    values = {"max_pixels": 40_000, "max_boxes": 4, "max_in_flight": 4, "server_patience": 20.0, **settings}
    config = RegionCapConfig(input="a.jsonl", endpoint=[proxy.url], model=model, **values)
    return OpenAICaptioner(CaptionerOptions(config, lambda: [Access().with_key(key)], Bill()))


def right(results: list[CaptionResult]) -> list[int]:
    """The pictures whose every region has its caption. No other caption may have come."""
    for seed, result in enumerate(results):
        assert result.captions.items() <= captions_for(seed, 1, 2, 3).items()
    return [seed for seed, result in enumerate(results) if len(result.captions) == 3]


Asked = tuple[OpenAICaptioner, RunningServer]


def test_captions_are_right_and_a_regex_is_passed_through(asked: Asked) -> None:
    captioner, server = asked
    bodies = server.record()
    assert right(results_of(captioner, ROWS)) == list(range(ROWS))
    assert [endpoint.structure for endpoint in captioner.session.endpoints] == ["regex"]
    assert len(bodies) == ROWS
    assert all("region1" in body["structured_outputs"]["regex"] for body in bodies)


@pytest.mark.parametrize("fault", ["429", "500", "503", "error_in_200", "error_finish", "cut", "garbage"])
def test_the_moments_faults_cost_no_row(asked: Asked, fault: str) -> None:
    captioner, server = asked
    before = server.stats["faults"].get(fault, 0)
    server.change(faults={fault: 0.25})
    assert right(results_of(captioner, ROWS)) == list(range(ROWS))
    assert server.stats["faults"][fault] > before


@pytest.mark.parametrize("fault", ["abort", "odd_finish", "no_resources", "length", "safety", "thinking_only"])
def test_words_for_the_end_that_are_translated_make_no_caption_wrong(asked: Asked, fault: str) -> None:
    captioner, server = asked
    server.change(faults={fault: 0.4})
    assert right(results_of(captioner, ROWS))


def test_a_refused_picture_is_its_rows_fault_alone(asked: Asked) -> None:
    captioner, server = asked
    server.change(faults={"policy": 0.3})
    results = results_of(captioner, ROWS)
    refused = [seed for seed, result in enumerate(results) if result.code == "caption_failed"]
    assert 0 < len(refused) < ROWS
    assert sorted(right(results) + refused) == list(range(ROWS))


def test_the_accounts_fault_behind_the_proxy_stops_the_run(asked: Asked) -> None:
    captioner, server = asked
    server.change(faults={"gone": 1.0})
    error = captioner.submit(request_of(1)).exception(timeout=120)
    assert isinstance(error, CaptionerError)
    assert "deprecated" in str(error)


@pytest.mark.parametrize(
    ("model", "key", "words"),
    [("hosted", "sk-wrong-0123456789", "REGIONCAP_API_KEY"), ("nobody", KEY, "It lists: hosted, compatible")],
    ids=["key", "model"],
)
def test_what_the_proxy_refuses_names_the_setting(proxy: Proxy, model: str, key: str, words: str) -> None:
    captioner = captioner_for(proxy, model, key)
    with pytest.raises(CaptionerError, match=words) as stopped:
        captioner.submit(request_of(1)).result(timeout=120)
    captioner.close()
    assert "0123456789" not in str(stopped.value)


@pytest.mark.parametrize("model", BACKENDS)
def test_a_whole_run(proxy: Proxy, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setenv("REGIONCAP_API_KEY", KEY)
    rows = [{"image": f"photo{number}.png", "bbox": [BOX, [60, 10, 20, 20]]} for number in range(20)]
    for number in range(20):
        write_photo(tmp_path / f"photo{number}.png", number)
    write_rows(tmp_path / "photos.jsonl", rows)
    billed = proxy.server.stats["billed"]
    proxy.server.change(faults={"429": 0.1, "missing": 0.1, "reordered": 0.2})
    summary = run(tmp_path, captioner="openai", endpoint=[proxy.url], model=model, max_pixels=40_000, max_repairs=5)
    proxy.server.change(faults={})
    assert (summary.rows_out, summary.rejects) == (20, 0)
    for row in read_rows(tmp_path / "out.jsonl"):
        picture = Path(row["meta_info"]["image_with_bbox"]).stem[:32]
        assert row["mdvp_record"] == [f"<region{n}> A cat with {n} bells in photo {picture}." for n in (1, 2)]
    after = proxy.server.stats["billed"]
    assert summary.prompt_tokens == after["prompt_tokens"] - billed["prompt_tokens"]
    assert summary.completion_tokens == after["completion_tokens"] - billed["completion_tokens"]
