"""Decompresses and decodes data files by their first bytes; a name counts only where these do not tell."""

from __future__ import annotations

import codecs
import io
import re
from typing import Any

from regioncap.storage.compression import DECOMPRESSION_ERRORS, compression, compression_in

_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
"""Control characters that no text holds; those of UTF-16 and UTF-32 are told apart by `encoding_of`."""

READ_BYTES = 16_384
"""Compressed bytes passed on at a time: few, so that the position in them tells how far reading has come."""


class Rejoined(io.RawIOBase):
    """A stream that was looked into: `head`, the bytes already taken from it, then the error met there, then `rest`."""

    def __init__(self, head: bytes, rest: Any, error: Exception | None = None) -> None:
        super().__init__()
        self._head = memoryview(head)
        self._rest = rest
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            size = min(len(buffer), len(self._head))
            buffer[:size] = self._head[:size]
            self._head = self._head[size:]
            return size
        if self._error:
            raise self._error
        return int(self._rest.readinto(buffer))

    def tell(self) -> int:
        return int(self._rest.tell()) - self.unread

    @property
    def unread(self) -> int:
        """How many bytes of the head are still to come."""
        return len(self._head)


def look_into(stream: Any, size: int) -> tuple[bytes, Rejoined]:
    """The first `size` bytes of `stream` (all, if it has fewer), and a stream that still begins with them.

    An error on the way ends the look; the returned stream raises it behind the bytes before it.
    """
    head, error = bytearray(), None
    try:
        while len(head) < size and (piece := _read_some(stream, size - len(head))):
            head += piece
    except DECOMPRESSION_ERRORS as caught:
        error = caught
    return bytes(head), Rejoined(bytes(head), stream, error)


def _read_some(stream: Any, size: int) -> bytes:
    """At least one byte, unless the stream ends: what one read gives, so that an error costs no bytes before it."""
    return (stream.read1(size) if isinstance(stream, io.BufferedIOBase) else stream.read(size)) or b""


class _Utf8(io.RawIOBase):
    """Text in `encoding` as UTF-8. Unpaired surrogates are kept, and stand for bytes that are not of another encoding:
    they make a row broken, not the file."""

    def __init__(self, stream: Any, encoding: str) -> None:
        super().__init__()
        self._stream = stream
        is_unicode = codecs.lookup(encoding).name.startswith("utf")
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass" if is_unicode else "surrogateescape")
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            piece = _read_some(self._stream, READ_BYTES)
            self._ready = self._decoder.decode(piece, final=not piece).encode("utf-8", "surrogatepass")
            if not piece and not self._ready:
                return 0
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size


class LineFeeds(io.RawIOBase):
    """A stream whose lines end in CR alone, as older software on the Mac writes them, with LF instead."""

    def __init__(self, stream: io.RawIOBase) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._stream.readinto(buffer) or 0
        buffer[:size] = bytes(buffer[:size]).replace(b"\r", b"\n")
        return size


def encoding_of(head: bytes) -> str | None:
    """The encoding of a text that begins with `head`, or None for one that is read byte by byte (UTF-8, cp1252).

    By its byte order mark; without one, by the zeros beside its first two characters, which no other text has.
    """
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = [byte == 0 for byte in head[:4]]
    if zeros == [False, True, False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False, True, False] else None


def compression_of(head: bytes, name: str) -> str:
    """How a file that begins with `head` is compressed, as an extension or "".

    Where the first bytes do not tell, the name does, unless they are text.
    """
    if known := compression_in(head):
        return known
    is_text = bool(head) and (encoding_of(head) is not None or not _BINARY.search(head))
    return "" if is_text else compression(name)


def as_utf8(stream: io.BufferedReader[Any], encoding: str | None = None) -> io.BufferedReader[Any]:
    """`stream`, decoded if its first bytes say that it is neither UTF-8 nor of single bytes, or by the `encoding` that
    is given for it. A byte order mark counts in any case."""
    try:
        head = stream.peek(4)[:4]
    except DECOMPRESSION_ERRORS:
        return stream  # met again where the first row is read, and named there
    found = encoding_of(head) or (None if head.startswith(codecs.BOM_UTF8) else encoding)
    return io.BufferedReader(_Utf8(stream, found)) if found else stream
