# ruff: noqa: RUF001 - signs of other scripts are meant here.
"""The short way for replies as they should be: exactly one line or JSON text a region, each one plain prose.

It reads nothing that the long way (`parsing`) would read otherwise, and says of all other replies that they are not
plain. A test compares the two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from regioncap.captioners.label_grammar import WORD
from regioncap.captioners.labels import leading_label
from regioncap.captioners.numerals import NUMBER, ORDINAL
from regioncap.captioners.remarks import is_introduction, is_refusal, is_remark, says_nothing

_PROSE = re.compile(
    r"[^\W\d_](?:[^\W_]|[,，、'’(\"”)-]| (?! )|[.;!?][\"”’)]{0,3}(?: (?=[^\W_])|\Z)|[。！？；](?=[^\W_]|\Z))*"
    r"(?<![\s,;，、；])"
)
"""Letters, digits, and signs that mean nothing but themselves."""

_SENTENCE_END = re.compile(r"[.;!?][\"”’)]{0,3} |[。！？；](?=.)")

_SPEAKS = r"(?! (?:[\w'’-]{1,24} ){0,4}(?:caption|description|answer|response|annotation|summar))"
_HARMLESS = re.compile(
    rf"(?:(?:An?|The)(?= [a-z])(?! (?:{WORD}|{NUMBER}|{ORDINAL}|\d|highlighted|marked|numbered|image|picture|photo|"
    r"following|seguir|continua))|"
    r"(?:Two|Three|Four|Five|Six|Several|Many|He|She|They|His|Her|Its|Their|Another|People|Person|Man|Woman|Young|White|"
    rf"Black|Red|Blue|Green|Large|Small)(?= [a-z])){_SPEAKS}"
)
"""How most sentences begin: no remark, introduction, refusal or label does. The others are looked at one by one."""


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


def is_plain(text: str) -> bool:
    """Whether a region's text is its caption as it stands: prose that nothing has to be taken from."""
    if not _PROSE.fullmatch(text) or " " not in text.strip():
        return False
    begins = [0, *(end.end() for end in _SENTENCE_END.finditer(text))]
    if not _HARMLESS.match(text) and (is_refusal(text) or is_introduction(text)):
        return False
    return not says_nothing(text) and not any(_is_loaded(text, *sentence) for sentence in _sentences(text, begins))


def _sentences(text: str, begins: list[int]) -> Iterator[tuple[int, int]]:
    return zip(begins, [*begins[1:], len(text)], strict=True)


def _is_loaded(text: str, begin: int, end: int) -> bool:
    """Whether a sentence begins with a label, or speaks to the reader."""
    if _HARMLESS.match(text, begin):
        return False
    return is_remark(text[begin:end]) or leading_label(text[begin:]) is not None
