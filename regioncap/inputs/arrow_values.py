"""Turns Arrow columns into Python values, those that Python's own types cannot hold into text or numbers.

Only values that fail are converted one by one: nanoseconds, years beyond 9999, time zones that this machine does not
know, text that is not UTF-8. Everything else is as pyarrow gives it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

UNITS_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

MICROS = len("2024-02-03T04:05:06.000001")
"""Characters of a time of Python's calendar up to its microseconds; the time zone follows."""


def plain_column(column: Any, pa: Any) -> list[Any]:
    """The values of an Arrow array, as pyarrow's `to_pylist` gives them where it can.

    Timestamps in nanoseconds are ISO 8601 text with nine decimals. Raises what pyarrow raises for a value of a type
    that is not known here.
    """
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return _nanoseconds(column, pa)
    try:
        values: list[Any] = column.to_pylist()
    except Exception:
        # Each type fails with an error of its own: OverflowError, ValueError, UnknownTimeZoneError, …
        return [_plain(value, pa) for value in column]
    return values


def _nanoseconds(column: Any, pa: Any) -> list[str | None]:
    try:
        texts = column.cast(pa.string()).to_pylist()
    except pa.ArrowInvalid:  # a time zone that is not known
        return [_instant(value, pa) if value.is_valid else None for value in column]
    return [text and text.replace(" ", "T") for text in texts]


def _plain(value: Any, pa: Any) -> Any:
    """The value of an Arrow scalar, piece by piece if it cannot be had as a whole."""
    try:
        return value.as_py()
    except Exception:
        return _pieces(value, pa)


def _pieces(value: Any, pa: Any) -> Any:
    kind, types = value.type, pa.types
    if types.is_struct(kind):
        return {kind.field(index).name: _plain(value[index], pa) for index in range(kind.num_fields)}
    if types.is_map(kind):
        return [[_plain(item[0], pa), _plain(item[1], pa)] for item in value.values]
    if isinstance(value, pa.ListScalar | pa.LargeListScalar | pa.FixedSizeListScalar):
        return [_plain(item, pa) for item in value.values]
    if isinstance(value, pa.DictionaryScalar | pa.ExtensionScalar):
        return _plain(value.value, pa)
    if types.is_timestamp(kind) or types.is_date(kind):
        return _instant(value, pa)
    if types.is_time(kind):
        return value.cast(pa.string()).as_py()
    if types.is_duration(kind):
        return value.value / UNITS_PER_SECOND[kind.unit]
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return value.as_buffer().to_pybytes().decode("utf-8", "backslashreplace")
    return value.as_py()


def _instant(value: Any, pa: Any) -> str:
    """A date or time that Python cannot hold, as ISO 8601; in UTC where its time zone is not known."""
    kind = value.type
    if pa.types.is_date(kind):
        days = value.value if pa.types.is_date32(kind) else value.value // 86_400_000
        return str(np.datetime64(days, "D"))
    if kind.unit != "ns":
        return str(np.datetime64(value.value, kind.unit)) + ("Z" if kind.tz else "")
    micros, nanos = divmod(value.value, 1000)
    try:
        text = str(pa.scalar(micros, pa.timestamp("us", kind.tz)).as_py().isoformat(timespec="microseconds"))
    except Exception:  # a time zone that is not known
        text = f"{np.datetime64(micros, 'us')}Z"
    return text[:MICROS] + (f"{nanos:03}" if nanos else "") + text[MICROS:]
