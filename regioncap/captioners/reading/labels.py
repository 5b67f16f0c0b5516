# ruff: noqa: RUF001, RUF002 - signs of many scripts are meant here.
"""Labels of regions in a text: where they stand, which number they name, and how.

A label is a word for a region and a number, or a number alone as in a list, in whatever brackets, emphasis, language
and digits (`label_grammar`): `<region1>:`, `**Region 1:**`, `[区域1]`, `Bereich 1 –`, `the first region shows`,
`<region id="1">`, `1.`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from regioncap.captioners.reading.label_grammar import (
    ANYWHERE,
    BRACKETS,
    CALLED,
    ELEMENT,
    LEFT,
    LIKE,
    LINE_BEGIN,
    LONE,
    NAMED,
    ORDERED,
    SENTENCE_BEGIN,
)
from regioncap.captioners.reading.lazy_pattern import lazy_pattern
from regioncap.captioners.reading.numerals import NUMBER, ORDINAL, number_of
from regioncap.captioners.reading.plain_text import lowered

_BRACKET = lazy_pattern(f"[{BRACKETS}]")
_REGION = lazy_pattern("reg|bbox|bound|area|bereich|zon|обл|rég|區|区|領|领|영역|obszar|oblast|vùng|khu|b?ölge|منط|क्षे")
_COLON = lazy_pattern("[:：﹕=→]")
_COUNT = lazy_pattern(f"{NUMBER}|{ORDINAL}|[첫두세네]|다섯|여섯")
_ALONE = lazy_pattern(rf"\W{{0,3}}({NUMBER})\W{{0,3}}")
_ORDINAL = lazy_pattern(ORDINAL)
_FIELD_NAME = lazy_pattern(r"([^\W\d]{1,24}?(?:[ _-][^\W\d]{1,24}?)??)[ _#-]{0,2}(\d{1,4})")


@dataclass(frozen=True)
class Label:
    """A label in a text.

    `begin`, `end`: where it and all that belongs to it stands. `number`: which region, None for several at once.
    `scheme`: labels of one answer have the same. `strong`: it stands apart from its text, by brackets, separator or
    line; one that is not may be the begin of a sentence. `line`: it begins a line. `colon`: one stands behind it.
    `weak`: it is no label, but names a region where a sentence begins: "Region 2 might be".
    """

    begin: int
    end: int
    number: int | None
    scheme: str
    strong: bool
    line: bool
    colon: bool
    weak: bool = False


def line_labels(text: str) -> list[Label]:
    """The labels with a word at the begin of the lines of `text`."""
    places = (match.start() for match in LINE_BEGIN.finditer(text))
    return list(_at(text, places, line=True))


def sentence_labels(text: str, lines: list[Label]) -> list[Label]:
    """The labels with a word that begin a sentence within a line, and are not those of `lines`."""
    return [label for label in named_in_sentences(text, lines) if not label.weak]


def named_in_sentences(text: str, lines: list[Label]) -> list[Label]:
    """The same, and the weak ones."""
    places = (match.end() for match in SENTENCE_BEGIN.finditer(text) if "\n" not in match.group())
    return list(_at(text, _outside(places, lines), line=False, weak=True))


def named_at_begins(text: str) -> list[Label]:
    """All labels that begin the text, one of its lines or its sentences; the weak ones too."""
    lines = list(_at(text, (match.start() for match in LINE_BEGIN.finditer(text)), line=True, weak=True))
    return lines + named_in_sentences(text, lines)


def inner_labels(text: str, *, all_strong: bool = False) -> list[Label]:
    """The labels with a word and a colon, wherever they stand; with `all_strong` also those in brackets."""
    labels = _at(text, _word_begins(text), line=False)
    return [label for label in labels if label.colon or (all_strong and label.strong)]


def leading_label(text: str, *, weak: bool = False) -> Label | None:
    """The label with a word at the very begin of `text`; with `weak` also one that only names a region."""
    return next(_at(text, iter((0,)), line=True, weak=weak), None)


def numbers_named(text: str) -> set[int]:
    """The numbers of the regions that a text names, wherever and however."""
    labels = [*named_at_begins(text), *_at(text, _word_begins(text), line=False, weak=True)]
    return {label.number for label in labels if label.number is not None}


def bracketed_numbers(text: str) -> set[int]:
    """The numbers of the regions that a text names in brackets: `(region 2)`, `<region2>`."""
    labels = [label for label in _at(text, _word_begins(text), line=False) if label.strong]
    return {
        label.number
        for label in labels
        if label.number is not None and _BRACKET.search(text, label.begin, label.begin + 1)
    }


def leading_reference(text: str) -> int | None:
    """The number of the region that a text begins to speak of: "The box numbered 2 shows"; None for none."""
    match = CALLED.match(lowered(text))
    return None if match is None else number_of(match["number"])


def _word_begins(text: str) -> Iterator[int]:
    return (match.end() for match in ANYWHERE.finditer(text))


def list_labels(text: str) -> list[Label]:
    """The numbers without a word at the begin of the lines of `text`."""
    low, labels = lowered(text), []
    for place in LINE_BEGIN.finditer(text):
        match = LONE.match(low, place.start())
        label = _lone(match) if match else None
        if label:
            labels.append(label)
    return labels


def is_like_label(line: str) -> bool:
    """Whether a line begins with something that may be meant as a label: a word or bracket with a number."""
    return LIKE.match(lowered(line)) is not None or bool(list_labels(line)) or bool(line_labels(line))


def is_ordinal(text: str) -> bool:
    """Whether a text is a word like "second", and no more."""
    return _ORDINAL.fullmatch(lowered(text.strip())) is not None


def number_named(text: str) -> tuple[str, int] | None:
    """(scheme, number) of a text that is a label and nothing else, as a JSON key is.

    >>> [number_named(text) for text in ("<region1>", "Region 2:", "3", "caption_4", "A dog")]
    [('region', 1), ('region', 2), ('', 3), ('caption', 4), None]
    """
    low = lowered(text.strip())
    alone = _ALONE.fullmatch(low)
    if alone and not (alone[1].isascii() and len(alone[1]) < 3 and alone[1].isalpha() and text.strip().islower()):
        return _named("", number_of(alone[1]))
    label = leading_label(low)
    if label and label.end == len(low):
        return _named(label.scheme, label.number)
    other = _FIELD_NAME.fullmatch(low)
    return _named(other[1], int(other[2])) if other else None


def _named(scheme: str, number: int | None) -> tuple[str, int] | None:
    return None if number is None else (scheme, number)


def _outside(places: Iterator[int], labels: list[Label]) -> Iterator[int]:
    """Those of `places` that stand in none of `labels`. Both are in order."""
    following = iter(labels)
    label = next(following, None)
    for place in places:
        while label and label.end <= place:
            label = next(following, None)
        if not label or place < label.begin:
            yield place


def _at(text: str, places: Iterator[int], *, line: bool, weak: bool = False) -> Iterator[Label]:
    low, end = lowered(text), -1
    for place in places:
        # The places are in order, and one label holds several of them.
        if place < end:
            continue
        label = _element_at(low, place, line) or _named_at(text, low, place, line)
        if label and (weak or not label.weak):
            end = label.end
            yield label


def _element_at(low: str, place: int, line: bool) -> Label | None:
    match = ELEMENT.match(low, place) if "<" in low[place : place + 18] else None
    if match is None:
        return None
    number = number_of(match["number"] or match["field"])
    return Label(place, match.end(), number, "element", strong=True, line=line, colon=True)


def _named_at(text: str, low: str, place: int, line: bool) -> Label | None:
    named = NAMED.match(low, place)
    match = named or ORDERED.match(low, place)
    if match is None or not _is_joined(match, low, named=named is not None):
        return None
    # "Region 1 is a dog"; "Is it a dog?" begins a text.
    verb = match["verb"] and text[slice(*match.span("verb"))] == match["verb"]
    framed = bool(_BRACKET.search(match["open"]) and _BRACKET.search(match["close"]))
    strong = framed or _is_apart(match, low, line)
    after = text[match.end() : match.end() + 1]
    weak = not strong and not verb and not (match["sep"] and (after.isupper() or not after.isascii()))
    if weak and not _REGION.match(match["word"]):
        return None  # "The number 7 on his back".
    number = None if match["several"] else _count(match["number"])
    if number is None and not match["several"]:
        return None
    word = " ".join(match["word"].replace("_", " ").split()).removesuffix("s")
    colon = bool(_COLON.search(match["sep"]))
    end = match.start("verb") if match["verb"] and (framed or not verb) and not (verb and colon) else match.end()
    return Label(place, end, number, word if named else f"nth {word}", strong, line, colon, weak)


def _is_joined(match: re.Match[str], low: str, *, named: bool) -> bool:
    """Whether word and number belong together: "regioni" is no "region I", "Caption: 3 apples" no third caption."""
    glue, number = match["glue"], match["number"].strip()
    if named and not glue and number.isascii() and number.isalpha():
        return False
    ends_line = low[match.end() : match.end() + 1] in ("", "\n")
    return (
        not _COLON.search(glue)
        or bool(match["close"])
        or bool(_COLON.search(match["sep"]))
        or (ends_line and not match["verb"])
        or "," in match["sep"]
    )


def _is_apart(match: re.Match[str], low: str, line: bool) -> bool:
    sep = match["sep"].strip("*_`~ \t")
    ends_line = line and low[match.end() : match.end() + 1] in ("", "\n") and not match["verb"]
    return bool(sep) or ends_line or "*" in match["sep"] + match["close"] or bool(_BRACKET.search(match["close"]))


def _count(number: str) -> int | None:
    inner = _COUNT.search(number)
    return number_of(inner.group()) if inner else None


def _lone(match: re.Match[str]) -> Label | None:
    sign, plain = (match["square"] or "").strip(), match["plain"]
    sep = match["sep"].strip("*_` ")
    alone = match.string[match.end() : match.end() + 1] in ("", "\n")
    tab = "\t" in match["sep"]
    if (
        plain is not None
        and not match["sep"].strip()
        and not tab
        and (plain.isalpha() or (plain.isdecimal() and not alone))
    ):
        return None  # "3 apples"; a number in a circle or on a key needs no separator.
    if sign and sign in LEFT and not match["close"]:
        return None
    number = number_of(match["number"] or plain)
    return Label(match.start(), match.end(), number, sign + (sep if plain else ""), strong=True, line=True, colon=False)
