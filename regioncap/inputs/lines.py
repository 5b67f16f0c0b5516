"""Splits a stream into lines and names the place where it is broken."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from regioncap.errors import InputDamaged
from regioncap.inputs.sharding import MAX_BYTES, Lines
from regioncap.inputs.streams import DECOMPRESSION_ERRORS
from regioncap.records import broken_row
from regioncap.storage.filesystem import Place

BOM = b"\xef\xbb\xbf"
"""The byte order mark that some editors put at the start of a UTF-8 file; not part of the first row."""

SHOWN_BYTES = 200
"""What is kept of a line that is too long for a row."""

SKIPPED_BYTES = 1_000_000
"""How much of such a line is read at a time."""


def lines_of(place: Place, stream: io.BufferedReader[Any]) -> Lines:
    """Every line with its end, and its number from 1; a byte order mark is dropped.

    A line longer than `MAX_BYTES` is a broken row (see `regioncap.records.broken_row`), of which only the beginning is
    held. Raises InputDamaged if compressed data is broken.
    """
    number = 1
    with damage_at(place, lambda: f"line {number}"):
        line = stream.readline(MAX_BYTES + 1).removeprefix(BOM)
        while line:
            yield number, line if len(line) <= MAX_BYTES else _too_long(line, stream)
            number += 1
            line = stream.readline(MAX_BYTES + 1)


def _too_long(line: bytes, stream: io.BufferedReader[Any]) -> bytes:
    """Skip the rest of a line that began with `line`."""
    beginning, size = line[:SHOWN_BYTES], len(line)
    while line and not line.endswith(b"\n"):
        line = stream.readline(SKIPPED_BYTES)
        size += len(line)
    return broken_row(f"a line of {size:,} bytes; a row has at most {MAX_BYTES:,}", beginning) + b"\n"


@contextmanager
def damage_at(place: Place, where: Callable[[], str]) -> Iterator[None]:
    """Broken compressed data becomes InputDamaged."""
    try:
        yield
    except DECOMPRESSION_ERRORS as error:
        raise InputDamaged(place.url, where(), str(error) or type(error).__name__) from error
