"""Filter conditions for rows and regions: `flags==0`, `label==cat`, `score>=0.5`, `caption~bicycle`.

A condition on a property of regions filters regions, and drops rows that have none left; any other filters whole rows.
Numbers are compared as numbers, everything else as text; what is in quotes is text in any case. `null` stands for a
value that is missing.
"""

from __future__ import annotations

import contextlib
import difflib
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from regioncap.config.fields_captions import FlagName
from regioncap.errors import RowReject, UsageError
from regioncap.output.reading import Captioned
from regioncap.records import cut_text, dumps, shorten
from regioncap.row_keys import MISSING, near_key, paths_of, value_at
from regioncap.row_work import row_work

ROWS_WITH_KEYS = 100
"""Rows whose keys are offered where a condition names none that there is."""

FLAG_NAMES: tuple[str, ...] = FlagName.__args__  # type: ignore[attr-defined]

_CONDITION = re.compile(
    r"""\s*(?:(?P<quoted>["'])(?P<quoted_name>.+?)(?P=quoted)|(?P<name>[^\s!=<>~"']+))\s*"""
    r"""(?P<op>!=|<>|<=|>=|==|=|!~|<|>|~)\s*(?:(?P<quote>["'])(?P<text>.*)(?P=quote)|(?P<value>.*?))\s*""",
    re.DOTALL,
)
_SAME_AS = {"=": "==", "<>": "!="}
"""Operators of SQL, and what they are here."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)

REGION_VALUES: dict[str, Callable[[Captioned, int], Any]] = {
    "caption": lambda row, i: row.captions[i],
    "words": lambda row, i: len(row.captions[i].split()),
    "flags": lambda row, i: len(row.flags[i]),
    "area": lambda row, i: row.bbox[i][2] * row.bbox[i][3] / (row.width * row.height),
    "region": lambda row, i: row.regions[i],
    "edited": lambda row, i: row.edited[i],
}
ROW_VALUES: dict[str, Callable[[Captioned], Any]] = {
    "type": lambda row: row.kind,
    "regions": lambda row: len(row.bbox),
    "image": lambda row: row.image,
    "width": lambda row: row.width,
    "height": lambda row: row.height,
}
CONDITION_HELP = (
    "NAME OP VALUE, such as label==cat, score>=0.5, caption~bicycle. NAME of a region: flag, flags (their number), "
    "caption, words (their number), area (share of the picture, 0 to 1), region (its number), edited (by people: "
    "approved, edited or rejected) or a region field; of a row: type, regions (their number), image, width, height (in "
    "pixels) or a key. OP: == (or =) != < <= > >= "
    '~ (contains) !~ (does not). VALUE: a number, text, "text in quotes", true, false or null (missing)'
)


@dataclass
class Condition:
    """One condition. `quoted`: the value is text, whatever it looks like. `met`: whether any row had the named
    property."""

    name: str
    op: str
    value: str
    quoted: bool = False
    met: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, text: str) -> Condition:
        """The condition written as `text`. Raises UsageError."""
        found = _CONDITION.fullmatch(text)
        if found is None:
            raise UsageError(f"--where {text!r}: expected {CONDITION_HELP}")
        name, op = found["name"] or found["quoted_name"], _SAME_AS.get(found["op"], found["op"])
        quoted = found["quote"] is not None
        value = found["text"] if quoted else found["value"]
        if name == "flag":
            if op not in ("==", "!="):
                raise UsageError(f"--where {text!r}: expected flag==NAME or flag!=NAME; use flags>=1 to count flags")
            if value not in FLAG_NAMES:
                near = difflib.get_close_matches(value, FLAG_NAMES, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise UsageError(f"--where {text!r}: expected one of {', '.join(FLAG_NAMES)}, got {value!r}{hint}")
        return cls(name, op, value, quoted)

    def places(self, row: Captioned) -> list[int]:
        """The indices of the regions that satisfy the condition."""
        every = range(len(row.bbox))
        if self.name == "flag":
            self.met = True
            return [i for i in every if (self.value in row.flags[i]) == (self.op == "==")]
        if self.name in row.fields:
            self.met = True
            return [i for i in every if self._holds(row.fields[self.name][i])]
        if self.name in REGION_VALUES:
            self.met = True
            return [i for i in every if self._holds(REGION_VALUES[self.name](row, i))]
        value = ROW_VALUES[self.name](row) if self.name in ROW_VALUES else value_at(row.row, self.name)
        self.met = self.met or value is not MISSING
        return list(every) if self._holds(None if value is MISSING else value) else []

    def _holds(self, value: Any) -> bool:
        if value is None:
            is_null = self.value == "null" and not self.quoted
            return self.op == "==" if is_null else self.op in ("!=", "!~")
        if self.op in ("~", "!~"):
            return (self.value.casefold() in _text(value).casefold()) == (self.op == "~")
        left, right = _number(value), None if self.quoted else _number(self.value)
        if left is not None and right is not None:
            return _COMPARE[self.op](left, right)
        if isinstance(value, str) or self.op in ("==", "!="):
            return _COMPARE[self.op](_text(value), self.value)
        return False  # a number is neither before nor after a word


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _number(value: Any) -> float | None:
    """The number that a value is, or that a text is written as; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return None
    with contextlib.suppress(OverflowError):
        return float(value)
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value).decode("utf-8", "replace")


def chosen(rows: Iterable[Captioned], conditions: Sequence[Condition]) -> Iterator[Captioned]:
    """The rows and regions that satisfy all conditions.

    A row that a condition fails for satisfies none; that is logged. Raises UsageError at the end if no row had the
    property that a condition names: it must be misspelt.
    """
    seen: dict[str, None] = {}
    any_row = False
    for number, row in enumerate(rows):
        any_row = True
        if number < ROWS_WITH_KEYS:
            seen.update(dict.fromkeys((*row.fields, *paths_of(row.row))))
        places = set(range(len(row.bbox)))
        try:
            with row_work("--where", row.image):
                for condition in conditions:
                    places &= set(condition.places(row))
        except RowReject:
            continue
        if len(places) == len(row.bbox):
            yield row
        elif places:
            yield row.only(sorted(places))
    for condition in conditions:
        if any_row and not condition.met:
            known = ("flag", *REGION_VALUES, *ROW_VALUES, *seen)
            near = near_key(condition.name, known)
            hint = f"; did you mean {shorten(near)}?" if near else ""
            raise UsageError(f"--where: no row has {condition.name!r}{hint}; available: {cut_text(', '.join(known))}")
