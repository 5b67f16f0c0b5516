"""Reads CSV and TSV files as rows, however they are separated, quoted and encoded."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from regioncap.errors import InputDamaged, UsageError
from regioncap.inputs.csv_dialect import (
    SAMPLE_BYTES,
    SOME_ENCODINGS,
    TRIED,
    WESTERN,
    CellDecoder,
    CsvDialect,
    find_dialect,
)
from regioncap.inputs.csv_lines import EXPECTED, NEVER_CLOSED, RecordLines
from regioncap.inputs.decoding import LineFeeds
from regioncap.inputs.lines import BOM
from regioncap.inputs.sharding import MAX_BYTES, Lines
from regioncap.inputs.streams import ReadProgress, Sample, open_stream, row_text
from regioncap.records import not_a_row, shorten
from regioncap.storage.filesystem import Place

logger = logging.getLogger("regioncap")

_UNDECODED = re.compile("[\udc80-\udcff]")

Record = tuple[int, bytes, list[str] | str]
"""Number of its first line, raw text in UTF-8, and its cells, or why it has none."""


def read_csv(place: Place, gauge: ReadProgress, preferred: str = ",", encoding: str | None = None) -> Lines:
    """CSV with a header; every value stays a string; rows are numbered by their first line.

    The delimiter (`preferred` wins in doubt), quotes, line ends and, unless it is given, the encoding are found out
    from the file's beginning. A row whose number of cells differs from the header's, that cannot be decoded or has a
    line that is too long is a broken row (see `regioncap.records.not_a_row`). Raises UsageError if the header names a
    column twice or the encoding is not known; InputDamaged for an unclosed quote and for broken compression.
    """
    # The csv module's default limit (131,072 characters) is less than a picture in a data: URL.
    csv.field_size_limit(MAX_BYTES)
    with open_stream(place, gauge, encoding) as opened:
        beginning = Sample(opened, gauge, SAMPLE_BYTES)
        head, rest = beginning.head, beginning.rest
        only_cr = b"\r" in head and b"\n" not in head
        stream = beginning.followed_in(io.BufferedReader(LineFeeds(rest) if only_cr else rest))
        sample = _whole_lines(head.replace(b"\r", b"\n") if only_cr else head, ended=len(head) < SAMPLE_BYTES)
        decoder = CellDecoder("utf-8", encoding) if encoding else CellDecoder()
        if (strange := decoder.look_at(sample)) is not None:
            raise _unknown_encoding(place, sample, strange)
        if decoder.encoding == WESTERN:
            _warn_of_doubt(place.url)
        dialect = find_dialect(decoder.decode(sample), preferred)
        yield from _rows(place, _records(place, stream, decoder, dialect), dialect)


def _whole_lines(head: bytes, ended: bool) -> bytes:
    """The beginning of a file without its byte order mark and without a line that is cut off."""
    end = len(head) if ended else head.rfind(b"\n") + 1 or len(head)
    return head[:end].removeprefix(BOM)


def _unknown_encoding(place: Place, sample: bytes, line: bytes) -> UsageError:
    number = sample[: sample.index(line)].count(b"\n") + 1
    return UsageError(
        f"input: line {number} of {place.url} is in an encoding that is not known; tried {TRIED}. Name it with "
        f"--csv-encoding ({SOME_ENCODINGS}), or convert the file: iconv -f ENCODING -t UTF-8 FILE > NEW_FILE"
    )


@cache
def _warn_of_doubt(url: str) -> None:
    """Said once of a file: Polish, Czech or Turkish text of single bytes looks like that of Western Europe."""
    logger.warning(
        "%s is not UTF-8 and is read as Windows-1252 (Latin-1). If letters come out wrong, name its encoding with "
        "--csv-encoding (%s)", url, SOME_ENCODINGS,
    )  # fmt: skip


def _rows(place: Place, records: Iterator[Record], dialect: CsvDialect) -> Lines:
    _, raw, header = next(records, (0, b"", []))
    if isinstance(header, str):
        raise InputDamaged(place.url, "line 1", f"the header is not CSV: {header}")
    names = _names(place, header)
    for number, raw, cells in records:
        if isinstance(cells, str):
            yield number, not_a_row(cells, raw)
        elif len(cells) != len(names) and (len(cells) < len(names) or any(cells[len(names) :])):
            yield number, not_a_row(_ragged(len(cells), names, dialect), raw)
        else:
            yield number, row_text(dict(zip(names, cells, strict=False)))


def _names(place: Place, header: list[str]) -> list[str]:
    """The names of the columns. Several without a name at the end, as spreadsheets write them, are left out."""
    names = [name.strip() for name in header]
    while names[-2:] == ["", ""]:
        names.pop()
    if len(names) < len(header):
        names.pop()
    refuse_duplicate_columns(place, names)
    return names


def refuse_duplicate_columns(place: Place, names: list[str]) -> None:
    """Raise UsageError if columns share a name: a row could hold only one of them."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        named = ", ".join(map(shorten, twice[:5]))
        kind = "column" if len(twice) == 1 else "columns"
        raise UsageError(f"input: {place.url} has the {kind} {named} twice; give each column its own name")


def _ragged(cells: int, names: list[str], dialect: CsvDialect) -> str:
    found = "1 cell" if cells == 1 else f"{cells} cells"
    return (
        f"{found}, but the header has {len(names)}; separated by {dialect.delimiter!r}, a value that holds one must be "
        f"in {dialect.quotechar}…{dialect.quotechar}"
    )


def _records(
    place: Place, stream: io.BufferedReader[Any], decoder: CellDecoder, dialect: CsvDialect
) -> Iterator[Record]:
    """Every record but blank ones and Excel's `sep=` line."""
    lines = RecordLines(place, stream, decoder, dialect)
    reader = csv.reader(lines.texts(), **dialect.arguments())
    while True:
        lines.begin_record()
        try:
            cells: list[str] | str | None = next(reader, None)
        except csv.Error as error:
            if lines.ended or "field larger" in str(error):
                raise InputDamaged(place.url, f"line {lines.first}", NEVER_CLOSED) from None
            cells = f"not CSV: {error}"
        if lines.too_long:
            yield lines.first, lines.raw, f"a line of {lines.too_long:,} bytes; {EXPECTED}"
        elif cells is None:
            return
        elif lines.raw.strip():
            named = f"not in {decoder.name or decoder.encoding}, as the rows before it are"
            yield lines.first, lines.raw, cells if _is_text(lines.taken) else named


def _is_text(lines: list[str]) -> bool:
    """Whether all bytes of the lines could be decoded."""
    return all(line.isascii() or not _UNDECODED.search(line) for line in lines)
