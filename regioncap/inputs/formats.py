"""Reads data files as rows: JSON, CSV, Parquet and WebDataset tars, with one function per format, chosen by file name.

Each yields (line number from 1, JSON text of the row) in file order. Judging a row's text is up to `load`: text that
is not JSON is passed on unchanged. Only a broken container stops reading, with `InputDamaged`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from regioncap.inputs.csv_rows import read_csv
from regioncap.inputs.decoding import LineFeeds
from regioncap.inputs.json_array import split_array, split_values
from regioncap.inputs.json_layout import SAMPLE_BYTES, find_layout
from regioncap.inputs.lines import lines_of, rest_of_line
from regioncap.inputs.parquet import ParquetReader
from regioncap.inputs.sharding import MAX_BYTES, Lines
from regioncap.inputs.streams import ReadProgress, Sample, open_stream
from regioncap.inputs.tar_rows import read_tar
from regioncap.records import not_marked
from regioncap.storage.compression import compression
from regioncap.storage.filesystem import Place

_TAR = ".tar"
_COMPRESSED_TARS = (".tgz", ".tbz2", ".tbz", ".txz", ".tzst")

Reader = Callable[[Place, ReadProgress], Lines]


def file_kind(name: str) -> str:
    """The extension that tells a file's format, in lower case, without that of its compression.

    >>> file_kind("photos.JSONL.gz")
    '.jsonl'
    """
    suffix = PurePosixPath(name.lower().removesuffix(compression(name))).suffix
    return _TAR if suffix in _COMPRESSED_TARS else suffix


def read_json(place: Place, gauge: ReadProgress, prefer_array: bool = True) -> Lines:
    """JSON rows: one per line, in an array, or one after another over several lines, told by the file's beginning.

    `prefer_array`: what begins with `[` is an array even if its first line could be a row. Rows of lines are numbered
    by line, others by element. Raises InputDamaged if the array or compressed data is broken; UsageError for one
    object over many lines that is no row; StorageError.
    """
    with open_stream(place, gauge) as opened:
        sample = Sample(opened, gauge, SAMPLE_BYTES)
        layout = find_layout(place, sample.head, len(sample.head) < SAMPLE_BYTES, prefer_array)
        stream = sample.followed_in(io.BufferedReader(LineFeeds(sample.rest) if layout == "cr_lines" else sample.rest))
        if layout == "array":
            yield from split_array(place, stream, MAX_BYTES)
        elif layout == "values":
            yield from split_values(place, stream, MAX_BYTES)
        else:
            yield from _json_lines(place, stream)


def _json_lines(place: Place, stream: io.BufferedReader[Any]) -> Lines:
    """Rows split at b"\\n" alone, since JSON text may hold U+2028; blank lines are skipped."""
    for number, line in lines_of(place, stream, rest_of_line, not_marked):
        text = line.rstrip(b"\r\n")
        if text.strip():
            yield number, text


read_json_lines = partial(read_json, prefer_array=False)

_CSV_DELIMITERS = {".csv": ",", ".tsv": "\t"}

READERS: dict[str, Reader] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    **{kind: partial(read_csv, preferred=delimiter) for kind, delimiter in _CSV_DELIMITERS.items()},
    ".parquet": ParquetReader("", lambda place: place.url).read,
    ".tar": read_tar,
}
"""Readers of data files by extension."""


def reader_of(name: str, csv_encoding: str | None) -> Reader:
    """The reader of a data file of this name; `csv_encoding`: that of tables, where it is given."""
    kind = file_kind(name)
    if csv_encoding and kind in _CSV_DELIMITERS:
        return partial(read_csv, preferred=_CSV_DELIMITERS[kind], encoding=csv_encoding)
    return READERS[kind]
