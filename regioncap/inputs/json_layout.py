"""Tells from the beginning of a JSON file how its rows are laid out: the name `.json` or `.jsonl` is no promise."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any, Literal

from regioncap.errors import InputDamaged, UsageError
from regioncap.inputs.json_array import split_values
from regioncap.inputs.lines import BOM
from regioncap.inputs.sharding import MAX_BYTES, Lines
from regioncap.records import loads
from regioncap.storage.filesystem import Place

SAMPLE_BYTES = 256_000

Layout = Literal["lines", "cr_lines", "array", "values"]
"""`lines`: one row per line; `cr_lines`: the same, with line ends of CR alone; `array`; `values`: one after another."""

_OPEN = (b"{", b"[", b",", b":")
"""Ends of a line behind which JSON goes on."""


def find_layout(place: Place, head: bytes, is_all: bool, prefer_array: bool) -> Layout:
    """The layout of a file that begins with `head`, which is the whole file if `is_all`.

    Lines are assumed unless the beginning cannot be a row of its own. Raises UsageError for one object over many lines
    that is no row.
    """
    text = head.removeprefix(BOM).lstrip()
    if text.startswith(b"["):
        return "array" if prefer_array or _is_array(text, is_all) else "lines"
    if b"\r" in text and b"\n" not in text and _is_json(text.partition(b"\r")[0]):
        return "cr_lines"
    if text.startswith(b"{") and _goes_on(text, prefer_array):
        return _of_values(place, text, is_all)
    return "lines"


def _is_array(text: bytes, is_all: bool) -> bool:
    """Whether text that begins with `[` is an array of rows, not lines of which the first is a list."""
    if not text[1:].lstrip().startswith(b"{"):
        return False
    first, _, rest = text.partition(b"\n")
    if _is_json(first):
        return is_all and not rest.strip()
    return first.rstrip().endswith(_OPEN) or not _is_json(rest.partition(b"\n")[0])


def _goes_on(text: bytes, surely: bool) -> bool:
    """Whether an object goes on behind the first line. Not `surely`: a second line that is JSON by itself says no."""
    first, _, rest = text.partition(b"\n")
    if not rest.strip() or not first.rstrip().endswith(_OPEN) or _is_json(first):
        return False
    return surely or not _is_json(rest.partition(b"\n")[0])


def _of_values(place: Place, text: bytes, is_all: bool) -> Layout:
    """`values`, if the first object ends within `text` and is a row, or others follow it."""
    values = split_values(place, io.BytesIO(text), MAX_BYTES)
    with suppress(InputDamaged, ValueError):
        row = loads(next(values)[1])
        if not is_all or _is_row(row) or _goes_on_behind(values):
            return "values"
    raise UsageError(
        f"input: {place.url} is one JSON object over many lines; expected an array of rows ([…]) or JSON Lines "
        "(one row per line). To extract the rows: jq -c '.[\"images\"][]' FILE > rows.jsonl"
    )


def _goes_on_behind(values: Lines) -> bool:
    try:
        return next(values, None) is not None
    except InputDamaged:
        return True  # met again, and named, where it is read


def _is_row(value: Any) -> bool:
    """Whether an object may be a row: it names something and is not wrapped round rows."""
    values = list(value.values()) if isinstance(value, dict) else []
    wraps = any(isinstance(item, list) and item and isinstance(item[0], dict) for item in values)
    return not wraps and any(isinstance(item, str) for item in values)


def _is_json(text: bytes) -> bool:
    try:
        loads(text)
    except ValueError:
        return False
    return True
