"""The columns that the fields of rows become in a table: their names and types, found in one pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from regioncap.exports.base import Rows, rows_seen
from regioncap.output.reading import Captioned
from regioncap.records import dumps

Kind = Literal["none", "bool", "int", "float", "text"]

_LONG = 1 << 63


def kind_of(value: Any) -> Kind:
    """The type of one JSON value; lists, objects and integers beyond 64 bits are text."""
    match value:
        case None:
            return "none"
        case bool():
            return "bool"
        case int():
            return "int" if -_LONG <= value < _LONG else "text"
        case float():
            return "float"
    return "text"


def both(one: Kind, other: Kind) -> Kind:
    """The type that can hold values of both types.

    >>> both("int", "float"), both("none", "bool"), both("int", "text")
    ('float', 'bool', 'text')
    """
    if one == other or other == "none":
        return one
    if one == "none":
        return other
    return "float" if {one, other} == {"int", "float"} else "text"


def cell(value: Any, kind: Kind) -> Any:
    """`value` as stored in a column of `kind`: in text columns, strings as they are and other values as JSON."""
    if value is None or (kind == "text" and isinstance(value, str)):
        return value
    if kind == "text":
        return dumps(value).decode("utf-8", "replace")
    return float(value) if kind == "float" else value


@dataclass
class Columns:
    """Types by name: of region fields, and of the row's other keys."""

    regions: dict[str, Kind] = field(default_factory=dict)
    rows: dict[str, Kind] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Rows) -> Columns:
        """The columns that `rows` need."""
        made = cls()
        rows_seen(rows, made._add)
        for name in made.regions:
            made.rows.pop(name, None)  # the unfiltered list of the same values
        return made

    def _add(self, row: Captioned) -> None:
        for name, values in row.fields.items():
            for value in values:
                self.regions[name] = both(self.regions.get(name, "none"), kind_of(value))
        for name, value in row.row.items():
            if name not in row.fields:
                self.rows[name] = both(self.rows.get(name, "none"), kind_of(value))


def unused_name(name: str, taken: Iterable[str], prefix: str) -> str:
    """`name`, with `prefix` if it is already taken."""
    return f"{prefix}{name}" if name in set(taken) else name
