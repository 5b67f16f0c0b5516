"""Reads Parquet files as rows. pyarrow is optional and imported only when a file needs it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from regioncap.errors import InputDamaged, StorageError, UsageError
from regioncap.image_ref import ImageRef, with_place
from regioncap.inputs.arrow_values import plain_column
from regioncap.inputs.csv_rows import refuse_duplicate_columns
from regioncap.inputs.parquet_columns import Columns, place_image
from regioncap.inputs.sharding import Line, Lines
from regioncap.inputs.streams import RawFile, ReadProgress, made_row, row_text
from regioncap.records import Row, jsonable, shorten
from regioncap.storage.filesystem import Place
from regioncap.storage.parquet_schema import ImageColumn

BATCH_ROWS = 256
BUFFER_BYTES = 1_000_000

logger = logging.getLogger("regioncap")


@dataclass(frozen=True)
class ParquetReader:
    """Reads the Parquet files of one input.

    `image_key`: the key of the images, which may be paths or, in the file itself, bytes. `name_of`: what rows call a
    file.
    """

    image_key: str
    name_of: Callable[[Place], str]
    _said: set[str] = field(default_factory=set)

    def read(self, place: Place, gauge: ReadProgress) -> Lines:
        """Yield (row number from 1, its JSON text); `regioncap.records.jsonable` converts dates, decimals and bytes.

        A row whose image is in the file has the file's name as its image, and its text says in which row the bytes
        are; see `regioncap.image_ref` and `regioncap.inputs.parquet_columns`. Reads batches of rows, so that memory
        holds pages rather than whole row groups. Raises UsageError if pyarrow is not installed, two columns share a
        name or one has a type that cannot be read; InputDamaged, with the row, if the file is broken; StorageError.
        """
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise UsageError(
                f"input: {place.url} is Parquet, which needs pyarrow: pip install 'regioncap[parquet]'"
            ) from None
        number = 0
        with RawFile(place, exact=True) as raw:
            try:
                file = pq.ParquetFile(raw, buffer_size=BUFFER_BYTES, pre_buffer=False)
                refuse_duplicate_columns(place, file.schema_arrow.names)
                rows = file.metadata.num_rows
                gauge.done = lambda: number / rows if rows else 1.0
                for number, text in self._rows(place, file, pa):
                    yield number, text
            except (StorageError, UsageError):
                raise
            except pa.ArrowNotImplementedError as error:
                raise UsageError(_unreadable(place, _column_of(file, error), str(error))) from error
            except (pa.ArrowException, OSError, ValueError) as error:
                raise InputDamaged(place.url, f"row {number + 1}", str(error)) from error

    def _rows(self, place: Place, file: Any, pa: Any) -> Iterator[Line]:
        columns, name, number = Columns(file, self.image_key), self.name_of(place), 0
        self._say_left_out(place, columns.left_out)
        for group in range(file.metadata.num_row_groups):
            images, first = columns.with_images(group), number
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns.names):
                values = [_column(place, batch, index, pa) for index in range(batch.num_columns)]
                for index in range(batch.num_rows):
                    row = {key: column[index] for key, column in zip(batch.schema.names, values, strict=True)}
                    here = images is None or images[number - first]
                    number += 1
                    ref = ImageRef(name, row=number, column=self.image_key) if here else None
                    yield number, made_row(partial(_text, row, columns.image, ref))

    def _say_left_out(self, place: Place, names: list[str]) -> None:
        for name in names:
            if name not in self._said:
                self._said.add(name)
                logger.warning(
                    "input: the bytes of column %s of %s are left out of the rows", shorten(name), shorten(place.url)
                )


def _text(row: Row, image: ImageColumn | None, ref: ImageRef | None) -> bytes:
    """The text of a row. `image`: the column with the images' bytes; `ref`: the row's own, if its bytes are there."""
    if image is None:
        return row_text(jsonable(row))
    placed = place_image(row, image, None if ref is None else ref.name)
    text = row_text(jsonable(row))
    return with_place(text, ref) if placed and ref is not None else text


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
