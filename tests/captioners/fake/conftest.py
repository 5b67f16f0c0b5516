"""OpenAI's own client, for the fake server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from regioncap.captioners.fake_server import RunningServer
from tests.support.batches import Connect, client_of


@pytest.fixture
def connect() -> Iterator[Connect]:
    """`connect(server, retries=0, key=…)`: a client of this server; all are closed with the test."""
    with contextlib.ExitStack() as clients:

        def make(server: RunningServer | str, **settings: Any) -> openai.OpenAI:
            return clients.enter_context(client_of(server, **settings))

        yield make
