# ruff: noqa: RUF001 - signs of other scripts are meant here.
"""Which region has which piece of an answer in prose: by labels, by rows of a table, or by place."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from regioncap.captioners.reading.caption_text import lines_of, starts_item
from regioncap.captioners.reading.json_answers import text_of_piece
from regioncap.captioners.reading.labels import (
    Label,
    inner_labels,
    is_like_label,
    leading_label,
    line_labels,
    list_labels,
    named_at_begins,
    named_in_sentences,
    number_named,
)
from regioncap.captioners.reading.lazy_pattern import lazy_pattern
from regioncap.captioners.reading.remarks import (
    is_introduction,
    is_remark,
    is_text_field,
    without_introduction,
    without_remarks,
)

_CLOSING = lazy_pattern(r"</\s?[^\W\d]{1,24}[\s_]?\d{0,4}\s?>", re.IGNORECASE)
_INNER_FIELD = lazy_pattern(r"</?(?:caption|description|desc|text|content|name|answer|id)>", re.IGNORECASE)
_COLON = lazy_pattern("[:：=]")
_BLOCK_MARK = lazy_pattern(r"\s*[|>][-+]?\s*(?=\n)")
_JOINS = lazy_pattern(r"[^\w\n]{0,8}(?:and|und|et|y|e|和|与|と|및)?[^\w\n]{0,8}")
_LEADING_NUMBER = lazy_pattern(r"\W{0,4}(\d{1,4})\b")
_FIELD_LINE = lazy_pattern(r"\W{0,4}[^\W\d]{1,20}\W{0,2}[:：]\s")
_FIELD_LINES = lazy_pattern(
    r"(?:^|\n)[\s\-*>\"'<]{0,8}(?:caption|description|text|desc)[\"']?\s?[:=>]\s?[\"'\w]", re.IGNORECASE
)
"""A region's text that comes before its number."""
_OF_CAPTIONS = lazy_pattern(r"caption|descri|beschreib|légende|描述|説明|설명", re.IGNORECASE)
_CELL = lazy_pattern(r"(?<!\\)\|")
_CELL_RULE = lazy_pattern(r"[\s:|-]+$")


@dataclass(frozen=True)
class Piece:
    """A region's own part of an answer. `scheme`: how its label is written. `text`: None where it is in doubt."""

    number: int | None
    scheme: str
    text: str | None


def split_by_labels(text: str, wanted: Sequence[int]) -> list[Piece]:
    """The pieces of `text` behind its labels; empty where there are none of one scheme."""
    lines = line_labels(text)
    named = named_in_sentences(text, lines)
    sentences = [label for label in named if not label.weak]
    labels = _chosen(lines, sentences, text, wanted)
    if not labels:
        labels = _apart(list_labels(text), lines)
        labels = labels if sorted(_numbers(labels)) == sorted(wanted) and _one_scheme(labels) else []
    if not labels or _FIELD_LINES.search(text[: labels[0].begin]):
        return []
    others = sorted({*lines, *named} - {*labels}, key=lambda label: label.begin)
    return _pieces(text, labels, others, wanted)


def _chosen(lines: list[Label], sentences: list[Label], text: str, wanted: Sequence[int]) -> list[Label]:
    """The labels that split the text: those of lines where they are all, else those of sentences, else of anywhere."""
    in_order = sorted({*lines, *sentences}, key=lambda label: label.begin)
    for scheme in dict.fromkeys(label.scheme for label in in_order):
        of_lines = [label for label in lines if label.scheme == scheme]
        strong = [label for label in in_order if label.scheme == scheme and label.strong]
        for labels in (of_lines, strong):
            if _is_complete(labels, wanted):
                return labels
        anywhere = [label for label in inner_labels(text) if label.scheme == scheme] if strong else []
        anywhere += _apart(strong, anywhere)
        anywhere.sort(key=lambda label: label.begin)
        if _is_complete(anywhere, wanted):
            return anywhere
        if strong:
            return anywhere
    return []


