# ruff: noqa: RUF001 - dashes and brackets of other scripts are meant here.
"""A reply's text as the parser reads it: one kind of line end, and no signs that are no text."""

from __future__ import annotations

import html
import re

from regioncap.captioners.reading.lazy_pattern import lazy_pattern

_ODD = lazy_pattern(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\ufffd"
    "\U000e0000-\U000e007f]"
)
"""All that the next four find. Most texts have none of it, and one search shows that."""
_INVISIBLE = lazy_pattern(r"[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
_ODD_SPACE = lazy_pattern(r"[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_ESCAPED_TAG = lazy_pattern(
    r"&(?:lt|#0{0,3}60|#x0{0,3}3c);(?=\s?/?[\w|])|(?<=[\w\"'|/])(?:&(?:gt|#0{0,3}62|#x0{0,3}3e);)", re.IGNORECASE
)
_FULL_WIDTH = {code: code - 0xFEE0 for code in (*range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
_TERMINAL = lazy_pattern(r"\x1b\[[0-9;?]{0,16}[a-zA-Z]")
_CONTROL = lazy_pattern(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd\ud800-\udfff]")
_LINE_END = lazy_pattern(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_GROUNDING = lazy_pattern(
    r"<(?:\|det\|>[^<>]{0,400}<\|/det\|>|\|box_start\|>[^<>]{0,400}<\|box_end\|>|box>[^<>]{0,400}</box>|"
    r"quad>[^<>]{0,400}</quad>|/?ref>|\|/?ref\|>|\|object_ref_(?:start|end)\|>|/?phrase>|/?p>)",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """A reply's text with `\\n` for every line end, and without what is no text: control signs, half
    surrogates, the boxes that some models write behind what they name.

    >>> plain("\\ufeffA\\r\\ndog\\x07.")
    'A\\ndog .'
    """
    return _without_signs(_GROUNDING.sub("", _unescaped(text)))


def without_odd_signs(text: str) -> str:
    """The same, with the boxes left in it."""
    return _without_signs(_unescaped(text))


def _without_signs(text: str) -> str:
    text = text if text.isascii() else _ODD_SPACE.sub(" ", text)
    if not _ODD.search(text):
        return text
    return _CONTROL.sub(" ", _LINE_END.sub("\n", _INVISIBLE.sub("", _TERMINAL.sub("", text))))


def _unescaped(text: str) -> str:
    return _ESCAPED_TAG.sub(lambda sign: html.unescape(sign[0]), text) if "&" in text else text


def lowered(text: str) -> str:
    """In small letters of usual width, each sign where it was."""
    low = text.lower() if text.isascii() else text.translate(_FULL_WIDTH).lower()
    return low if len(low) == len(text) else "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in text)


MAX_PHRASE = 400
"""In characters. No phrase is longer, with what stands before it."""

LEAD = r"[\s*_`>#~\-–—•(（]{0,12}"
"""What may stand before a phrase."""


def any_of(rows: tuple[str, ...], lead: str = LEAD) -> re.Pattern[str]:
    """A pattern for phrases in small letters, one row a language, to match where a text begins."""
    return lazy_pattern(f"{lead}(?:{'|'.join(rows)})")


def beginning(text: str) -> str:
    """As much of a text as a phrase may need, in small letters: ignoring case takes ten times as long."""
    return lowered(text[:MAX_PHRASE])
