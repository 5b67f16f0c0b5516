"""A fake model server in this process, and captioners that talk to it over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.base import CaptionerOptions
from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.captioners.health import RetryPolicy
from regioncap.captioners.vlm import OpenAICaptioner
from regioncap.config.model import RegionCapConfig
from regioncap.run.credentials import access_of
from regioncap.storage.filesystem import Place
from tests.support.model_servers import Ask, Bill, Serve


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(**behaviour)`: a running fake server; all are ended with the test."""
    running: list[RunningServer] = []

    def start(*, port: int = 0, **behaviour: Any) -> RunningServer:
        server = RunningServer(Behaviour(**{"latency": 0.01, **behaviour}), port=port)
        running.append(server)
        return server.__enter__()

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def captioner_of() -> Iterator[Ask]:
    """`captioner_of(*servers, policy=None, cache=None, **settings)`: a captioner for these servers, and its bill.
    `cache`: the folder in which it remembers what it found out about them."""
    made: list[OpenAICaptioner] = []

    def make(
        *servers: RunningServer | str,
        key: str | None = None,
        policy: RetryPolicy | None = None,
        cache: Path | None = None,
        **settings: Any,
    ) -> tuple[OpenAICaptioner, Bill]:
        urls = [server if isinstance(server, str) else server.url for server in servers]
        values = {"input": "a.jsonl", "model": "fake-vlm", "max_pixels": 40_000, "max_boxes": 4, "endpoint": urls}
        config, bill = RegionCapConfig(**{**values, **settings}), Bill()
        place = Place(str(cache)) if cache else None
        options = CaptionerOptions(config, lambda: [each.with_key(key) for each in access_of(config)], bill, place)
        made.append(OpenAICaptioner(options, policy))
        return made[-1], bill

    yield make
    for captioner in made:
        captioner.close()