def _is_complete(labels: list[Label], wanted: Sequence[int]) -> bool:
    counts = Counter(label.number for label in labels)
    return all(counts[number] == 1 for number in wanted) and max(counts.values()) == 1 and None not in counts


def _numbers(labels: list[Label]) -> list[int]:
    return [-1 if label.number is None else label.number for label in labels]


def _one_scheme(labels: list[Label]) -> bool:
    return len({label.scheme for label in labels}) == 1


def _apart(labels: list[Label], others: list[Label]) -> list[Label]:
    """Those of `labels` that begin in none of `others`, which are in order and do not overlap."""
    begins = [other.begin for other in others]
    places = [bisect_right(begins, label.begin) - 1 for label in labels]
    return [label for label, at in zip(labels, places, strict=True) if at < 0 or others[at].end <= label.begin]


def _pieces(text: str, labels: list[Label], others: list[Label], wanted: Sequence[int]) -> list[Piece]:
    ends = [*(label.begin for label in labels[1:]), len(text)]
    pieces = [text[label.end : end] for label, end in zip(labels, ends, strict=True)]
    begins = [other.begin for other in others]
    complete = set(wanted) <= {label.number for label in labels}
    found = []
    for place, (label, piece) in enumerate(zip(labels, pieces, strict=True)):
        inside = others[bisect_left(begins, label.end) : bisect_left(begins, ends[place])]
        if not complete or _COLON.search(piece):
            inner = inner_labels(piece, all_strong=not complete)
            inside += [replace(other, begin=other.begin + label.end) for other in inner]
        last = place == len(pieces) - 1
        own = own_text(piece, _usual_paragraphs(pieces[:-1]) if last else None)
        own = without_remarks(own) if last and "\n" in own else own
        doubtful = (
            any(_is_foreign(text, other, label, wanted) for other in inside)
            # Two labels at once, for one text.
            or (place > 0 and _JOINS.fullmatch(pieces[place - 1]) is not None)
            or (place > 0 and not pieces[place - 1].strip() and not labels[place - 1].colon)
            # One of its lines may be of a region whose label is missing.
            or ("\n" in own and not complete)
            or (last and _goes_on(own) and _are_lines(pieces[:-1]))
        )
        found.append(Piece(label.number, label.scheme, None if doubtful else own))
        found += [
            Piece(other.number, label.scheme, None)
            for other in inside
            if other.strong and other.colon and other.number in wanted and other.number != label.number
        ]
    return found


def _are_lines(pieces: list[str]) -> bool:
    return bool(pieces) and not any("\n" in piece.strip() for piece in pieces)


def _goes_on(text: str) -> bool:
    """Whether a line follows a whole sentence: where every other region has one line, it is a remark."""
    return re.search(r"[.!?。！？][\"”’)]?[ \t]*\n", text) is not None


def _is_foreign(text: str, other: Label, label: Label, wanted: Sequence[int]) -> bool:
    """Whether a label within a region's piece may begin the text of something else."""
    if other.number == label.number:
        return (
            (other.strong or other.weak)
            and other.begin > label.end
            and re.search(r"\w", text[label.end : other.begin]) is not None
        )
    return other.number in wanted or (other.line and other.strong and not other.weak)


def _usual_paragraphs(pieces: list[str]) -> int:
    """How many paragraphs each region has, where all have the same; else 0. One where there is none to compare."""
    counts = {len(_before_remarks(lines_of(_before_closing(piece)))) for piece in pieces}
    return counts.pop() if len(counts) == 1 else 0 if counts else 1


def own_text(piece: str, usual: int | None) -> str:
    """A piece without what comes behind its region: a closing tag, remarks.

    `usual`: of the last piece, how many paragraphs the others have (0: it differs). More are no region's.
    """
    piece = text_of_piece(_before_closing(piece))
    mark = _BLOCK_MARK.match(piece)
    piece = piece[mark.end() :] if mark else piece
    paragraphs = _before_remarks(lines_of(piece))
    if usual == 0 and len(paragraphs) > 1:
        return ""
    return _without_other_fields([line for lines in paragraphs[: usual or None] for line in lines])


