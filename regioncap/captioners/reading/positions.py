# ruff: noqa: RUF001 - brackets and colons of other scripts are meant here.
"""Whether texts without labels may be of other regions than their places say.

Models name a region in many ways that are no label before its text: "A ball (region 2)", "A ball [2]", "The box
numbered 2 shows …", "Left: …". Where what they name is not the place, or cannot be told, no text may be given by place.
"""

from __future__ import annotations

from collections.abc import Sequence

from regioncap.captioners.reading.labels import bracketed_numbers, leading_reference, numbers_named
from regioncap.captioners.reading.lazy_pattern import lazy_pattern
from regioncap.captioners.reading.mark_mentions import mentions_mark

_NUMBER = lazy_pattern(r"(?<![\w.,:])\d{1,3}(?![\w%]|[.,:]\d)")
_LAST = lazy_pattern(r"[\[(（【<#]\s?(\d{1,3})\s?[\])）】>]?\W{0,3}$")
_HEADING = lazy_pattern(r"[^\n:：.!?。！？]{1,30}[:：]\s?\S")


def may_be_misplaced(items: Sequence[str], wanted: Sequence[int]) -> bool:
    """Whether `items`, one for each region of `wanted` in this order, may be in another order.

    >>> [may_be_misplaced(items, [1, 2]) for items in (["A cat [2]", "A dog [1]"], ["A dog.", "A cat."])]
    [True, False]
    """
    if any(_names_another(item, number) for item, number in zip(items, wanted, strict=True)):
        return True
    return len(items) > 1 and (
        any(numbers_named(item) - {number} for item, number in zip(items, wanted, strict=True))
        or _are_numbered_within(items, wanted)
        or all(_HEADING.match(item) for item in items)
        or all(mentions_mark(item) for item in items)
    )


def _names_another(item: str, number: int) -> bool:
    """Whether it names another region as what it is of: in brackets, at its begin or at its end."""
    named = {*bracketed_numbers(item), leading_reference(item)}
    last = _LAST.search(item)
    return bool((named | {int(last[1]) if last else None}) - {None, number})


def _are_numbered_within(items: Sequence[str], wanted: Sequence[int]) -> bool:
    """Whether numbers of regions are in all items, or in several that are not at that place."""
    numbers = [{int(found) for found in _NUMBER.findall(item)} & {*wanted} for item in items]
    elsewhere = [found for found, number in zip(numbers, wanted, strict=True) if found and number not in found]
    return all(numbers) or len(elsewhere) > 1
