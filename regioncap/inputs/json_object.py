"""Splits the arrays of one JSON object into the texts of their elements without holding the object.

COCO files are single objects of hundreds of megabytes; their arrays are read element by element, as
`regioncap/inputs/json_array.py` reads an array of rows.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from regioncap.inputs.json_array import Scanner
from regioncap.records import loads
from regioncap.storage.filesystem import Place

# As in json_array; an array of numbers (a polygon) is skipped as one token, which halves the time.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*("?)|\[[-+0-9.eE,\s]*\]|[][{},:]', re.DOTALL)


def split_members(place: Place, stream: io.BufferedIOBase, most_bytes: int) -> Iterator[tuple[str, int, bytes]]:
    """(key, number from 1, text on one line) of each element of every array that is a direct member of the object.

    Values that are not arrays, and arrays of numbers, are skipped. Memory: a few times the longest element; one longer
    than `most_bytes` is given as what is no row. Raises InputDamaged, with the byte offset, if the object is cut off or
    followed by anything, or a key is not a string.
    """
    scanner = Scanner(place, stream, most_bytes, b"{", _TOKEN)
    depth, number, key = 1, 0, ""  # number: of the element, 0 outside of an array
    for sign in scanner.signs():
        if len(sign) > 1:
            continue
        if depth == 1 and sign == b":":
            key = _key(scanner)
            scanner.skip()
        elif sign in b"{[":
            depth += 1
            if depth == 2 and sign == b"[":
                number = scanner.element = 1
                scanner.skip()
        elif sign in b"]}":
            depth -= 1
            if depth == 1 and number:
                if text := scanner.text():
                    yield key, number, _one_line(text)
                number = 0
                scanner.skip()
            elif depth == 0:
                scanner.skip()
                return scanner.check_end("expected nothing after the object's '}'")
        elif sign == b"," and depth == 2 and number:
            yield key, number, _one_line(scanner.text())
            number += 1
            scanner.next_element()
        elif sign == b"," and depth == 1:
            scanner.skip()
    raise scanner.damaged("the file ends before the object does")


def _one_line(text: bytes) -> bytes:
    return text.replace(b"\n", b" ").replace(b"\r", b" ")


def _key(scanner: Scanner) -> str:
    try:
        key = loads(scanner.text())
    except ValueError:
        key = None
    if not isinstance(key, str):
        raise scanner.damaged("expected a key in quotes before ':'")
    return key
