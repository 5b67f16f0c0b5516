"""A file of requests for a batch, written until it is as large as it may be, and how they are phrased."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from regioncap.captioners.batch_api import CHAT_PATH
from regioncap.captioners.chat import ChatRequest, ChatResponse
from regioncap.errors import StorageError
from regioncap.records import dumps
from regioncap.storage.storage_errors import translated


class Wording(Protocol):
    """How requests in files are phrased, and their results read: an `Endpoint`, or a `Phrasing` where there is none."""

    @property
    def form(self) -> str:
        """What answers are held to: one of `STRUCTURES`, or `none`."""

    def body(self, request: ChatRequest, /) -> dict[str, Any]:
        """The fields of a request."""

    def read(self, content: bytes, form: str) -> ChatResponse:
        """The answer in a body, which was held to `form`. Raises ValueError when there is neither one nor an error."""


def request_line(custom_id: str, body: Mapping[str, Any]) -> bytes:
    """A chat request as a line of a request file."""
    return dumps({"custom_id": custom_id, "method": "POST", "url": CHAT_PATH, "body": body}) + b"\n"


class RequestFile:
    """Requests of whole rows, and beside them what is to be put on record of each.

    `folder`: where both files lie until `remove`. `max_requests`, `max_bytes`: of a file that the provider takes. All
    methods raise StorageError when the disk is full.
    """

    def __init__(self, folder: Path, name: str, *, max_requests: int, max_bytes: int) -> None:
        self.path = folder / f"{name}.jsonl"
        self.asked_path = folder / f"{name}.asked.jsonl"
        with translated(str(folder), "write"):
            self._file = self.path.open("wb")
            self._asked = self.asked_path.open("wb")
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.requests = 0
        self.bytes = 0

    def takes(self, lines: Sequence[bytes]) -> bool:
        """Whether there is room for these lines."""
        return (
            self.requests + len(lines) <= self._max_requests
            and self.bytes + sum(map(len, lines)) <= self._max_bytes
        )  # fmt: skip

    def add(self, lines: Sequence[bytes], asked: Sequence[bytes]) -> None:
        """Add the requests of a row, and what is to be put on record of them."""
        with translated(str(self.path), "write"):
            self._file.writelines(lines)
            self._asked.writelines(asked)
        self.requests += len(lines)
        self.bytes += sum(map(len, lines))

    def finish(self) -> None:
        """All lines are there: let others read the files."""
        with translated(str(self.path), "write"):
            self._file.close()
            self._asked.close()

    def remove(self) -> None:
        """Remove both files."""
        with contextlib.suppress(StorageError):  # what could not be written is not wanted any more
            self.finish()
        self.path.unlink(missing_ok=True)
        self.asked_path.unlink(missing_ok=True)
