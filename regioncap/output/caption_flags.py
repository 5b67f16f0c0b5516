"""Flags: signs of a bad caption.

All but one need neither a model nor the picture: they depend on a row's captions alone and are computed when the output
is written, so changed rules invalidate no answer and no step file. `inconsistent` is what an audit found; it stands in
the audit's file, and is added when an output is read.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import get_args

from regioncap.captioners.reading.mark_mentions import mentions_mark
from regioncap.captioners.reading.parsing import is_refusal
from regioncap.config.fields_captions import FlagName

FLAGS_VERSION = 3
"""Part of the write key: raise it when a rule gives different flags for the same captions."""

FLAGS: tuple[FlagName, ...] = get_args(FlagName)
INCONSISTENT: FlagName = "inconsistent"

MEANINGS: dict[str, str] = {
    "mentions_mark": "describes the drawn box or its number instead of what is in it",
    "refusal": "refuses to describe the region, or says that nothing can be seen",
    "duplicate_in_row": "another region of the picture has the same caption",
    "too_short": "fewer than three words",
    "repeats": "repeats the same words in a loop",
    "inconsistent": "follows another box when numbers or order change, by the last audit",
}

MIN_WORDS = 3
MIN_REPEATS = 4
"""A short phrase repeated this often in a row is a loop; for a long one, three times are enough."""
LONG_PHRASE_WORDS = 4
"""Number of words from which a repeated phrase counts as long."""
MAX_PHRASE_WORDS = 40
REPEATED_CHAR = re.compile(r"(\S)\1{15,}")

_DECLINES = re.compile(
    r"\bas an (?:ai|artificial intelligence)\b|\bi(?:['’]m| am) (?:sorry|unable|not able)\b|"  # noqa: RUF001
    r"\bi (?:can(?:no|['’])t|could not|couldn['’]t|am unable to) (?:\w+ )?(?:see|identify|determine|describe|provide|"  # noqa: RUF001
    r"assist|help|tell|make out)\b|"
    r"\b(?:it is|it's) (?:not possible|impossible|difficult) to (?:see|identify|determine|describe|tell|say)\b|"
    r"\b(?:cannot|can't|could not) be (?:seen|identified|determined|described)\b|"
    r"\bunable to (?:see|identify|determine|describe|provide)\b|"
    r"\bno (?:image|picture|photo) (?:was |is |has been )?(?:provided|attached|given|visible)\b|"
    r"\bplease (?:provide|upload|share|attach)\b",
    re.IGNORECASE,
)
UNSPACED = r"[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
"""Characters that count as words: Chinese, Japanese, Thai and their neighbours are written without spaces."""

_WORD = re.compile(rf"{UNSPACED}|[^\W_]+(?:['’-][^\W_]+)*")  # noqa: RUF001


def words_of(caption: str) -> list[str]:
    """A caption's words in lower case; in scripts written without spaces, its characters.

    >>> words_of("A dog's bone."), len(words_of("一只狗"))
    (['a', "dog's", 'bone'], 3)
    """
    return _WORD.findall(caption.casefold())


def refuses(caption: str) -> bool:
    """Whether the caption refuses to describe anything."""
    return is_refusal(caption) or _DECLINES.search(caption) is not None


def is_too_short(caption: str) -> bool:
    """Whether the caption has fewer than three words."""
    return len(words_of(caption)) < MIN_WORDS


def repeats(caption: str) -> bool:
    """Whether the same words, or one character, repeat over and over, as from a model stuck in a loop.

    >>> repeats("A dog and a cat and a cat and a cat and a cat"), repeats("A very, very big dog")
    (True, False)
    """
    if REPEATED_CHAR.search(caption):
        return True
    words = words_of(caption)
    for period in range(1, min(MAX_PHRASE_WORDS, len(words) // 3) + 1):
        rounds = 3 if period >= LONG_PHRASE_WORDS else MIN_REPEATS
        run = 0
        for earlier, word in zip(words, words[period:], strict=False):
            run = run + 1 if word == earlier else 0
            if run >= (rounds - 1) * period:
                return True
    return False


_OF_ONE: tuple[tuple[FlagName, Callable[[str], bool]], ...] = (
    ("mentions_mark", mentions_mark),
    ("refusal", refuses),
    ("too_short", is_too_short),
    ("repeats", repeats),
)


def flags_of(captions: Sequence[str]) -> list[list[FlagName]]:
    """The flags of each caption of a row, in the order of `FLAGS`."""
    same = [_same(caption) for caption in captions]
    often = Counter(same)
    found = []
    for caption, key in zip(captions, same, strict=True):
        flags = {name for name, holds in _OF_ONE if holds(caption)}
        if often[key] > 1:
            flags.add("duplicate_in_row")
        found.append([name for name in FLAGS if name in flags])
    return found


def _same(caption: str) -> str:
    words = words_of(unicodedata.normalize("NFKC", caption))
    return " ".join(words) or caption.strip()
