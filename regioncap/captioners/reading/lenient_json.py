"""JSON as models write it: anywhere in a text, with Python's quotes and trailing commas, and broken off.

What is valid JSON and does not nest deep the library's decoder reads. It gives nothing of a value that breaks off, and
recurses as deep as a text nests.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from regioncap.captioners.reading.lazy_pattern import lazy_pattern

MAX_DEPTH = 24
"""Deeper than this no answer is nested; the reader takes such a text for broken."""

MAX_BROKEN = 4
"""So many values may break off before the rest of a text is taken for prose: each is read to its end."""

_START = lazy_pattern(
    r"[{\[](?=\s{0,64}[\"'“{\[])|\{(?=\s{0,64}[\w<>]{1,32}\s?:\s?[\"'“{\[])|[{\[](?=\s{0,8}[}\]])|"
    r"[{\[](?=\s{0,64}(?://|/\*|#\s))"
)
_TOKEN = lazy_pattern(
    r"(?:\s|//[^\n]*|#[^\n]*|/\*[^*]{0,400}\*/)*+(?:(?P<string>\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+'|“[^”]*+”)|"
    r"(?P<sign>[{}\[\]:,])|(?P<word>[-+.\w]{1,64}+))",
    re.DOTALL,
)
_ESCAPE = lazy_pattern(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "b": " ", "f": " "}
_WORDS = {"null": None, "None": None, "true": True, "True": True, "false": False, "False": False}


class Pairs(list[tuple[str, Any]]):
    """An object: its pairs in order, with those keys twice that are there twice."""


@dataclass(frozen=True)
class Value:
    """A value in a text. `whole`: it ends where it should; else it is what was closed before it broke."""

    begin: int
    end: int
    value: Any
    whole: bool


class _Broken(Exception):
    """A value broke off; `part` is what was closed of it, None where nothing was."""

    def __init__(self, part: Any = None) -> None:
        super().__init__()
        self.part = part


def find_values(text: str, *, trusted: bool = False) -> list[Value]:
    """The objects and lists in `text`, in order, none within another that is whole.

    `trusted`: the answer was held to JSON, so a string at the very end of a broken value is complete.

    >>> [value.value for value in find_values('So: {"a": "b", "c": ["d",]} and no [more].')]
    [[('a', 'b'), ('c', ['d'])]]
    """
    values: list[Value] = []
    if "{" not in text and "[" not in text:
        return values
    place = broken_off = 0
    while broken_off < MAX_BROKEN and (start := _START.search(text, place)):
        strict = _strictly_read(text, start.start())
        if strict:
            values.append(strict)
            place = strict.end
            continue
        reader = _Reader(text, start.start(), trusted)
        try:
            value = reader.value(0)
            values.append(Value(start.start(), reader.place, value, whole=True))
            place = reader.place
        except _Broken as broken:
            values.append(Value(start.start(), len(text), broken.part, whole=False))
            place, broken_off = start.end(), broken_off + 1
    return values


_DECODER = json.JSONDecoder(object_pairs_hook=Pairs, parse_int=str, parse_float=str, parse_constant=str, strict=False)


def _strictly_read(text: str, begin: int) -> Value | None:
    """The value at `begin` by the library's decoder, which is much faster; None where that takes it for no JSON."""
    try:
        value, end = _DECODER.raw_decode(text, begin)
    except (ValueError, RecursionError):
        return None
    may_be_deep = text.count("{", begin, end) + text.count("[", begin, end) > MAX_DEPTH
    return None if may_be_deep else Value(begin, end, value, whole=True)


@dataclass
class _Reader:
    text: str
    place: int
    trusted: bool

    def value(self, depth: int) -> Any:
        kind, token = self._next()
        if kind == "string":
            return unquoted(token)
        if kind == "word":
            return _WORDS.get(token, token)
        if token not in "{[" or depth >= MAX_DEPTH:
            raise _Broken
        return self._object(depth) if token == "{" else self._list(depth)

    def _object(self, depth: int) -> Pairs:
        pairs, key = Pairs(), ""
        try:
            while not self._is("}"):
                kind, token = self._next()
                key = unquoted(token) if kind == "string" else token
                if kind == "sign" or not self._is(":"):
                    raise _Broken
                value = self.value(depth + 1)
                self._end_of_entry("}")
                pairs.append((key, value))
        except _Broken as broken:
            if broken.part is not None:
                pairs.append((key, broken.part))
            raise _Broken(pairs) from None
        return pairs

    def _list(self, depth: int) -> list[Any]:
        items: list[Any] = []
        try:
            while not self._is("]"):
                value = self.value(depth + 1)
                self._end_of_entry("]")
                items.append(value)
        except _Broken as broken:
            if broken.part is not None:
                items.append(broken.part)
            raise _Broken(items) from None
        return items

    def _end_of_entry(self, closing: str) -> None:
        """Past a comma, or before `closing`: only then the entry was all that was meant, and has no quote amidst."""
        place = self.place
        if self._is(",") or (self.trusted and not self.text[place:].strip()):
            return
        if not self._is(closing):
            raise _Broken
        self.place = place

    def _is(self, sign: str) -> bool:
        match = _TOKEN.match(self.text, self.place)
        if match is None or match["sign"] != sign:
            return False
        self.place = match.end()
        return True

    def _next(self) -> tuple[str, str]:
        match = _TOKEN.match(self.text, self.place)
        if match is None or match.lastgroup is None:
            raise _Broken
        self.place = match.end()
        return match.lastgroup, match[match.lastgroup]


def unquoted(token: str) -> str:
    """What a string means, its quotes included in `token`. Escapes that JSON does not know stand for their sign."""
    text = token[1:-1]
    if "\\" not in text:
        return text
    if token[0] == '"':
        try:
            return str(json.loads(token, strict=False))
        except ValueError:
            pass
    return _ESCAPE.sub(_meaning, text)


def _meaning(escape: re.Match[str]) -> str:
    sign = escape[1]
    return chr(int(sign[1:], 16)) if len(sign) == 5 else _CONTROLS.get(sign, sign)
