"""An OpenAI-compatible server without a model, for trying a deployment out and for tests.

It serves a fixed number of requests at once, each for a fixed time, as continuous batching roughly does; queues the
others; decodes the pictures that it gets, and answers with what identifies picture and region (`fake.model`), or with
what it sees there (`fake.sight`); where it is asked for boxes, with known ones (`fake.boxes`). It counts its requests
and what they cost (`GET /stats`), makes mistakes on demand (`fake.faults`), and takes on the ways of the servers that
people have (`fake.personas`). It takes files and batches of requests too (`fake.batch_routes`), and handles them as
`fake.batch_behaviour` says.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from dataclasses import replace
from typing import Any

import uvicorn

from regioncap.captioners.fake.app import FakeApp
from regioncap.captioners.fake.batch_behaviour import BatchBehaviour
from regioncap.captioners.fake.batch_stats import BatchStats
from regioncap.captioners.fake.behaviour import Behaviour
from regioncap.captioners.fake.boxes import Boxes
from regioncap.captioners.fake.errors import ScriptedResponse
from regioncap.captioners.fake.faults import FAULTS
from regioncap.captioners.fake.model import caption_of, digest_of
from regioncap.captioners.fake.personas import PERSONAS
from regioncap.captioners.fake.sight import Sight
from regioncap.captioners.fake.stats import Repeat

__all__ = [
    "FAULTS", "PERSONAS", "BatchBehaviour", "Behaviour", "Boxes", "RunningServer", "ScriptedResponse", "Sight",
    "caption_of", "digest_of",
]  # fmt: skip


class _Server(uvicorn.Server):
    """A server that deletes the files that `fake` was sent when it ends, also by a signal."""

    def __init__(self, config: uvicorn.Config, fake: FakeApp) -> None:
        super().__init__(config)
        self._fake = fake

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self._fake.close()


class RunningServer:
    """A `FakeApp` on a port of this machine, in a thread; a context manager. `port` 0 takes a free one."""

    def __init__(self, behaviour: Behaviour, host: str = "127.0.0.1", port: int = 0) -> None:
        self._fake = FakeApp(behaviour)
        self._socket = socket.create_server((host, port), backlog=4096)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://{host}:{self.port}{behaviour.prefix}"
        config = uvicorn.Config(self._fake.app, log_level="critical", access_log=False, lifespan="off")
        self._server = _Server(config, self._fake)
        self._thread = threading.Thread(target=self._run, name="fake-vlm", daemon=True)

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    @property
    def stats(self) -> dict[str, Any]:
        """What was asked up to now."""
        return self._fake.stats.public(self._fake.behaviour.slots)

    @property
    def repeats(self) -> list[Repeat]:
        """The requests for regions that were answered before and came again, in order."""
        stats = self._fake.stats
        return [repeat for repeat in stats.repeats if repeat.digest not in stats.trials]

    @property
    def batches(self) -> BatchStats:
        """What its batches were asked up to now, and what they cost."""
        return self._fake.stats.batches

    @property
    def batch_ids(self) -> list[str]:
        """Of its batches, oldest first."""
        return self._fake.batches.ids

    def change_batches(self, **behaviour: Any) -> None:
        """Deal with batches differently from now on: fields of `BatchBehaviour`."""
        self.change(batch=replace(self._fake.behaviour.batch, **behaviour))

    def change(self, **behaviour: Any) -> None:
        """Act differently from the next request on: fields of `Behaviour`."""
        self._fake.behaviour = replace(self._fake.behaviour, **behaviour)

    def record(self) -> list[dict[str, Any]]:
        """A list to which the body of every request is added from now on."""
        self._fake.recorded = []
        return self._fake.recorded

    def when_answered(self, count: int) -> threading.Event:
        """An event that is set when the server gives its answer number `count`, before the client has it."""
        enough = threading.Event()

        def check(answered: int) -> None:
            if answered >= count:
                enough.set()

        self._fake.on_answer.append(check)
        return enough

    def when_called(self, call: str, count: int) -> threading.Event:
        """An event that is set when `call` (of `batch_behaviour.CALLS`) number `count` is done, before the client has
        its answer."""
        enough = threading.Event()

        def check(name: str, number: int) -> None:
            if name == call and number >= count:
                enough.set()

        self._fake.batches.on_call.append(check)
        return enough

    def __enter__(self) -> RunningServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End at once: open connections are closed."""
        self._server.should_exit = self._server.force_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def serve_forever(self) -> None:
        """Serve in this thread until Ctrl-C."""
        self._run()
