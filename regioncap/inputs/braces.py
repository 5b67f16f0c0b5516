"""Brace notation for many files, as shells and `webdataset` have it: `{000..999}.tar`, `{train,val}/x.jsonl`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from regioncap.errors import UsageError
from regioncap.records import cut_text
from regioncap.storage.urls import redact_url

MAX_FILES = 1_000_000

_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?")
_LETTERS = re.compile(r"([a-zA-Z])\.\.([a-zA-Z])")
_BRACES = re.compile(r"\{([^{}]*)\}")


def first_brace(text: str) -> int | None:
    """Where the first brace begins that stands for several names; None if there is none."""
    return next((found.start() for found in _BRACES.finditer(text) if _means_many(found[1])), None)


def expand(text: str) -> list[str]:
    """All names that `text` stands for, in the order of a shell; `text` itself if it has no such braces.

    Numbers keep the zeros of the wider end; `{1..9..2}` counts by 2; braces may hold braces.
    Raises UsageError for more than `MAX_FILES`.

    >>> expand("{a,b}-{08..10}.tar")
    ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar', 'b-09.tar', 'b-10.tar']
    """
    found = list(itertools.islice(_expanded(text), MAX_FILES + 1))
    if len(found) > MAX_FILES:
        shown = cut_text(redact_url(text))
        raise UsageError(f"input: {shown} stands for more than {MAX_FILES:,} files; name fewer, or their folder")
    return list(dict.fromkeys(found))  # inner braces are expanded first, for each of the outer ones


def _expanded(text: str) -> Iterator[str]:
    for found in _BRACES.finditer(text):
        if _means_many(found[1]):
            before, after = text[: found.start()], text[found.end() :]
            break
    else:
        yield text
        return
    for one in _members(found[1]):
        yield from _expanded(f"{before}{one}{after}")


def _means_many(inside: str) -> bool:
    return "," in inside or bool(_RANGE.fullmatch(inside) or _LETTERS.fullmatch(inside))


def _members(inside: str) -> Iterator[str]:
    if numbers := _RANGE.fullmatch(inside):
        first, last, step = int(numbers[1]), int(numbers[2]), abs(int(numbers[3] or 1)) or 1
        padded = any(end.lstrip("-").startswith("0") and len(end.lstrip("-")) > 1 for end in numbers.groups()[:2])
        width = max(len(numbers[1]), len(numbers[2])) if padded else 0
        return (f"{number:0{width}d}" for number in _range(first, last, step))
    if letters := _LETTERS.fullmatch(inside):
        return (chr(letter) for letter in _range(ord(letters[1]), ord(letters[2]), 1))
    return iter(inside.split(","))


def _range(first: int, last: int, step: int) -> range:
    return range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
