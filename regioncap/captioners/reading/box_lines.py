"""Boxes in plain lines: `dog: [x1, y1, x2, y2]`, `dog(x1,y1),(x2,y2)`, and boxes alone.

A line counts if it is nothing but boxes with their labels. In a sentence a box may be an example, a draft or another
thing's, so it is put on record and not used.
"""

from __future__ import annotations

import re

from regioncap.captioners.reading.box_candidates import JOINS, LABEL, NUMBER, Candidate, is_of_sentence
from regioncap.captioners.reading.box_markup import BOX, boxes_of
from regioncap.captioners.reading.lazy_pattern import rare_pattern
from regioncap.captioners.reading.remarks import is_introduction

MAX_WORDS = 4
"""Of a label with no sign between it and its box: more are a sentence."""

_FRAME = rare_pattern(r"\s*(?:[`~]{3}[\w-]{0,16}|[\[\],]{1,3})\s*")
_BEGIN = r"[\s>]{0,8}(?:[-*+•]\s{1,4}|[0-9]{1,3}[.)]\s{1,4})?"
_ITEM = rare_pattern(
    rf"[\s,;]{{0,8}}(?:{LABEL}(?P<joins>{JOINS}|\s{{0,4}}(?=[(\[])))?(?P<box>{BOX})[*_`.,;]{{0,4}}", re.IGNORECASE
)
_MAY_HOLD = rare_pattern(rf"[\[(]\s?{NUMBER}\s?,\s?{NUMBER}")
_START = rare_pattern(_BEGIN)
_OF_BOX = rare_pattern(
    r"(?:the )?(?:bounding[ _-]?box|b?box(?:[ _]?2d)?|coordinates|coords|location|position|answer|result)(?:es|s)?$",
    re.IGNORECASE,
)


def line_boxes(text: str) -> list[Candidate]:
    """The boxes in the lines of `text`. Those in prose have the problem `in_prose`, and so have those without a label
    where other lines are prose."""
    lines = [line for line in text.split("\n") if line.strip() and not _FRAME.fullmatch(line)]
    holding = [line for line in lines if _MAY_HOLD.search(line)]
    in_prose = any(not leads_to_boxes(line) for line in lines if line not in holding)
    found: list[Candidate] = []
    for line in holding:
        items = _items(line)
        doubtful = items is None or (in_prose and any(box.label is None for box in items))
        found += [Candidate(line.strip(), problem="in_prose")] if doubtful or items is None else items
    return found


def leads_to_boxes(line: str) -> bool:
    """Whether a line of prose introduces what comes behind it."""
    return line.rstrip("*_ ").endswith((":", "：")) or is_introduction(line)  # noqa: RUF001


def _items(line: str) -> list[Candidate] | None:
    """The boxes of a line that is nothing but these and their labels; None for any other."""
    start = _START.match(line)
    place = start.end() if start else 0
    boxes: list[Candidate] = []
    while line[place:].strip(" \t\r,;.*_`"):
        item = _ITEM.match(line, place)
        label = (item["label"] or "").strip() if item else ""
        if item is None or is_of_sentence(label):
            return None
        if not (item["joins"] or "").strip() and len(label.split()) > MAX_WORDS:
            return None
        boxes += boxes_of(item["box"], None if _OF_BOX.match(label) else label)
        place = item.end()
    return boxes
