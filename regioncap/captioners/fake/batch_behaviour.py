"""How the fake server's Files and Batches endpoints act."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

CALLS: Mapping[str, str] = {
    "upload": "POST /files",
    "files": "GET /files",
    "file": "GET /files/ID",
    "content": "GET /files/ID/content",
    "delete": "DELETE /files/ID",
    "create": "POST /batches",
    "list": "GET /batches",
    "retrieve": "GET /batches/ID",
    "cancel": "POST /batches/ID/cancel",
}
"""Calls by name: method and path."""

TROUBLES: Mapping[str, str] = {
    "ok": "nothing",
    "429": "too many requests; nothing is done",
    "500": "an internal error; nothing is done",
    "503": "unavailable; nothing is done",
    "unheard": "the connection is closed; nothing is done",
    "lost": "it is done, and the connection is closed in place of an answer",
    "500_after": "it is done, and the answer is an internal error",
    "404": "there is no such thing; nothing is done",
    "cut": "it is done, and the connection is closed after half of the answer",
    "short": "it is done, and half of the answer comes as if it were all",
}
"""What may become of a call."""

FAILURES: Mapping[str, str] = {
    "400": "refused",
    "429": "too many requests",
    "500": "an internal error",
    "request_timeout": "the model took too long; a line without a response",
}
"""What may become of a line of a batch, in place of its answer: it stands in the error file."""


@dataclass(frozen=True)
class BatchBehaviour:
    """How files and batches are dealt with.

    Time. `delay`: seconds that a batch is in progress before its first line is answered. `until`: by status
    (`validating`, `in_progress`, `finalizing`, `cancelling`), an event before which no batch leaves that status.

    Results. `fails`: share of the lines that fail, by kind of failure (`FAILURES`); chosen at random each time a
    custom_id is submitted. `expires`: every batch expires when the share `done` of its lines is answered; a batch that
    is cancelled has that share too. `twice`: share of the results that stand in the output file twice. `shuffled`:
    lines are answered, and stand in the output file, in another order than they came in. `troubled`: only the first so
    many batches have these four and `delay`; None for all.

    Limits. `enqueued_tokens`: of prompts in batches that are not done; a batch above it fails. `max_requests`,
    `max_bytes`: of an input file. `one_custom_id`: the same custom_id twice in a file makes the batch fail, as it does
    at OpenAI; else both lines are answered.

    List. `no_list`: the status with which a list of batches is refused, 404 or 405; None for a provider that has one.
    `list_delay`: seconds for which a new batch is not in the list; `list_until`: an event before which no new one is.

    `pending`: seconds for which an uploaded file is not ready yet: until then no batch of it is created, as at Azure.
    `metadata`: whether a batch may have any.

    `calls`: by call (of `CALLS`), what becomes of the first ones, the second ones and so on, of `TROUBLES`; all after
    them are ok.
    """

    delay: float = 0.0
    until: Mapping[str, threading.Event] = field(default_factory=dict)
    fails: Mapping[str, float] = field(default_factory=dict)
    expires: bool = False
    done: float = 0.5
    twice: float = 0.0
    shuffled: bool = False
    troubled: int | None = None
    enqueued_tokens: int | None = None
    max_requests: int = 50_000
    max_bytes: int = 200_000_000
    one_custom_id: bool = True
    no_list: int | None = None
    list_delay: float = 0.0
    list_until: threading.Event | None = None
    pending: float = 0.0
    metadata: bool = True
    calls: Mapping[str, Sequence[str]] = field(default_factory=dict)
