"""Splits a stream into lines and names the place where it is broken."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from regioncap.errors import InputDamaged
from regioncap.inputs.sharding import MAX_BYTES, Lines
from regioncap.inputs.streams import KEPT_BYTES
from regioncap.records import not_a_row
from regioncap.storage.compression import DECOMPRESSION_ERRORS
from regioncap.storage.filesystem import Place

BOM = b"\xef\xbb\xbf"
"""The byte order mark that some editors put at the start of a UTF-8 file; not part of the first row."""

PIECE_BYTES = 1_000_000
"""Read at a time of a line that is too long."""


def lines_of(
    place: Place,
    stream: io.BufferedReader[Any],
    too_long: Callable[[io.BufferedReader[Any], bytes], bytes],
    line_of: Callable[[bytes], bytes] = lambda line: line,
) -> Lines:
    """Every line with its end, and its number from 1; a byte order mark is dropped. `too_long`: given the begin of a
    line that is longer than `MAX_BYTES`, what to give in its place. `line_of`: what to give for any other line.

    Raises InputDamaged if compressed data is broken.
    """
    number = 1
    with damage_at(place, lambda: f"line {number}"):
        line = stream.readline(MAX_BYTES + 1).removeprefix(BOM)
        while line:
            yield number, too_long(stream, line) if len(line) > MAX_BYTES else line_of(line)
            number += 1
            line = stream.readline(MAX_BYTES + 1)


def rest_of_line(stream: io.BufferedReader[Any], begin: bytes) -> bytes:
    """Read to the end of a line that is too long: what stands for it."""
    size = len(begin)
    while piece := stream.readline(PIECE_BYTES):
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    return not_a_row(
        f"a line of {size:,} bytes; expected one row per line, of at most {MAX_BYTES:,}", begin[:KEPT_BYTES]
    )


@contextmanager
def damage_at(place: Place, where: Callable[[], str]) -> Iterator[None]:
    """Broken compressed data becomes InputDamaged."""
    try:
        yield
    except DECOMPRESSION_ERRORS as error:
        raise InputDamaged(place.url, where(), str(error) or type(error).__name__) from error
