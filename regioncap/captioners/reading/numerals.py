# ruff: noqa: RUF001, RUF002 - numerals of many scripts are meant here.
"""Region numbers as models write them: digits of any script, circled, Chinese, Roman, and in words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_IN_WORDS = (
    "one un uno um eins один 하나",
    "two deux dos dois due zwei два 둘",
    "three trois tres três tre drei три 셋",
    "four quatre cuatro quatro quattro vier четыре 넷",
    "five cinq cinco cinque fünf пять 다섯",
    "six seis sei sechs шесть 여섯",
    "seven sept siete sete sette sieben семь 일곱",
    "eight huit ocho oito otto acht восемь 여덟",
    "nine neuf nueve nove neun девять 아홉",
    "ten dix diez dez dieci zehn десять 열",
    "eleven onze once undici elf",
    "twelve douze doce doze dodici zwölf",
)
_ORDINALS = (
    "first 1st erste erster erstes premier première primera primero primeira prima первая 첫",
    "second 2nd zweite zweiter zweites deuxième seconde segunda segundo seconda вторая 두",
    "third 3rd dritte dritter drittes troisième tercera tercero terceira terza третья 세",
    "fourth 4th vierte vierter viertes quatrième cuarta cuarto quarta четвёртая 네",
    "fifth 5th fünfte fünfter fünftes cinquième quinta quinto пятая 다섯",
    "sixth 6th sechste sechster sechstes sixième sexta sexto sesta шестая 여섯",
    "seventh 7th siebte siebter siebtes septième séptima sétima settima седьмая 일곱",
    "eighth 8th achte achter achtes huitième octava oitava ottava восьмая 여덟",
    "ninth 9th neunte neunter neuntes neuvième novena nona девятая 아홉",
    "tenth 10th zehnte zehnter zehntes dixième décima decima десятая 열",
)


def _table(rows: tuple[str, ...]) -> dict[str, int]:
    return {word: number for number, row in enumerate(rows, 1) for word in row.split()}


_CARDINAL, _ORDINAL = _table(_IN_WORDS), _table(_ORDINALS)
_HAN = {sign: value for value, sign in enumerate("零一二三四五六七八九十")} | {"两": 2, "〇": 0}
_ROMAN = {"i": 1, "v": 5, "x": 10}


def either(words: Iterable[str]) -> str:
    """A pattern for any of `words`, the longest that fits. They stand grouped by their first sign, since at most places
    of a text that one alone rules all of them out.

    >>> either(["area", "region", "roi"])
    '(?:r(?:egion|oi)|a(?:rea))'
    """
    groups: dict[str, list[str]] = {}
    for word in sorted(set(words), key=lambda word: (-len(word), word)):
        groups.setdefault(word[0], []).append(word[1:])
    return f"(?:{'|'.join(f'{first}(?:' + '|'.join(rests) + ')' for first, rests in groups.items())})"


NUMBER = (
    r"(?:\d{1,4}+(?!\d|\.\d)(?:\ufe0f?\u20e3)?|[⓪①-⑳❶-❿➀-➓⓵-⓾㈠-㈩㊀-㊉ⅰ-ⅻ]|[〇零一二三四五六七八九十两]{1,3}+"
    rf"|{either(_CARDINAL)}(?![^\W_])|[ivx]{{1,5}}(?![^\W_]))"
)
"""A number as it stands behind a label's word, in small letters."""

ORDINAL = rf"(?:{either(_ORDINAL)}(?![^\W_])|\d{{1,3}}(?:st|nd|rd|th)(?![^\W_]))"
"""A number as it stands before a label's word."""


def number_of(text: str) -> int | None:
    """What a text that matched `NUMBER` or `ORDINAL` counts; None where it counts nothing.

    >>> [number_of(text) for text in ("07", "３", "٤", "②", "十二", "IV", "Three", "2nd", "IIX")]
    [7, 3, 4, 2, 12, 4, 3, 2, None]
    """
    digits = re.match(r"\d+", text)
    if digits:
        return int(digits.group())
    word = text.lower()
    if word in _CARDINAL or word in _ORDINAL:
        return _CARDINAL.get(word, _ORDINAL.get(word))
    if all(sign in _HAN for sign in word):
        return _han(word)
    if all(sign in _ROMAN for sign in word):
        return _roman(word)
    return int(unicodedata.numeric(text)) if len(text) == 1 else None


def _han(text: str) -> int | None:
    tens, ten, ones = text.rpartition("十")
    if len(tens) > 1 or len(ones) > 1:
        return None
    return (10 * _HAN.get(tens, 1) if ten else 0) + _HAN.get(ones, 0)


def _roman(text: str) -> int | None:
    values = [_ROMAN[sign] for sign in text]
    total = sum(-v if v < following else v for v, following in zip(values, [*values[1:], 0], strict=True))
    ones = ["", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"][total % 10]
    return total if "x" * (total // 10) + ones == text else None
