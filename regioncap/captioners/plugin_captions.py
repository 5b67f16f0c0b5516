"""What a plugin returns for a picture, as captions: each of its own region, on one line, and nothing else in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from regioncap.captioners.reading.plain_text import plain

MAX_CAPTION_CHARS = 20_000

_LABEL = re.compile(r"<region(\d{1,4})>", re.IGNORECASE)


class WrongReturn(ValueError):
    """What a captioner returned is not what the contract says; its text continues "it returned"."""


def captions_in(returned: Any, wanted: Sequence[int]) -> tuple[dict[int, str], list[str]]:
    """(the captions by region number; why others are missing, in words) of what a plugin returned for `wanted`.

    Raises WrongReturn for what is not one entry a region.
    """
    captions: dict[int, str] = {}
    problems: list[str] = []
    for number, text in _by_number(returned, wanted).items():
        try:
            captions[number] = _caption(text, number)
        except ValueError as error:
            problems.append(f"region {number}: {error}")
    return captions, problems


def _by_number(returned: Any, wanted: Sequence[int]) -> dict[int, Any]:
    if isinstance(returned, Mapping):
        strange = [number for number in returned if number not in wanted]
        if strange:
            raise WrongReturn(f"captions for {str(strange[:5])[:80]}, but was asked for regions {list(wanted)}")
        return {number: returned.get(number) for number in wanted}
    if isinstance(returned, str | bytes) or not isinstance(returned, Sequence):
        kind = "None" if returned is None else type(returned).__name__
        raise WrongReturn(f"{kind}; expected a list of texts, one a region, or a dict of them by region number")
    if len(returned) != len(wanted):
        raise WrongReturn(f"{len(returned)} captions for {len(wanted)} regions; expected one each, None for none")
    return dict(zip(wanted, returned, strict=True))


def _caption(text: Any, number: int) -> str:
    """A caption on one line, without its own label. Raises ValueError for what is none."""
    if text is None:
        raise ValueError("no caption")
    if not isinstance(text, str):
        raise ValueError(f"expected text, got {type(text).__name__}")
    if len(text) > MAX_CAPTION_CHARS:
        raise ValueError(f"a caption of {len(text):,} characters; expected at most {MAX_CAPTION_CHARS:,}")
    line = " ".join(plain(text).split())
    own = _LABEL.match(line)
    if own is not None and int(own[1]) == number:
        line = line[own.end() :].lstrip(" :")
    if _LABEL.search(line):
        raise ValueError("the label of a region in its caption")
    if not line:
        raise ValueError("an empty caption")
    return line
