"""A proxy of the environment is for other machines: it does not cut a run off from Prefect and its own models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.errors import CaptionerError
from regioncap.process import loopback_without_proxy, no_proxy_for_loopback
from tests.support.commands import regioncap
from tests.support.proxies import RefusingProxy
from tests.support.runs import Run


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[RefusingProxy]:
    """A proxy that refuses everything, named by the environment."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with RefusingProxy() as made:
        for name, value in made.environment().items():
            monkeypatch.setenv(name, value)
        yield made


def test_a_call_reaches_prefect_and_a_model_on_this_machine(project: Path, run: Run, proxy: RefusingProxy) -> None:
    before = dict(os.environ)
    with RunningServer(Behaviour(latency=0.0)) as server:
        summary = run(project, captioner="openai", endpoint=server.url, model="fake-vlm", max_pixels=40_000)
    assert (summary.rows_out, proxy.asked) == (6, [])
    assert dict(os.environ) == before


def test_the_command_reaches_prefect(project: Path, prefect_server: None, proxy: RefusingProxy) -> None:
    done = regioncap(project, "run", "photos.jsonl", "--captioner", "pixels")
    assert (done.returncode, proxy.asked) == (0, []), done.stderr


def test_a_model_elsewhere_is_asked_through_it(project: Path, run: Run, proxy: RefusingProxy) -> None:
    with pytest.raises(CaptionerError, match=r"the proxy refuses to connect: 403 .*NO_PROXY=model\.invalid"):
        run(project, captioner="openai", endpoint="https://model.invalid/v1", model="m")
    assert set(proxy.asked) == {"model.invalid:443"}


NO_PROXY = {
    "nothing": ({}, {}),
    "no proxy": ({"NO_PROXY": "a.example"}, {}),
    "a proxy": ({"HTTP_PROXY": "x"}, {"NO_PROXY": "localhost,127.0.0.1,::1"}),
    "lower case": ({"https_proxy": "x", "no_proxy": "b"}, {"no_proxy": "b,localhost,127.0.0.1,::1"}),
    "both cases": (
        {"HTTP_PROXY": "x", "no_proxy": "", "NO_PROXY": "localhost, b"},
        {"no_proxy": "localhost,127.0.0.1,::1", "NO_PROXY": "localhost,b,127.0.0.1,::1"},
    ),
    "there already": ({"all_proxy": "x", "NO_PROXY": "::1,127.0.0.1,localhost"}, {}),
    "all": ({"HTTP_PROXY": "x", "NO_PROXY": "*"}, {}),
}


@pytest.mark.parametrize("case", NO_PROXY)
def test_what_the_environment_must_say(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    given, changes = NO_PROXY[case]
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    assert no_proxy_for_loopback() == changes
    with loopback_without_proxy:
        assert dict(os.environ) == before | changes
    assert dict(os.environ) == before
