"""Accepted captions and the replies that they came from, addressed by content, so that none is paid for twice.

One small file per answer, `{cache_path}/captions/{key[:2]}/{key}.json`, written as it arrives and looked up by name.
Answers therefore survive new shard borders, reordered rows, renamed files, duplicates, a moved cache and upgrades.

An answer is a JSON object:

- `captions`: accepted text by region number; may be empty.
- `usage`, `model`, `warnings`: what it cost, who gave it, sentences for the output row.
- `failed`: in how many runs the model failed the rest, under which retry settings, and how: `strikes`, `effort`,
  `message`.
- `replies`: what the model said, in the order in which it was asked; see `regioncap.captioners.replies.Reply`.
- `rules`: the version of the rules that `captions` were read from `replies` with.
- `checksum`: `digest` of all the rest.

Answers of earlier versions lack the last three.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from typing import Any

from regioncap.records import dumps, loads
from regioncap.storage.answer_index import AnswerIndex
from regioncap.storage.filesystem import Place
from regioncap.storage.steps import digest

MAX_NAMED = 3
"""Damaged answers that are named in the log; the others are counted."""

logger = logging.getLogger("regioncap")


def answer_key(parts: dict[str, Any]) -> str:
    """The name of the answer to the request that `parts` fully describe: 32 hex digits."""
    return digest(parts)


class Answers:
    """The answers in one folder. Several runs may share it: each write replaces a whole file."""

    def __init__(self, folder: Place, sees_others: Callable[[], bool] = lambda: True) -> None:
        """`sees_others`: whether this run now knows of all others that may write here, as `Claims` does."""
        self._folder = folder
        self._index = None if folder.is_local else AnswerIndex(folder, sees_others)
        self._lock = threading.Lock()
        self._damaged: set[str] = set()

    def _place(self, key: str) -> Place:
        return self._folder.child(key[:2], f"{key}.json")

    def get(self, key: str, *, fresh: bool = False) -> dict[str, Any] | None:
        """The answer with this key, without its checksum; None when there is none, or it is damaged, which is
        reported. `fresh`: also where it was stored by another run since this one began."""
        if self._index is not None and not fresh and self._index.lacks(key):
            return None
        try:
            return _verified(self._place(key).read())
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            self.report_damage(key, str(error))
            return None

    def any(self) -> bool:
        """Whether any answer has ever been stored here."""
        return self._folder.is_folder()

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """Store an answer, replacing any earlier one with the same key."""
        # No fsync: losing the last few answers in a power cut costs a few requests; fsync would slow every row.
        self._place(key).write(dumps({**answer, "checksum": digest(answer)}), durable=False)
        if self._index is not None:
            self._index.add(key)

    def forget_listings(self) -> None:
        """List again before the next look-up: other runs may have stored answers since."""
        if self._index is not None:
            self._index.forget()

    def report_damage(self, key: str, reason: str) -> None:
        """Log, once, that the answer with this key cannot be used; after a few, they are only counted."""
        with self._lock:
            new = key not in self._damaged
            self._damaged.add(key)
            shown = len(self._damaged) <= MAX_NAMED
        if new and shown:
            logger.warning("%s is damaged (%s): its captions are requested again", self._place(key).url, reason)

    def close(self) -> None:
        """Log how many answers were damaged, if not all were named."""
        if len(self._damaged) > MAX_NAMED:
            logger.warning("%d damaged answers in all; their captions are requested again", len(self._damaged))


# --- whether an answer is what was stored


def _verified(text: bytes) -> dict[str, Any]:
    """The answer in a file, without its checksum. Raises ValueError, RecursionError when it is damaged."""
    try:
        answer = loads(text)
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(answer, dict):
        raise ValueError("it is not a JSON object")
    checksum = answer.pop("checksum", None)
    wrong = [name for name, has_form in _FORMS.items() if name in answer and not has_form(answer[name])]
    if wrong or "captions" not in answer:
        raise ValueError(f"{', '.join(wrong) or 'captions'}: not of the expected form")
    if checksum is None and not answer.keys() <= _BEFORE_CHECKSUMS:
        raise ValueError("its checksum is missing")
    if checksum is not None and checksum != digest(answer):
        raise ValueError("its checksum does not match")
    return answer


_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


def _are_captions(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _NUMBER.fullmatch(number) and isinstance(text, str) and text.strip() for number, text in value.items()
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_count, value.values()))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_failure(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _is_count(value.get("strikes", 0))
        and _are_texts([value.get("effort", ""), value.get("message", "")])
    )


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


_FORMS: dict[str, Callable[[Any], bool]] = {
    "captions": _are_captions,
    "usage": _are_counts,
    "warnings": _are_texts,
    "failed": _is_failure,
    "replies": _are_objects,
    "rules": _is_count,
}
_BEFORE_CHECKSUMS = {"captions", "usage", "model", "warnings", "failed"}
