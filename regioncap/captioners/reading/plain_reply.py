"""The short way for replies as they should be: exactly one line or JSON text a region, each one plain prose.

It reads nothing that the long way (`parsing`) would read otherwise, and says of all other replies that they are not
plain. A test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from regioncap.captioners.reading.plain_caption import is_plain


def read_plain(text: str, wanted: Sequence[int]) -> dict[int, str] | None:
    """The captions of a reply that is plain and complete, by region number; None for any other.

    >>> read_plain("<region1>: A dog.\\n<region2>: A cat.", [1, 2])
    {1: 'A dog.', 2: 'A cat.'}
    """
    texts = _of_json(text, wanted) if text[:1] == "{" else _of_lines(text, wanted)
    return dict(zip(wanted, texts, strict=True)) if texts and all(map(is_plain, texts)) else None


def _of_lines(text: str, wanted: Sequence[int]) -> list[str] | None:
    lines, labels = text.split("\n"), [f"<region{number}>: " for number in wanted]
    if len(lines) != len(labels) or not all(map(str.startswith, lines, labels)):
        return None
    return [line[len(label) :] for line, label in zip(lines, labels, strict=True)]


def _of_json(text: str, wanted: Sequence[int]) -> list[str] | None:
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None
    if [name for name, _ in pairs] != [f"region{number}" for number in wanted]:
        return None
    texts = [value for _, value in pairs]
    return texts if all(isinstance(value, str) for value in texts) else None
