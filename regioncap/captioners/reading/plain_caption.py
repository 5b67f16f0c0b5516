# ruff: noqa: RUF001 - signs of other scripts are meant here.
"""Whether a text is a caption as it stands, which most are: found out in a few searches."""

from __future__ import annotations

from collections.abc import Iterator

from regioncap.captioners.reading.label_grammar import WORD
from regioncap.captioners.reading.labels import leading_label
from regioncap.captioners.reading.lazy_pattern import lazy_pattern
from regioncap.captioners.reading.numerals import NUMBER, ORDINAL
from regioncap.captioners.reading.placeholders import says_nothing
from regioncap.captioners.reading.plain_text import MAX_PHRASE
from regioncap.captioners.reading.refusals import is_refusal
from regioncap.captioners.reading.remarks import corrects_itself, is_introduction, is_remark

_PROSE = lazy_pattern(
    r"[^\W\d_](?:[^\W_ĠĊ]++|[,，、'’(\"”)-]| (?! )|[.;!?][\"”’)]{0,3}(?: (?=[^\W_])|\Z)|[。！？；](?=[^\W_]|\Z))*+"
    r"(?<![\s,;，、；])"
)
"""Letters, digits, and signs that mean nothing but themselves."""

_SENTENCE_END = lazy_pattern(r"[.;!?][\"”’)]{0,3} |[。！？；](?=.)")

_SPEAKS = r"(?! (?:[\w'’-]{1,24} ){0,4}(?:caption|description|answer|response|annotation|summar|text|sentence))"
_HARMLESS = lazy_pattern(
    rf"(?:(?:An?|The)(?= [a-z])(?! (?:{WORD}|{NUMBER}|{ORDINAL}|\d|highlighted|marked|numbered|image|picture|photo|"
    r"following|seguir|continua|same|unknown|unidentif|unrecogni|indistinct|unspecif|placeholder|string|sample|"
    r"example))|"
    r"(?:Two|Three|Four|Five|Six|Several|Many|He|She|They|His|Her|Its|Their|Another|People|Person|Man|Woman|Young|"
    r"White|"
    rf"Black|Red|Blue|Green|Large|Small)(?= [a-z])){_SPEAKS}"
)
"""How most sentences begin: no remark, introduction, refusal or label does. The others are looked at one by one."""

_ITEM = lazy_pattern(r"[.!?。]\s{0,2}(?:\(\d{1,2}\)\s|\d{1,2}[.)]\s|\[\d{1,2}\]|[①-⑳])(?=\s?[^\W\d])")
_CITED = lazy_pattern(r"\s?\[\d{1,2}\]")


def is_plain(text: str) -> bool:
    """Whether a region's text is its caption as it stands: prose that nothing has to be taken from."""
    if not _PROSE.fullmatch(text) or is_list(text):
        return False
    if not _HARMLESS.match(text) and (is_refusal(text) or is_introduction(text) or says_nothing(text)):
        return False
    begins = [0, *(end.end() for end in _SENTENCE_END.finditer(text))]
    return not any(_is_loaded(text, *sentence) for sentence in _sentences(text, begins))


def _sentences(text: str, begins: list[int]) -> Iterator[tuple[int, int]]:
    return zip(begins, [*begins[1:], len(text)], strict=True)


def _is_loaded(text: str, begin: int, end: int) -> bool:
    """Whether a sentence begins with a label, speaks to the reader, or takes back what came before."""
    if _HARMLESS.match(text, begin):
        return False
    sentence = text[begin:end]
    return (
        is_remark(sentence)
        or corrects_itself(sentence)
        or leading_label(text[begin : begin + MAX_PHRASE], weak=True) is not None
    )


def is_list(text: str) -> bool:
    """Whether it holds several items: "A dog. 2. A cat."."""
    return _ITEM.search(text) is not None or _CITED.match(text) is not None or " --- " in text
