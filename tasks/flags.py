"""Flags: what can be said against a caption without a model and without its picture.

They depend on a row's captions and nothing else, so they are computed when the output is written: other rules need no
caption, and no step file, anew.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import get_args

from tasks.captioners.mark_mentions import mentions_mark
from tasks.captioners.parsing import is_refusal
from tasks.config import FlagName

FLAGS_VERSION = 2
"""Part of the key of what is written: raise it when a rule gives other flags for the same captions."""

FLAGS: tuple[FlagName, ...] = get_args(FlagName)

MEANINGS: dict[str, str] = {
    "mentions_mark": "speaks of the drawn box or its number instead of what is in it",
    "refusal": "declines to describe, or says that nothing can be seen",
    "duplicate_in_row": "another region of the picture has the same caption",
    "too_short": "fewer than three words",
    "repeats": "goes round in circles",
}

FEWEST_WORDS = 3
FEWEST_ROUNDS = 4
"""So often in a row the same words are a circle; of one sentence or more, three times."""
LONG_ROUND = 4
"""Words from which on a round is a long one."""
LONGEST_ROUND = 40
SAME_SIGNS = re.compile(r"(\S)\1{15,}")

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
# Signs that are words of their own: Chinese, Japanese, Korean, Thai and their neighbours are written without spaces.
_WORD = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+(?:['’-][^\W_]+)*")  # noqa: RUF001


def words_of(caption: str) -> list[str]:
    """A caption's words in small letters; of scripts without spaces, its signs.

    >>> words_of("A dog's bone."), len(words_of("一只狗"))
    (['a', "dog's", 'bone'], 3)
    """
    return _WORD.findall(caption.casefold())


def refuses(caption: str) -> bool:
    """Whether it says that it says nothing."""
    return is_refusal(caption) or _DECLINES.search(caption) is not None


def is_too_short(caption: str) -> bool:
    """Whether it has fewer than three words."""
    return len(words_of(caption)) < FEWEST_WORDS


def repeats(caption: str) -> bool:
    """Whether the same words, or one sign, come again and again in a row, as of a model that does not find its end.

    >>> repeats("A dog and a cat and a cat and a cat and a cat"), repeats("A very, very big dog")
    (True, False)
    """
    if SAME_SIGNS.search(caption):
        return True
    words = words_of(caption)
    for period in range(1, min(LONGEST_ROUND, len(words) // 3) + 1):
        rounds = 3 if period >= LONG_ROUND else FEWEST_ROUNDS
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
    """For each caption of a row its flags, in the order of `FLAGS`; an empty list where there are none."""
    same = [_same(caption) for caption in captions]
    often = Counter(same)
    found = []
    for caption, key in zip(captions, same, strict=True):
        told = {name for name, holds in _OF_ONE if holds(caption)}
        if often[key] > 1:
            told.add("duplicate_in_row")
        found.append([name for name in FLAGS if name in told])
    return found


def _same(caption: str) -> str:
    words = words_of(unicodedata.normalize("NFKC", caption))
    return " ".join(words) or caption.strip()
