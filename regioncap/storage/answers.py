"""Accepted captions, addressed by content, so that none is paid for twice.

One small file per answer, `{cache_path}/captions/{key[:2]}/{key}.json`, written as it arrives and looked up by name.
Answers therefore survive new shard borders, reordered rows, renamed files, duplicates, a moved cache and upgrades.
"""

from __future__ import annotations

from typing import Any

from regioncap.records import dumps, loads
from regioncap.storage.filesystem import Place
from regioncap.storage.steps import digest


def answer_key(parts: dict[str, Any]) -> str:
    """The name of the answer to the request that `parts` fully describe: 32 hex digits."""
    return digest(parts)


class Answers:
    """The answers in one folder. Several runs may share it: each write replaces a whole file."""

    def __init__(self, folder: Place) -> None:
        self._folder = folder

    def _place(self, key: str) -> Place:
        return self._folder.child(key[:2], f"{key}.json")

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer with this key; None when there is none or it cannot be read."""
        try:
            found = loads(self._place(key).read())
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def any(self) -> bool:
        """Whether any answer has ever been stored here."""
        return self._folder.is_folder()

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """Store an answer, replacing any earlier one with the same key."""
        # No fsync: losing the last few answers in a power cut costs a few requests; fsync would slow every row.
        self._place(key).write(dumps(answer), durable=False)
