"""Accepted captions, kept by content: what was paid for once is found again.

One small file an answer, `{cache_path}/captions/{key[:2]}/{key}.json`, put as it comes and looked up by name. So
answers survive new shard borders, another order, renamed files, duplicates, a moved cache and an upgrade.
"""

from __future__ import annotations

from typing import Any

from regioncap.records import dumps, loads
from regioncap.storage.filesystem import Place
from regioncap.storage.steps import digest


def answer_key(parts: dict[str, Any]) -> str:
    """The name of the answer to a request that `parts` describe in full; 32 hex digits."""
    return digest(parts)


class Answers:
    """The answers in one folder. Two runs may share it: both write the same names, each a whole file."""

    def __init__(self, folder: Place) -> None:
        self._folder = folder

    def _place(self, key: str) -> Place:
        return self._folder.child(key[:2], f"{key}.json")

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer with this key; None when there is none, or none that can be read."""
        try:
            found = loads(self._place(key).read())
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def any(self) -> bool:
        """Whether any answer was ever kept here."""
        return self._folder.is_folder()

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """Keep an answer; one that is there is replaced."""
        # Without fsync: losing the last few to a power cut costs a few requests, fsync costs every row.
        self._place(key).write(dumps(answer), durable=False)
