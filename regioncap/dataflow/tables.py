"""Rows in the file formats of DataFlow's storages, and as what its operators pass on: DataFrames, lists of dicts."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import PurePosixPath
from typing import IO, Any

from regioncap.errors import RegionCapError, UsageError
from regioncap.exports.base import Array
from regioncap.image_ref import without_place
from regioncap.inputs.formats import READERS, file_kind, reader_of
from regioncap.inputs.streams import ReadProgress
from regioncap.records import Row, dumps, jsonable, loads_given, shorten
from regioncap.row_work import words_of
from regioncap.storage.filesystem import Place

Rows = Callable[[], Iterator[Row]]
"""Returns the rows from the start."""


# --- reading


def read_rows(path: str) -> list[Row]:
    """All rows of a file. Cells of CSV that are JSON are what they say; empty ones are None.

    Raises UsageError for a missing file, an unknown format and a line that is no row.
    """
    place = Place(path)
    kind = file_kind(place.file_name)
    if kind not in READERS:
        raise UsageError(f"{place.url}: expected a file in the format {', '.join(READERS)}")
    if not place.exists():
        raise UsageError(f"{place.url} does not exist; expected what the operator before this one writes")
    with closing(reader_of(place.file_name, None)(place, ReadProgress())) as lines:
        rows = [_row(place, number, text) for number, text in lines]
    return [{key: _cell(value) for key, value in row.items()} for row in rows] if kind in (".csv", ".tsv") else rows


def _row(place: Place, number: int, text: bytes) -> Row:
    try:
        row = loads_given(without_place(text)[0])
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise UsageError(f"{place.url} row {number}: expected an object, got {shorten(text)}")
    return row


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        found = loads_given(value.encode("utf-8", "surrogatepass")) if value else None
    except ValueError:
        return value
    return value if found != found else found  # NaN: a word like any other


def rows_of(data: Any) -> list[Row]:
    """The rows of a DataFrame or of a list of dicts, as dicts of their own; missing values of pandas are None.

    Raises UsageError for anything else.
    """
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        data = data.to_dict(orient="records")
    rows = list(data) if isinstance(data, list | tuple) else None
    strange = next((row for row in rows or () if not isinstance(row, Mapping)), None)
    if rows is None or strange is not None:
        what = type(data).__name__ if rows is None else f"a list with {type(strange).__name__}"
        raise UsageError(f"storage: expected rows as a DataFrame or a list of dicts, got {what}")
    return [{str(key): _known(value) for key, value in row.items()} for row in rows]


def _known(value: Any) -> Any:
    return None if type(value).__name__ in ("NaTType", "NAType") else value


def as_frame(rows: list[Row]) -> Any:
    """The rows as a DataFrame. Raises UsageError without pandas."""
    return _pandas().DataFrame(rows)


def as_passed_on(rows: list[Row]) -> Any:
    """The rows as DataFlow's operators pass them on: as a DataFrame where pandas is installed, else as they are."""
    try:
        return as_frame(rows)
    except UsageError:
        return rows


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise UsageError("read('dataframe') needs pandas: pip install pandas; read('dict') does not") from None
    return pandas


# --- writing


def write_rows(path: str, cache_type: str, rows: Rows) -> None:
    """Write a file in the format `cache_type`, whole or not at all. Raises UsageError for rows that it cannot hold, and
    without pyarrow for Parquet; StorageError."""
    place = Place(path)
    try:
        with place.writer() as file:
            _WRITERS[cache_type](file, rows)
    except RegionCapError:
        raise
    except Exception as error:
        raise UsageError(
            f"{PurePosixPath(path).name}: cannot hold these rows as {cache_type}: {words_of(error)}"
        ) from None


def _write_jsonl(file: IO[bytes], rows: Rows) -> None:
    for row in rows():
        file.write(dumps(row) + b"\n")


def _write_json(file: IO[bytes], rows: Rows) -> None:
    array = Array(file)
    for row in rows():
        array.add(dumps(row))
    array.close()


def _write_csv(file: IO[bytes], rows: Rows) -> None:
    """Lists, objects and numbers as JSON; text as it is."""
    names = dict.fromkeys(key for row in rows() for key in row)
    text = io.TextIOWrapper(file, "utf-8", errors="replace", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(names)
    for row in rows():
        writer.writerow([_text(row.get(name)) for name in names])
    text.detach()


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return dumps(value).decode()


def _write_parquet(file: IO[bytes], rows: Rows) -> None:
    """Values as pyarrow infers them; a column whose values are of several kinds becomes JSON text."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError("cache_type parquet needs pyarrow: pip install 'regioncap[parquet]'") from None
    found = [{key: _filled(value) for key, value in row.items()} for row in rows()]
    names = dict.fromkeys(key for row in found for key in row)
    columns = {name: _column([row.get(name) for row in found], pa) for name in names}
    pq.write_table(pa.table(columns), file)


def _column(values: list[Any], pa: Any) -> Any:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _filled(value: Any) -> Any:
    """`value` with objects without fields as None: Parquet has no such type."""
    if isinstance(value, dict):
        return {key: _filled(item) for key, item in value.items()} or None
    if isinstance(value, list):
        return [_filled(item) for item in value]
    return value if isinstance(value, bytes | str) else jsonable(value)


_WRITERS: Mapping[str, Callable[[IO[bytes], Rows], None]] = {
    "jsonl": _write_jsonl,
    "json": _write_json,
    "csv": _write_csv,
    "parquet": _write_parquet,
}
