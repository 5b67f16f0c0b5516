"""Finds out how a CSV file is written: what separates and quotes its cells, and its encoding where that is not Unicode.

Not `csv.Sniffer`: it guesses from how often characters occur, and takes the commas in boxes for separators. Here every
dialect reads the beginning of the file, and the one counts whose rows have as many cells as the header.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Any

SAMPLE_BYTES = 256_000
SAMPLE_RECORDS = 100

DELIMITERS = (",", "\t", ";", "|")
QUOTES: tuple[tuple[str, str | None], ...] = (('"', None), ("'", None), ('"', "\\"))
"""(quote character, what escapes one inside of a cell; None: it is doubled)."""

SEP_LINE = re.compile(r'"?sep=([^"\r\n])"?\s*$', re.IGNORECASE)
"""A first line that tells Excel the file's separator."""


@dataclass(frozen=True)
class CsvDialect:
    """How cells are separated and quoted, as the arguments of `csv.reader`."""

    delimiter: str = ","
    quotechar: str = '"'
    escapechar: str | None = None
    skipinitialspace: bool = False

    def arguments(self) -> dict[str, Any]:
        """The arguments of a strict `csv.reader`."""
        return {**vars(self), "doublequote": self.escapechar is None, "strict": True}


def find_dialect(sample: str, preferred: str) -> CsvDialect:
    """The dialect of a file that begins with `sample`, whole lines.

    The `preferred` delimiter stays where half of the rows fit the header with it. Else the dialect wins with which most
    rows do; of equals, the first. A header without any delimiter is one column.
    """
    lines = sample.splitlines(keepends=True) if "\n" not in sample else re.findall(r"[^\n]*\n|[^\n]+", sample)
    if lines and (named := SEP_LINE.match(lines[0])):
        return _with_spaces(CsvDialect(named[1]), lines[1:])
    first = CsvDialect(preferred)
    share = _fit(first, lines)
    if share >= 0.5:
        return _with_spaces(first, lines)
    best = first
    order = (preferred, *(sign for sign in DELIMITERS if sign != preferred))
    for (quote, escape), delimiter in product(QUOTES, order):
        dialect = CsvDialect(delimiter, quote, escape)
        # Spaces behind delimiters hide quotes, so that a row fits only without them.
        for candidate in (dialect, replace(dialect, skipinitialspace=True)):
            if (fit := _fit(candidate, lines)) > share:
                best, share = candidate, fit
    return _with_spaces(best, lines)


def _fit(dialect: CsvDialect, lines: list[str]) -> float:
    """The share of the first rows that have as many cells as the header, 0..1; 0 for a header of one cell.

    A header without rows fits a little, so that it tells the delimiter by itself.
    """
    records = _records(dialect, lines)
    header = next((cells for cells in records if cells), None)
    if not header or len(header) < 2:
        return 0.0
    sizes = [cells and len(cells) for cells in islice(records, SAMPLE_RECORDS) if cells != []]
    return sum(size == len(header) for size in sizes) / len(sizes) if sizes else 0.01


def _records(dialect: CsvDialect, lines: list[str]) -> Iterator[list[str] | None]:
    """The cells of every record; None where it is not of this dialect."""
    reader = csv.reader(lines, **dialect.arguments())
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None


def _with_spaces(dialect: CsvDialect, lines: list[str]) -> CsvDialect:
    """`dialect`, without the spaces behind delimiters if every name of the header but the first begins with one."""
    header = next((cells for cells in _records(dialect, lines) if cells), None) or []
    spaced = len(header) > 1 and all(name.startswith(" ") for name in header[1:])
    return replace(dialect, skipinitialspace=dialect.skipinitialspace or spaced)


# --- encoding

WESTERN = "cp1252"
TRIED = "UTF-8, UTF-16, UTF-32 and Windows-1252 (Latin-1)"
SOME_ENCODINGS = (
    "cp1251: Cyrillic, cp1250: Central Europe, cp1253: Greek, cp1254: Turkish, cp932: Japanese, gb18030: Chinese, "
    "cp949: Korean"
)

# What Western text hardly has: rare signs of Windows-1252 that are letters elsewhere, three accented letters in a row,
# four signs beyond ASCII in a row. Cyrillic, Greek and East Asian text is made of these.
_NOT_WESTERN = re.compile(
    rb"[\x81-\x83\x86-\x8b\x8d-\x90\x98\x9a\x9b\x9d-\x9f]|[\xc0-\xff]{3}|[\x80-\xff]{4}",
)


@dataclass
class CellDecoder:
    """Decodes the lines of a file of single bytes or UTF-8. The first lines beyond ASCII decide which it is.

    `encoding`: None until then. `name`: the file's own, where it was given and decoded to UTF-8.
    """

    encoding: str | None = None
    name: str = ""

    def look_at(self, sample: bytes) -> bytes | None:
        """Decide by the lines of `sample`, if one is beyond ASCII. Return a line in an unknown encoding, or None."""
        lines = [line for line in sample.split(b"\n") if not line.isascii()]
        broken = [line for line in lines if not _is_utf8(line)]
        if not lines or self.encoding:
            return None
        if 2 * len(broken) <= len(lines):
            self.encoding = "utf-8"
            return None
        self.encoding = WESTERN
        return next((line for line in broken if _NOT_WESTERN.search(line)), None)

    def decode(self, line: bytes) -> str:
        """The text of `line`; bytes that are not of the encoding become unpaired surrogates."""
        if self.encoding is None and not line.isascii():
            self.encoding = "utf-8" if _is_utf8(line) or _NOT_WESTERN.search(line) else WESTERN
        return line.decode(self.encoding or "utf-8", "surrogateescape")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
