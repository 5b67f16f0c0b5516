"""The batches that the fake server was given, as OpenAI's Batch objects tell of them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from regioncap.captioners.fake.files import StoredFile

WINDOW = 86_400
"""Seconds that a batch may take; here only said."""

LIVE = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
"""Statuses of batches that are not done."""

STAMPS = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
"""Statuses that a Batch object has a time for, as `completed_at`."""


@dataclass
class Batch:
    """A batch. `number`: how many came before it. `tokens`: of its prompts, counted while a limit is set."""

    file: StoredFile
    endpoint: str
    completion_window: str
    metadata: Mapping[str, str] | None
    number: int = 0
    id: str = field(default_factory=lambda: f"batch_{uuid.uuid4().hex}")
    created: float = field(default_factory=time.time)
    status: str = "validating"
    model: str | None = None
    at: dict[str, int] = field(default_factory=dict)
    """When it got each status, in seconds since 1970."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    output_file_id: str | None = None
    error_file_id: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    tokens: int = 0

    def become(self, status: str) -> None:
        """It has this status from now on."""
        self.status = status
        self.at[status] = int(time.time())

    def public(self) -> dict[str, Any]:
        """OpenAI's Batch object."""
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.file.id,
            "completion_window": self.completion_window,
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": int(self.created),
            "expires_at": int(self.created) + WINDOW,
            **{f"{status}_at": self.at.get(status) for status in STAMPS},
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "usage": self._usage(),
            "metadata": self.metadata,
        }

    def _usage(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": self.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.input_tokens + self.output_tokens,
        }


def page_of(items: Sequence[Batch | StoredFile], after: str | None, limit: int) -> dict[str, Any] | None:
    """A page of a list: the first `limit` items behind the one with the id `after`; None if there is none such."""
    begin = 0
    if after:
        ids = [item.id for item in items]
        if after not in ids:
            return None
        begin = ids.index(after) + 1
    found = items[begin : begin + limit]
    return {
        "object": "list",
        "data": [item.public() for item in found],
        "first_id": found[0].id if found else None,
        "last_id": found[-1].id if found else None,
        "has_more": begin + limit < len(items),
    }
