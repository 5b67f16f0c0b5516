# ruff: noqa: RUF001 - dashes are meant here.
"""What an answer itself says of its boxes: in which numbers they are, or that they are an example."""

from __future__ import annotations

import re

from regioncap.captioners.reading.lazy_pattern import rare_pattern
from regioncap.config.coordinates import Coordinates

_X, _Y = r"x(?:_?(?:1|0|min))?", r"y(?:_?(?:1|0|min|c|cent(?:er|re)))?"
_COMMA = r"\s?,\s?"
_SIDES = rare_pattern(
    rf"(?:\b|_){_Y}{_COMMA}w(?:idth)?{_COMMA}h(?:eight)?\b|\b(?:cxcy|xy)wh\b|\b(?:x_?cent(?:er|re)|cent(?:er|re)_?x)\b",
    re.IGNORECASE,
)
"""A corner or the center, then width and height: "[x, y, width, height]"."""

_X_FIRST = rare_pattern(rf"\b{_X}{_COMMA}{_Y}\b|\bleft{_COMMA}top{_COMMA}right\b", re.IGNORECASE)
_Y_FIRST = rare_pattern(rf"\b{_Y}{_COMMA}{_X}\b|\btop{_COMMA}left{_COMMA}bottom\b", re.IGNORECASE)
_TO = r"\s?(?:[-–—]|to|and)\s?"
_OF_UNIT = {
    "px": rare_pattern(r"\b(?:in|as|absolute) pixels?\b|\bpixel (?:coordinates|values|positions)\b", re.IGNORECASE),
    "0-1": rare_pattern(rf"\b0(?:\.0)?{_TO}1(?:\.0)?\b(?![.,]?[0-9])|\[0(?:\.0)?, ?1(?:\.0)?\]", re.IGNORECASE),
    "0-1000": rare_pattern(rf"\b0{_TO}(?:999|1,?000)\b|\[0, ?(?:999|1,?000)\]", re.IGNORECASE),
}
_NORMALIZED = rare_pattern(r"\bnormali[sz]ed\b", re.IGNORECASE)
"""Shares or thousandths, but no pixels."""

_EXAMPLE = rare_pattern(
    r"\b(?:examples?|e\.g\.|for instance|hypothetical|placeholders?|illustrative|for illustration|dummy|made[- ]up)\b",
    re.IGNORECASE,
)


def contradicts(text: str, coordinates: Coordinates) -> bool:
    """Whether an answer says that its boxes are in other numbers than those of `coordinates`.

    >>> contradicts("[x, y, w, h]:", Coordinates("px")), contradicts("From 0 to 1000:", Coordinates("0-1000"))
    (True, False)
    """
    order = _X_FIRST if coordinates.y_first else _Y_FIRST
    others = [pattern for unit, pattern in _OF_UNIT.items() if unit != coordinates.unit]
    if coordinates.unit == "px":
        others.append(_NORMALIZED)
    return any(pattern.search(text) for pattern in (_SIDES, order, *others))


def is_example(prose: str) -> bool:
    """Whether what stands around boxes says that they are an example."""
    return _EXAMPLE.search(prose) is not None
