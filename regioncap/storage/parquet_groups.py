"""A Parquet file's footer, and the images of one of its row groups: read forwards, a few rows at a time."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import accumulate
from typing import Any

from regioncap.storage.parquet_schema import ImageColumn, image_column

REQUEST_BYTES = 4_000_000
"""About as much is read from a column with one request."""

BATCH_BYTES = 2_000_000
MIN_BATCH_ROWS, MAX_BATCH_ROWS = 16, 256
"""As many rows as have about these bytes are decoded at once, within these bounds. No fewer than what an export reads
side by side: the rows of two batches are at hand."""


class NoCell(LookupError):
    """A row without an image: the file has no such row or column, there is nothing in it, or a list of many."""


class Footer:
    """What a Parquet file says of itself at its end. `open_source`: opens the file for pyarrow, again and again."""

    def __init__(self, open_source: Callable[[], Any]) -> None:
        import pyarrow.parquet as pq

        self._open_source = open_source
        self._columns: dict[str, ImageColumn | None] = {}
        with closing(open_source()) as source:
            file = pq.ParquetFile(source, pre_buffer=False)
            self._metadata, self._schema = file.metadata, file.schema_arrow
        sizes = (self._metadata.row_group(group).num_rows for group in range(self._metadata.num_row_groups))
        self._starts = [0, *accumulate(sizes)]

    def place_of(self, row: int) -> tuple[int, int]:
        """(row group, index in it) of a row, which is counted from 1. Raises NoCell."""
        if not 1 <= row <= self._starts[-1]:
            raise NoCell(f"the file has {self._starts[-1]:,} rows")
        group = bisect_right(self._starts, row - 1) - 1
        return group, row - 1 - self._starts[group]

    def column_of(self, key: str) -> ImageColumn:
        """The column with the images that `key` names. Raises NoCell."""
        if key not in self._columns:
            self._columns[key] = image_column(self._schema, key)
        column = self._columns[key]
        if column is None:
            raise NoCell(f"the file has no column {key!r} of bytes")
        return column

    def batches(self, column: ImageColumn, group: int) -> Iterator[Any]:
        """The column's values in a row group, as Arrow arrays. Raises what pyarrow and the file raise."""
        import pyarrow.parquet as pq

        about = self._metadata.row_group(group)
        each = about.column(column.leaf).total_uncompressed_size // max(about.num_rows, 1)
        rows = min(max(BATCH_BYTES // max(each, 1), MIN_BATCH_ROWS), MAX_BATCH_ROWS)
        with closing(self._open_source()) as source:
            file = pq.ParquetFile(source, metadata=self._metadata, buffer_size=REQUEST_BYTES, pre_buffer=False)
            names = [self._metadata.schema.column(column.leaf).path]
            for batch in file.iter_batches(rows, row_groups=[group], columns=names, use_threads=False):
                yield batch.column(0)


class RowGroup:
    """The images of one row group. Hold `lock` while reading: rows are best read in order."""

    def __init__(self, footer: Footer, column: ImageColumn, number: int) -> None:
        self.lock = threading.Lock()
        self._column = column
        self._start = partial(footer.batches, column, number)
        self._begin()
        self._damage: Exception | None = None
        self._damaged_from = 0

    def _begin(self) -> None:
        self._batches = self._start()
        self._at_hand = deque[tuple[int, Any]](maxlen=2)
        self._end = 0

    def cell(self, index: int) -> Any:
        """The Arrow scalar with the image's bytes in a row, counted from 0. Raises NoCell, and what reading raises."""
        if self._damage is not None and index >= self._damaged_from:
            raise self._damage
        if self._at_hand and index < self._at_hand[0][0]:
            self._begin()
        while index >= self._end:
            self._advance()
        first, values = next((first, values) for first, values in reversed(self._at_hand) if first <= index)
        try:
            cell = self._column.cell(values[index - first])
        except LookupError as error:
            raise NoCell(str(error)) from None
        if cell is None:
            raise NoCell("its image is null")
        return cell

    def _advance(self) -> None:
        try:
            values = next(self._batches)
        except Exception as error:
            # Reading up to here once more for every row behind would end no sooner.
            self._damage, self._damaged_from = error, self._end
            self._begin()
            raise
        self._at_hand.append((self._end, values))
        self._end += len(values)
