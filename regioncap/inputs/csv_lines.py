"""The lines of a CSV file, record by record: which belong to one, and what becomes of a line that is too long."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from regioncap.errors import InputDamaged
from regioncap.inputs.csv_dialect import SEP_LINE, CellDecoder, CsvDialect
from regioncap.inputs.lines import PIECE_BYTES, lines_of
from regioncap.inputs.sharding import MAX_BYTES
from regioncap.inputs.streams import KEPT_BYTES
from regioncap.storage.filesystem import Place

NEVER_CLOSED = "a quote opens there that is never closed"
EXPECTED = f"expected one row per line, of at most {MAX_BYTES:,}"


class RecordLines:
    """Gives a file's lines to `csv.reader`, and keeps those of the record that it is reading.

    `first`: number of the record's first line; `taken`: its lines; `too_long`: bytes of a line in it that has more than
    `MAX_BYTES`, else 0; `ended`: whether the file has.
    """

    def __init__(self, place: Place, stream: io.BufferedReader[Any], decoder: CellDecoder, dialect: CsvDialect) -> None:
        self._place, self._stream, self._decoder = place, stream, decoder
        self._quote, self._escape = dialect.quotechar, dialect.escapechar or "\0"
        self._skipped: int | None = None  # quotes of a line that was just skipped
        self._within_quotes = False
        self._ending = ""
        self.first = 0
        self.taken: list[str] = []
        self.too_long = 0
        self.ended = False

    def begin_record(self) -> None:
        """The lines so far have become a record."""
        self.taken.clear()
        self.too_long = 0
        self._ending = ""

    @property
    def raw(self) -> bytes:
        """The record's text in UTF-8."""
        return "".join(self.taken).encode("utf-8", "surrogateescape").rstrip(b"\r\n")

    def texts(self) -> Iterator[str]:
        """Every line but Excel's `sep=`. In place of a line that is too long comes the end of its record, which is
        where its quotes are closed. Raises InputDamaged where they never are, and for broken compression."""
        for number, line in lines_of(self._place, self._stream, self._skip):
            if not self.taken:
                self.first = number
            if self.too_long:
                if not self._goes_on(line):
                    yield self._ending
                continue
            text = self._decoder.decode(line)
            if number == 1 and SEP_LINE.match(text):
                continue
            self.taken.append(text)
            yield text
        if self.too_long and self._within_quotes:
            raise InputDamaged(self._place.url, f"line {self.first}", NEVER_CLOSED)
        self.ended = True

    def _skip(self, stream: io.BufferedReader[Any], begin: bytes) -> bytes:
        """Read to the end of a line that is too long; returns what is kept of it."""
        size, self._skipped = len(begin), self._quotes(begin)
        while not begin.endswith(b"\n") and (piece := stream.readline(PIECE_BYTES)):
            size, self._skipped = size + len(piece), self._skipped + self._quotes(piece)
            if piece.endswith(b"\n"):
                break
        self.too_long = max(self.too_long, size)
        return begin[:KEPT_BYTES]

    def _goes_on(self, line: bytes) -> bool:
        """Whether the record of a line that is too long goes on behind `line`: that line itself, or one after it."""
        if self._skipped is None:
            self._within_quotes ^= self._quotes(line) % 2 == 1
            return self._within_quotes
        if not self._ending:
            self._within_quotes = self._quotes("".join(self.taken).encode("utf-8", "surrogateescape")) % 2 == 1
            self._ending = f"{self._quote}\n" if self._within_quotes else "\n"
            self.taken.append(line.decode(self._decoder.encoding or "utf-8", "replace"))
        self._within_quotes ^= self._skipped % 2 == 1
        self._skipped = None
        return self._within_quotes

    def _quotes(self, text: bytes) -> int:
        quote = self._quote.encode()
        return text.count(quote) - text.count(self._escape.encode() + quote)
