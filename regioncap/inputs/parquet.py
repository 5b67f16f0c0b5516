"""Reads Parquet files as rows. pyarrow is optional and imported only when a file needs it."""

from __future__ import annotations

from typing import Any

from regioncap.errors import InputDamaged, StorageError, UsageError
from regioncap.inputs.csv_rows import refuse_duplicate_columns
from regioncap.inputs.sharding import Lines
from regioncap.inputs.streams import RawFile, ReadProgress, row_text
from regioncap.records import jsonable
from regioncap.storage.filesystem import Place

BATCH_ROWS = 256
BUFFER_BYTES = 1_000_000


def read_parquet(place: Place, gauge: ReadProgress) -> Lines:
    """Yield (row number from 1, its JSON text); `regioncap.records.jsonable` converts dates, decimals and bytes.

    Reads batches of rows, so that memory holds pages rather than whole row groups. Raises UsageError if pyarrow is not
    installed or two columns share a name; InputDamaged, with the row, if the file is broken; StorageError.
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
            refuse_duplicate_columns(place, file.schema_arrow.names)
            rows = file.metadata.num_rows
            gauge.done = lambda: number / rows if rows else 1.0
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                for row in _plain(batch, pa).to_pylist():
                    number += 1
                    yield number, row_text(jsonable(row))
        except StorageError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputDamaged(place.url, f"row {number + 1}", str(error)) from error


def _plain(batch: Any, pa: Any) -> Any:
    """`batch` with nanosecond timestamps, which Python cannot represent, as ISO 8601 text."""
    import pyarrow.compute as pc

    for index, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            text = pc.replace_substring(pc.cast(batch.column(index), pa.string()), " ", "T")
            batch = batch.set_column(index, field.name, text)
    return batch