def _without_other_fields(lines: list[str]) -> str:
    """The lines of a region's caption, where others tell its class or colour: `Label: dog`. Empty where in doubt."""
    fields = [line for line in lines if _FIELD_LINE.match(line)]
    if not fields or len(lines) == 1:
        return "\n".join(lines)
    captions = [line for line in fields if is_text_field(line)]
    others = [line for line in lines if line not in fields]
    if len(captions) + (len(others) == 1 and lines[0] == others[0]) != 1:
        return ""
    return captions[0] if captions else others[0]


def _before_closing(piece: str) -> str:
    if "<" not in piece:
        return piece
    piece = _INNER_FIELD.sub(" ", piece)
    closing = _CLOSING.search(piece)
    return piece[: closing.start()] if closing else piece


def _before_remarks(paragraphs: list[list[str]]) -> list[list[str]]:
    for place, lines in enumerate(paragraphs):
        if place and is_remark(lines[0]):
            return paragraphs[:place]
    return paragraphs


def rows_of_table(text: str) -> list[Piece]:
    """The rows of a Markdown table whose first cell is a label, where each has one text, or a column for it."""
    rows = [_cells(line) for line in text.split("\n") if line.strip().startswith("|")]
    if len(rows) < 2:
        return []
    column = next((place for place, name in enumerate(rows[0]) if _OF_CAPTIONS.search(name)), -1)
    pieces = []
    for cells in rows:
        own = 1 if column == 0 and len(cells) > 1 else 0
        name = number_named(cells[own].strip("*_`")) if cells else None
        place = 1 - own if len(cells) == 2 else column
        if name and place != own and 0 <= place < len(cells):
            pieces.append(Piece(name[1], name[0], cells[place]))
    return pieces


def _cells(line: str) -> list[str]:
    if _CELL_RULE.match(line):
        return []
    return [cell.strip().replace("\\|", "|") for cell in _CELL.split(line.strip().strip("|"))]


def items_of(text: str, count: int) -> list[str]:
    """The items of a text without labels where there are exactly `count`; empty where it is in doubt.

    One for each line or bullet; of one region its only paragraph. Lines that introduce and remarks are none of them.
    """
    plain = without_remarks(without_introduction(text) if count == 1 else text)
    paragraphs = _before_remarks(lines_of(plain)) if count == 1 else lines_of(plain)
    lines = [line for paragraph in paragraphs for line in paragraph]
    if any(is_like_label(line) for line in plain.split("\n")) or _may_be_labelled(lines, count):
        return []
    if count == 1:
        while len(lines) > 1 and lines[0].rstrip("*_ ").endswith((":", "：")):
            lines.pop(0)
        several = len(paragraphs) > 1 or sum(starts_item(line) for line in text.split("\n")) > 1
        return ["\n".join(lines)] if lines and not several else []
    while lines and (is_introduction(lines[0]) or lines[0].rstrip("*_ ").endswith((":", "："))):
        lines.pop(0)
    while lines and is_remark(lines[-1]):
        lines.pop()
    return lines if len(lines) == count else []


def _may_be_labelled(lines: list[str], count: int) -> bool:
    """Whether numbers that count from 0 or 1, or names of fields, begin the lines."""
    if count == 1:
        return sum(_FIELD_LINE.match(line) is not None for line in lines) > 1
    numbers = [int(match[1]) for line in lines if (match := _LEADING_NUMBER.match(line))]
    return numbers in ([*range(count)], [*range(1, count + 1)])


def names_others(text: str, number: int, wanted: Sequence[int]) -> bool:
    """Whether one of its lines or sentences begins with another region's label."""
    labels = named_at_begins(text) + (inner_labels(text) if _COLON.search(text) else [])
    return any(label.number != number and (label.strong or label.number in wanted) for label in labels)


def without_own_label(text: str, number: int) -> str | None:
    """A caption without its region's label before it; None where it has another's."""
    label = leading_label(text)
    if label is None or not label.strong:
        return text
    return text[label.end :] if label.number == number else None
