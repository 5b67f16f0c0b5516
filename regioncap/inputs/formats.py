"""Reads data files as rows: JSON Lines, JSON arrays and CSV, with one function per format, chosen by file name.

Each yields (line number from 1, JSON text of the row) in file order. Judging a row's text is up to `load`: text that
is not JSON is passed on unchanged. Only a broken container stops reading, with `InputDamaged`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from regioncap.errors import InputDamaged, UsageError
from regioncap.inputs.json_array import split_array
from regioncap.inputs.parquet import read_parquet, refuse_duplicate_columns
from regioncap.inputs.sharding import MAX_BYTES, Lines
from regioncap.inputs.streams import (
    DECOMPRESSION_ERRORS,
    KEPT_BYTES,
    ReadProgress,
    compression,
    open_stream,
    row_text,
)
from regioncap.records import loads, not_a_row
from regioncap.storage.filesystem import Place

PIECE_BYTES = 1_000_000
"""Read at a time of a line that is too long."""

BOM = b"\xef\xbb\xbf"
"""The byte order mark that some editors put at the start of a UTF-8 file; not part of the first row."""

Reader = Callable[[Place, ReadProgress], Lines]


def file_kind(name: str) -> str:
    """The extension that tells a file's format, in lower case, without that of its compression.

    >>> file_kind("photos.JSONL.gz")
    '.jsonl'
    """
    return PurePosixPath(name.lower().removesuffix(compression(name))).suffix


def read_json_lines(place: Place, gauge: ReadProgress) -> Lines:
    """JSON Lines: one row per line, split at b"\\n" alone, since JSON text may hold U+2028. Blank lines are skipped.

    A line longer than `MAX_BYTES` is one broken row; of it only the begin is held. Raises InputDamaged if compressed
    data is broken; StorageError.
    """
    with open_stream(place, gauge) as stream:
        for number, line in _lines(place, stream, _rest_of_line):
            text = line.rstrip(b"\r\n")
            if text.strip():
                yield number, text


def _rest_of_line(stream: io.BufferedReader[Any], begin: bytes) -> bytes:
    """Read to the end of a line that is too long: what stands for it."""
    size = len(begin)
    while piece := stream.readline(PIECE_BYTES):
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    return not_a_row(f"a line of {size:,} bytes; expected one row a line, of at most {MAX_BYTES:,}", begin[:KEPT_BYTES])


def read_json(place: Place, gauge: ReadProgress) -> Lines:
    """A `.json` file: an array of rows if it begins with `[` (numbered by element), else JSON Lines.

    Raises InputDamaged if the array or compressed data is broken; UsageError for one object over many lines.
    """
    with open_stream(place, gauge) as stream:
        with _damage(place, lambda: "line 1"):
            head = stream.peek().removeprefix(BOM).lstrip()
        if head.startswith(b"["):
            # The splitter raises InputDamaged itself, with the element's position.
            yield from split_array(place, stream, MAX_BYTES)
            return
        if head.startswith(b"{"):
            _refuse_one_object(place, head)
    yield from read_json_lines(place, gauge)


def _refuse_one_object(place: Place, head: bytes) -> None:
    """Raise UsageError if the file is one object over many lines, as pretty printers write it."""
    first, end, rest = head.partition(b"\n")
    if not end or not rest.strip() or not first.rstrip().endswith((b"{", b"[", b",")):
        return
    try:
        loads(first)
    except ValueError:
        raise UsageError(
            f"input: {place.url} is one JSON object over many lines; expected an array of rows ([…]) or JSON Lines "
            "(one row per line). To extract the rows: jq -c '.[\"images\"][]' FILE > rows.jsonl"
        ) from None


def read_csv(place: Place, gauge: ReadProgress) -> Lines:
    """CSV (RFC 4180) in UTF-8 with a header; every value stays a string; rows are numbered by their first line.

    A row whose number of cells differs from the header's, or that is not UTF-8, is passed on as raw text. Raises
    UsageError if the header names a column twice; InputDamaged for an unclosed quote and for broken compression.
    """
    # The csv module's default limit (131,072 characters) is less than a picture in a data: URL.
    csv.field_size_limit(MAX_BYTES)
    with open_stream(place, gauge) as stream:
        records = _csv_records(place, stream)
        _, raw, header = next(records, (0, b"", None))
        if header is None:
            if raw:
                raise InputDamaged(place.url, "line 1", "the header is not CSV in UTF-8")
            return
        refuse_duplicate_columns(place, header)
        for number, raw, cells in records:
            broken = cells is None or len(cells) != len(header)
            yield number, raw if broken else row_text(dict(zip(header, cells or [], strict=False)))


def _csv_records(place: Place, stream: io.BufferedReader[Any]) -> Iterator[tuple[int, bytes, list[str] | None]]:
    """(number of its first line, raw text, cells or None where it is broken) of every record."""
    taken: list[bytes] = []
    first = number = 0

    def too_long(*_: Any) -> bytes:
        # Its end may lie within quotes: nobody knows where the next record begins.
        reason = f"a line of more than {MAX_BYTES:,} bytes, so hardly a row; expected one row a line"
        raise InputDamaged(place.url, f"line {number + 1}", reason)

    def texts() -> Iterator[str]:
        nonlocal first, number
        for number, line in _lines(place, stream, too_long):
            first = first if taken else number
            taken.append(line)
            yield line.decode("utf-8", "surrogateescape")
        number = -1

    reader = csv.reader(texts(), strict=True)
    while True:
        taken.clear()
        try:
            cells: list[str] | None = next(reader, None)
            if cells is None:
                return
        except csv.Error as error:
            if number < 0 or "field larger" in str(error):
                raise InputDamaged(place.url, f"line {first}", "a quote opens there that is never closed") from None
            cells = None
        raw = b"".join(taken).rstrip(b"\r\n")
        if raw.strip():
            yield first, raw, cells if _is_utf8(raw) else None


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _lines(
    place: Place, stream: io.BufferedReader[Any], too_long: Callable[[io.BufferedReader[Any], bytes], bytes]
) -> Lines:
    """Every line with its end, and its number from 1; a byte order mark is dropped. `too_long`: given the begin of a
    line that is longer than `MAX_BYTES`, what to give in its place."""
    number = 1
    with _damage(place, lambda: f"line {number}"):
        line = stream.readline(MAX_BYTES + 1).removeprefix(BOM)
        while line:
            yield number, too_long(stream, line) if len(line) > MAX_BYTES else line
            number += 1
            line = stream.readline(MAX_BYTES + 1)


@contextmanager
def _damage(place: Place, where: Callable[[], str]) -> Iterator[None]:
    """Broken compressed data becomes InputDamaged."""
    try:
        yield
    except DECOMPRESSION_ERRORS as error:
        raise InputDamaged(place.url, where(), str(error) or type(error).__name__) from error


READERS: dict[str, Reader] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".csv": read_csv,
    ".parquet": read_parquet,
}
"""Readers of data files by extension."""

IMAGES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Extensions of image files."""
