"""Reads Parquet files as rows. pyarrow is optional and imported only when a file needs it."""

from __future__ import annotations

from functools import partial
from typing import Any

from regioncap.errors import InputDamaged, StorageError, UsageError
from regioncap.inputs.arrow_values import plain_column
from regioncap.inputs.csv_rows import refuse_duplicate_columns
from regioncap.inputs.sharding import Lines
from regioncap.inputs.streams import RawFile, ReadProgress, made_row, row_text
from regioncap.records import jsonable
from regioncap.storage.filesystem import Place

BATCH_ROWS = 256
BUFFER_BYTES = 1_000_000


def read_parquet(place: Place, gauge: ReadProgress) -> Lines:
    """Yield (row number from 1, its JSON text); `regioncap.records.jsonable` converts dates, decimals and bytes.

    Reads batches of rows, so that memory holds pages rather than whole row groups. Raises UsageError if pyarrow is not
    installed, two columns share a name or one has a type that cannot be read; InputDamaged, with the row, if the file
    is broken; StorageError.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError(
            f"input: {place.url} is Parquet, which needs pyarrow: pip install 'regioncap[parquet]'"
        ) from None
    number = 0
    with RawFile(place) as raw:
        try:
            file = pq.ParquetFile(raw, buffer_size=BUFFER_BYTES)
            names = file.schema_arrow.names
            refuse_duplicate_columns(place, names)
            rows = file.metadata.num_rows
            gauge.done = lambda: number / rows if rows else 1.0
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                columns = [_column(place, batch, index, pa) for index in range(len(names))]
                for index in range(batch.num_rows):
                    number += 1
                    row = {name: column[index] for name, column in zip(names, columns, strict=True)}
                    yield number, made_row(partial(_text, row))
        except (StorageError, UsageError):
            raise
        except pa.ArrowNotImplementedError as error:
            raise UsageError(_unreadable(place, _column_of(file, error), str(error))) from error
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputDamaged(place.url, f"row {number + 1}", str(error)) from error


def _text(row: dict[str, Any]) -> bytes:
    return row_text(jsonable(row))


def _column(place: Place, batch: Any, index: int, pa: Any) -> list[Any]:
    """The values of a column. Raises UsageError, naming it, if it holds what JSON cannot."""
    try:
        return plain_column(batch.column(index), pa)
    except Exception as error:
        # Arrow's types convert in ways of their own, each with errors of its own; none of them is damage.
        name = f"{batch.schema.names[index]!r} ({batch.schema.types[index]})"
        raise UsageError(_unreadable(place, f"column {name}", f"{type(error).__name__}: {error}")) from error


def _unreadable(place: Place, what: str, reason: str) -> str:
    return (
        f"input: {what[:200]} of {place.url} cannot be read as JSON: {reason[:200]}. Leave the column out, or cast it "
        "to a string or number"
    )


def _column_of(file: Any, error: Exception) -> str:
    """The first column that alone gives the same kind of error, in words."""
    for name in file.schema_arrow.names:
        try:
            next(file.iter_batches(batch_size=1, columns=[name]), None)
        except type(error):
            return f"column {name!r} ({file.schema_arrow.field(name).type})"
    return "a column"
