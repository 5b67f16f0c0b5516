"""Walks the pieces that image files consist of, without decoding them, and never for longer than a bound.

Each walk ends where the file does, or where it is damaged: what is wrong with it is said by its decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

MAX_FRAMES = 1000
"""Pictures of one file that are counted; the first is described, whatever their number."""

MAX_GIF_BLOCKS = 1_000_000
"""Blocks of a GIF that are walked to count its pictures: 255 MB of them, where each is as long as it may be."""


def count_frames(kind: str, data: bytes) -> int:
    """The number of pictures in a GIF or TIFF, at most `MAX_FRAMES`; 1 where it is too damaged to tell."""
    return max(1, gif_frames(data) if kind == "GIF" else sum(1 for _ in tiff_pages(data)))


def gif_frames(data: bytes) -> int:
    """The number of pictures in a GIF, at most `MAX_FRAMES` (GIF89a specification, section 15 on)."""
    frames = 0
    try:
        position = _behind_colours(data, 10, 13)
        for _ in range(MAX_GIF_BLOCKS):
            kind = data[position]
            if kind == 0x21:  # an extension: its label, then blocks
                position += 2
            elif kind == 0x2C:
                frames += 1
                position = _behind_colours(data, position + 9, position + 10) + 1
            else:
                break
            if frames >= MAX_FRAMES:
                break
            position = _behind_blocks(data, position)
    except IndexError:
        pass
    return frames


def _behind_colours(data: bytes, flags_at: int, position: int) -> int:
    """The position behind a table of colours that may lie at `position`, as the flags say."""
    flags = data[flags_at]
    return position + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def _behind_blocks(data: bytes, position: int) -> int:
    for _ in range(MAX_GIF_BLOCKS):
        size = data[position]
        position += size + 1
        if not size:
            return position
    raise IndexError("too many blocks")


class TiffPage(NamedTuple):
    """A directory of a TIFF: by tag the number of values, and the only value or the offset of several."""

    entries: dict[int, tuple[int, int]]

    def value(self, tag: int, default: int) -> int:
        """The value of a tag with a single number."""
        return self.entries.get(tag, (1, default))[1]

    def length(self, tag: int) -> int:
        """How many values a tag has."""
        return self.entries.get(tag, (0, 0))[0]


class _TiffForm(NamedTuple):
    """How a TIFF's numbers are laid out (TIFF 6.0, section 2; BigTIFF)."""

    order: str
    big: bool

    @property
    def offset_code(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def count_code(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def entry_bytes(self) -> int:
        return 20 if self.big else 12


MAX_TIFF_ENTRIES = 4096


def tiff_pages(data: bytes) -> Iterator[TiffPage]:
    """The directories of a TIFF in their chain, at most `MAX_FRAMES`; one that comes again ends it."""
    form = _TiffForm("<" if data[:2] == b"II" else ">", 43 in data[2:4])
    seen: set[int] = set()
    try:
        (start,) = struct.unpack_from(form.offset_code, data, 8 if form.big else 4)
        while start and start not in seen and len(seen) < MAX_FRAMES:
            seen.add(start)
            (count,) = struct.unpack_from(form.count_code, data, start)
            first = start + struct.calcsize(form.count_code)
            yield TiffPage(_entries(data, form, first, min(count, MAX_TIFF_ENTRIES)))
            (start,) = struct.unpack_from(form.offset_code, data, first + form.entry_bytes * count)
    except (struct.error, OverflowError):
        return


def _entries(data: bytes, form: _TiffForm, first: int, count: int) -> dict[int, tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}
    for place in range(first, first + form.entry_bytes * count, form.entry_bytes):
        tag, kind, values = struct.unpack_from(f"{form.order}HH{'Q' if form.big else 'I'}", data, place)
        at = place + form.entry_bytes - struct.calcsize(form.offset_code)
        number = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind, "I") if values == 1 else form.offset_code[1]
        found.setdefault(tag, (values, *struct.unpack_from(form.order + number, data, at)))
    return found
