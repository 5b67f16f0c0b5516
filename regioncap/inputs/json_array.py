"""Splits a JSON array, or JSON values one after another, into the texts of its elements without parsing them.

A parser would return numbers, which lose how they were written: `1.10`, 30-digit integers. The text is kept as it is,
and an element that is not JSON is one broken row instead of the end of the file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from regioncap.errors import InputDamaged
from regioncap.inputs.sharding import Lines
from regioncap.inputs.streams import KEPT_BYTES
from regioncap.records import not_a_row, not_marked
from regioncap.storage.compression import DECOMPRESSION_ERRORS
from regioncap.storage.filesystem import Place

READ_BYTES = 16_384
LONG_BYTES = 1_000_000
"""Held of an element that has turned out to be too long."""

BETWEEN = b"\xef\xbb\xbf, \t\r\n"
"""What may stand between values: the byte order mark of joined files, commas and white space."""

# A whole string, the beginning of one (group 1 is empty: its end is still unread), or one structural character.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*("?)|[][{},]', re.DOTALL)


def split_array(place: Place, stream: io.BufferedIOBase, most_bytes: int) -> Lines:
    """(number from 1, text on one line) of each element of the array in `stream`, in order.

    Memory: a few times the longest element. Of an element longer than `most_bytes` little is held: it is given as one
    that is no row. Raises InputDamaged, with the element and the byte offset where it begins, if the array is cut off,
    has an empty element, or is followed by anything.
    """
    scanner = Scanner(place, stream, most_bytes)
    depth = 0
    for sign in scanner.signs():
        if sign in b"{[":
            depth += 1
        elif depth and sign in b"]}":
            depth -= 1
        elif not depth:
            text = scanner.text()
            last = sign == b"]"
            if sign == b"}" or not (text or (last and scanner.element == 1)):
                raise scanner.damaged(f"expected a value before {sign.decode()!r}")
            if text:
                yield scanner.element, text.replace(b"\n", b" ").replace(b"\r", b" ")
            scanner.next_element()
            if last:
                return scanner.check_end("expected nothing after the array's ']'")
    raise scanner.damaged("the file ends before the array does")


def split_values(place: Place, stream: io.BufferedIOBase, most_bytes: int) -> Lines:
    """(number from 1, text on one line) of each object or array in `stream`, which may take several lines each.

    White space and commas between them are left out; anything else is part of the text of the next. Memory and errors
    are those of `split_array`.
    """
    scanner = Scanner(place, stream, most_bytes, opening=b"")
    depth = 0
    for sign in scanner.signs():
        if sign in b"{[":
            depth += 1
        elif depth and sign in b"]}":
            depth -= 1
            if not depth:
                text = scanner.text(behind=True).lstrip(BETWEEN)
                yield scanner.element, text.replace(b"\n", b" ").replace(b"\r", b" ")
                scanner.next_element()
    scanner.check_end("expected an object" if not depth else "the file ends before the object does", BETWEEN)


class Scanner:
    """Scans a JSON text for structural characters, holding it from the beginning of the current element.

    `opening`: the bracket before the first element. `token`: matches whole strings, the beginning of one (its only
    group is then empty), and the tokens to yield (the group is then None).
    """

    def __init__(
        self,
        place: Place,
        stream: io.BufferedIOBase,
        most_bytes: int,
        opening: bytes = b"[",
        token: re.Pattern[bytes] = _TOKEN,
    ) -> None:
        self.element = 1
        self._opening = opening
        self._token = token
        self._place = place
        self._stream = stream
        self._most = most_bytes
        self._bytes = b""
        self._inside = False  # behind the opening bracket
        self._begin = b""  # of an element that is too long to be held
        self._lost = 0  # bytes of it that are not held any more
        self._offset = 0  # in the file, of the first byte held
        self._start = 0  # of the element, in the bytes held
        self._end = 0  # of what has been scanned, in the bytes held

    def signs(self) -> Iterator[bytes]:
        """The structural characters outside strings, after the opening bracket."""
        while self._opening not in self._bytes and self._read_on():
            pass
        self._start = self._end = self._bytes.index(self._opening) + len(self._opening)
        self._inside = True
        while True:
            found = self._token.search(self._bytes, self._end)
            if found is None or found[1] == b"":
                self._end = len(self._bytes) if found is None else found.start()
                if not self._read_on():
                    return
                continue
            self._end = found.end()
            if found[1] is None:
                yield found[0]

    def text(self, behind: bool = False) -> bytes:
        """The element that ends before, or `behind`, the token just yielded; what stands for it if it is too long."""
        held = self._bytes[self._start : self._end if behind else self._end - 1]
        if not self._lost:
            return not_marked(held.strip())
        size = self._lost + len(held)
        return not_a_row(f"an element of {size:,} bytes; expected rows of at most {self._most:,}", self._begin)

    def skip(self) -> None:
        """Drop everything up to and including the token just yielded."""
        self._start = self._end
        self._offset, self._lost = self._offset + self._lost, 0

    def next_element(self) -> None:
        """Advance to the element that begins after the token just yielded."""
        self.skip()
        self.element += 1

    def check_end(self, reason: str, between: bytes | None = None) -> None:
        """Raise InputDamaged for `reason` if anything but white space (or the bytes of `between`) follows."""
        while not self._bytes[self._start :].strip(between):
            self._start = self._end = len(self._bytes)
            if not self._read_on():
                return
        raise self.damaged(reason)

    def damaged(self, reason: str) -> InputDamaged:
        """The error that names the element and the byte offset where it begins."""
        return InputDamaged(self._place.url, f"element {self.element}, byte {self._offset + self._start}", reason)

    def _read_on(self) -> bool:
        """Read more; False at the end of the file. Reads grow with the element, so that long ones take linear time."""
        held = len(self._bytes) - self._start
        if held > (min(LONG_BYTES, self._most) if self._lost else self._most):
            if not self._inside:
                raise self.damaged(f"longer than {self._most:,} bytes; expected an array of rows")
            held = self._drop_scanned()
        try:
            piece = self._stream.read(max(READ_BYTES, held))
        except DECOMPRESSION_ERRORS as error:
            raise self.damaged(str(error) or type(error).__name__) from error
        self._bytes = self._bytes[self._start :] + piece
        self._end -= self._start
        self._offset += self._start
        self._start = 0
        return bool(piece)

    def _drop_scanned(self) -> int:
        """Hold of an element that is too long no more than scanning needs; the bytes that this is."""
        self._begin = self._begin if self._lost else self._bytes[self._start : self._start + KEPT_BYTES]
        unscanned = self._bytes[self._end :]
        if unscanned:  # the begin of a string: all that matters of it is whether its last sign is escaped
            escapes = len(unscanned) - len(unscanned.rstrip(b"\\"))
            unscanned = b'"' + b"\\" * (escapes % 2)
        self._lost += len(self._bytes) - self._start - len(unscanned)
        self._offset += self._start
        self._bytes, self._start, self._end = unscanned, 0, 0
        return len(unscanned)
