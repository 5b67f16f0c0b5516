# ruff: noqa: RUF001 - signs of other scripts are meant here.
"""What a model's answer gives as a box, before anybody asks what its numbers mean."""

from __future__ import annotations

import re
from dataclasses import dataclass

from regioncap.captioners.reading.caption_text import is_clean
from regioncap.captioners.reading.lazy_pattern import rare_pattern
from regioncap.captioners.reading.plain_text import plain
from regioncap.config.coordinates import Coordinates

MAX_LABEL_CHARS = 200
"""A longer label is prose that went wrong."""

NUMBER = r"[-+]?[0-9]{1,9}(?:\.[0-9]{1,20})?(?:[eE][-+]?[0-9]{1,2})?"
"""A number as a model writes it. No other signs: neither thousands separators nor percent."""

NOT_A_NUMBER = r"[-+]?(?:nan|inf(?:inity)?)"
ENTRY = rf"(?:{NUMBER}|{NOT_A_NUMBER})"

_NUMBER = rare_pattern(NUMBER)
_NOT_A_NUMBER = rare_pattern(NOT_A_NUMBER, re.IGNORECASE)
LABEL = r"[*_`\"'“‘]{0,4}(?P<label>[^\W\d_][^\n:：=()\[\]{}<>.!?;|]{0,199}?)[*_`\"'”’]{0,4}"
"""A label before a box."""
JOINS = r"\s{0,4}[:：=→–—-][>*_`]{0,4}\s{0,4}"
"""What may stand between the two."""

_BEFORE = rare_pattern(rf"[\s,;>]{{0,8}}(?:[-*+•]\s{{1,4}}|[0-9]{{1,3}}[.)]\s{{1,4}})?{LABEL}(?:{JOINS}|\s{{0,4}})")
_OF_SENTENCE = rare_pattern(
    r"\b(?:is|are|was|were|has|have|be|can|would|could|should|may|might|not|no|example|e\.g|i|you|we|let|at|located|"
    r"from|to|image|picture|photo|size|resolution)\b",
    re.IGNORECASE,
)
_EMPHASIS = " \t\n*_`\"'“”‘’:,;"
_NO_LABEL = rare_pattern(r"[<>{}\[\]|]")


@dataclass(frozen=True)
class Candidate:
    """A box in an answer. `text`: of the box, as it stands there. `numbers`: its four, as they are written; empty if it
    has no four. `label`: what it is a box of. `problem`: the reason why it cannot be used, "" if it may be.
    `coordinates`: what the form itself says of its numbers; None where the model's convention holds."""

    text: str
    numbers: tuple[str, ...] = ()
    label: str | None = None
    problem: str = ""
    coordinates: Coordinates | None = None


def candidate(text: str, entries: list[str], label: str | None, coordinates: Coordinates | None = None) -> Candidate:
    """The box with these `entries`, each as it is written, and this label, as it is written; with what is wrong."""
    name = clean_label(label)
    if len(entries) != 4:
        problem = "not_four_numbers"
    elif all(map(_NUMBER.fullmatch, entries)):
        problem = "bad_label" if name is None and label is not None and label.strip() else ""
    elif all(_NUMBER.fullmatch(entry) or _NOT_A_NUMBER.fullmatch(entry) for entry in entries):
        problem = "not_finite"
    else:
        problem = "not_four_numbers"
    return Candidate(text, tuple(entries) if not problem else (), name, problem, coordinates)


def clean_label(text: str | None) -> str | None:
    """A label on one line, without control signs and the quotes or emphasis around it; None where it has no letters, is
    too long, or has anything in it that is no prose.

    >>> clean_label(' **dog**\\n'), clean_label("12"), clean_label("<region2>")
    ('dog', None, None)
    """
    label = " ".join(plain(text or "").split()).strip(_EMPHASIS)
    is_prose = any(sign.isalpha() for sign in label) and not _NO_LABEL.search(label) and is_clean(label)
    return label if is_prose and len(label) <= MAX_LABEL_CHARS else None


def is_of_sentence(label: str) -> bool:
    """Whether what stands before a box is the begin of a sentence rather than a name: "The dog is at"."""
    return _OF_SENTENCE.search(label) is not None


def label_before(text: str) -> str | None:
    """The label in `text`, which is all of a line that stands before a box; None where it is anything else."""
    match = _BEFORE.fullmatch(text)
    return match["label"] if match and not is_of_sentence(match["label"]) else None
