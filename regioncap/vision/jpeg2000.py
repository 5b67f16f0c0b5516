"""What decoding a JPEG 2000 codestream takes, by its headers (ITU-T T.800, annex A).

A file of 100 bytes may ask its decoder for a million tiles, code blocks of 4x4 pixels or precincts of one, each with
memory of its own, before anything shows that the pixels are not there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_SIZ, _COD, _COC, _SOT, _SOD, _EOC = 0x51, 0x52, 0x53, 0x90, 0x93, 0xD9
_START = b"\xff\x4f\xff\x51"
_MAX_BOXES, _MAX_TILE_PARTS, _MAX_SEGMENTS = 1000, 100_000, 1000

WHOLE_PIXELS = 24_000_000
"""Larger pictures are decoded at 1/2, 1/4, … of their size: 80 megapixels take 1.5 GB and half a minute."""

Segment = tuple[int, memoryview]


@dataclass(frozen=True)
class Codestream:
    """`width`, `height`: of the picture; `tile_width`, `tile_height`: of its tiles, at most the picture's, in pixels.
    `blocks`, `packets`: how many code blocks, and precincts times layers, at most. `levels`: how often the picture can
    be halved before it is decoded."""

    width: int
    height: int
    components: int
    tile_width: int
    tile_height: int
    tiles: int
    blocks: int
    packets: int
    levels: int

    def reduction(self, enough: tuple[int, int]) -> int:
        """How often to halve the picture: for one of more than `WHOLE_PIXELS`, until it has no more or is hardly larger
        than `enough` (width, height); at most `levels`."""
        width, height, times = self.width, self.height, 0
        if width * height <= WHOLE_PIXELS:
            return 0
        while times < self.levels and (
            width * height > WHOLE_PIXELS or min(width // 2 - enough[0], height // 2 - enough[1]) >= 0
        ):
            width, height, times = -(-width // 2), -(-height // 2), times + 1
        return times

    @property
    def decoder_bytes(self) -> int:
        """About what decoding takes: 5 bytes a value of a tile, 4 a pixel."""
        whole = 4 * self.width * self.height + 5 * self.tile_width * self.tile_height * self.components
        return int(whole >> 2 * self.reduction((self.width, self.height)))


def codestream_of(data: bytes) -> Codestream | None:
    """The codestream of a JPEG 2000 file or codestream; None where the headers are damaged or have no end."""
    try:
        segments = _segments(data, _start_of(data))
        (marker, size) = next(segments)
        return _measured(size, segments) if marker == _SIZ else None
    except (struct.error, IndexError, StopIteration, ZeroDivisionError):
        return None


def _start_of(data: bytes) -> int:
    """Where the codestream begins: at once, or in the box `jp2c`."""
    if data.startswith(_START):
        return 0
    position = 0
    for _ in range(_MAX_BOXES):
        size, kind = struct.unpack_from(">I4s", data, position)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
            head = 16
        if kind == b"jp2c":
            return position + head
        if size < head:
            break
        position += size
    raise IndexError("no codestream")


def _segments(data: bytes, start: int) -> Iterator[Segment]:
    """(marker, content) of the segments of the main header and of the headers of all tile-parts."""
    view = memoryview(data)
    position = start + 2
    for _ in range(_MAX_TILE_PARTS):
        part, size = 0, 0
        for _ in range(_MAX_SEGMENTS):
            if position + 4 > len(data):
                return  # cut off: the decoder says so
            if data[position + 1] in (_SOD, _EOC):
                break
            marker, length = struct.unpack_from(">xBH", data, position)
            if marker == _SOT and part != position:
                if size:
                    break
                (size,) = struct.unpack_from(">I", data, position + 6)
                part = position
            yield marker, view[position + 4 : position + 2 + length]
            position += 2 + length
        else:
            raise IndexError("too many segments")
        if not size:  # the last tile-part, or none
            return
        position = part + size
    raise IndexError("too many tile-parts")


def _measured(size: memoryview, segments: Iterator[Segment]) -> Codestream:
    right, bottom, left, top, tile_w, tile_h, tile_x, tile_y = struct.unpack_from(">8I", size, 2)
    (components,) = struct.unpack_from(">H", size, 34)
    width, height = right - left, bottom - top
    across, down = -(-(right - tile_x) // tile_w), -(-(bottom - tile_y) // tile_h)
    samples = width * height * components
    blocks = packets = 0
    levels = 32
    for marker, body in segments:
        if marker in (_COD, _COC):
            at = 5 if marker == _COD else (1 if components < 257 else 2) + 1
            layers = struct.unpack_from(">H", body, 2)[0] if marker == _COD else 1
            precincts = bool(body[0] & 1) if marker == _COD else bool(body[at - 1] & 1)
            found = _style(body[at:], precincts, samples, across * down * components)
            levels = min(levels, body[at])
            blocks, packets = max(blocks, found[0]), max(packets, found[1] * layers)
    return Codestream(
        width, height, components, min(tile_w, width), min(tile_h, height), across * down, blocks, packets, levels
    )  # fmt: skip


def _style(style: memoryview, precincts: bool, samples: int, tiles: int) -> tuple[int, int]:
    """(code blocks, precincts) at most, of `samples` values in `tiles` tiles of one component each."""
    levels = style[0]
    block = 1 << (style[1] & 15) + (style[2] & 15) + 4
    sizes = [1 << (size & 15) + (size >> 4) for size in style[5 : 6 + levels]] if precincts else []
    # Each further level has a quarter of the pixels; a precinct smaller than a code block cuts it.
    blocks = samples // min([block, *sizes]) * 4 // 3 + tiles * (3 * levels + 1)
    within = [samples // size // 4 ** max(levels - level, 0) for level, size in enumerate(sizes)]
    return blocks, sum(within) + tiles * (levels + 1)
