"""Image files that are expensive out of proportion to their bytes or pixels, of any size, made by hand.

Encoders write none of these, so each is put together from the parts of its format.
"""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """`image` as a file of the format `kind`."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


# --- JPEG (ITU-T T.81)


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _huffman(kind: int, symbol: int) -> bytes:
    """A table of one symbol, whose code is a single 0 bit."""
    return _segment(0xC4, bytes([kind, 1, *[0] * 15, symbol]))


def _bytes_of(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")


def jpeg_of_scans(scans: int, width: int, height: int) -> bytes:
    """A progressive grey JPEG whose scans say nothing, in few bytes: each block costs its decoder time all the same."""
    blocks = -(-width // 8) * -(-height // 8)
    frame = _segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0]))
    tables = _segment(0xDB, bytes([0, *[1] * 64])) + _huffman(0x00, 0) + _huffman(0x10, 0xE0)
    first = _segment(0xDA, bytes([1, 1, 0x00, 0, 0, 0x00])) + _bytes_of("0" * blocks)
    runs, rest = divmod(blocks, 1 << 14)  # EOB14 ends 16,384 blocks and as many more as 14 bits say
    bits = ("0" + "0" * 14) * runs + ("0" + f"{0:014b}") * bool(rest)
    further = _segment(0xDA, bytes([1, 1, 0x00, 1, 63, 0x00])) + _bytes_of(bits)
    return b"\xff\xd8" + tables + frame + first + further * (scans - 1) + b"\xff\xd9"


def jpeg_with(segments: bytes) -> bytes:
    """A small JPEG with `segments` behind its start."""
    return b"\xff\xd8" + segments + saved(Image.new("RGB", (16, 16), "red"), "JPEG")[2:]


def jpeg_of_segments(count: int, body: bytes = b"", marker: int = 0xFE) -> bytes:
    """A small JPEG with `count` comments, or other segments."""
    return jpeg_with(_segment(marker, body) * count)


def jpeg_of_fill_bytes(count: int) -> bytes:
    """A small JPEG with fill bytes before a marker."""
    return jpeg_with(b"\xff" * count)


# --- PNG


def png_chunk(name: bytes, body: bytes = b"") -> bytes:
    """One chunk with its checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of(*chunks: bytes, width: int = 8, height: int = 8, pieces: int = 1) -> bytes:
    """A grey PNG with `chunks` behind its header; its pixels in `pieces` chunks, most of them empty."""
    pixels = zlib.compress((b"\0" + b"\x80" * width) * height)
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    data = png_chunk(b"IDAT") * (pieces - 1) + png_chunk(b"IDAT", pixels)
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + data + png_chunk(b"IEND")


# --- TIFF


def tiff(entries: list[tuple[int, int, int, int]], tail: bytes = b"", pages: int = 1, loops: bool = False) -> bytes:
    """A little-endian TIFF of `pages` equal directories, each (tag, type, count, value) of `entries`.

    The bytes `tail` lie at offset 8. `loops`: the last page names the first as the next one.
    """
    size = 2 + 12 * len(entries) + 4
    start = 8 + len(tail)
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    follow = [start + size * page for page in range(1, pages)] + [start if loops else 0]
    return struct.pack("<2sHI", b"II", 42, start) + tail + b"".join(body + struct.pack("<I", at) for at in follow)


def grey_tiff(width: int, height: int, *, data: bytes = b"", more: list[tuple[int, int, int, int]] | None = None,
              pages: int = 1, loops: bool = False) -> bytes:  # fmt: skip
    """A TIFF of 8-bit grey in one strip that holds `data`; `more` entries replace those of the same tag."""
    entries = {
        256: (256, 4, 1, width), 257: (257, 4, 1, height), 258: (258, 3, 1, 8), 259: (259, 3, 1, 1),
        262: (262, 3, 1, 1), 273: (273, 4, 1, 8), 277: (277, 3, 1, 1), 278: (278, 4, 1, height),
        279: (279, 4, 1, len(data)),
    } | {entry[0]: entry for entry in more or []}  # fmt: skip
    return tiff(list(entries.values()), data, pages, loops)


def tiff_of_strips(count: int) -> bytes:
    """A TIFF 1 pixel wide with a strip for every row, all at the same place."""
    data = struct.pack("<I", 8) * count
    return grey_tiff(1, count, data=data, more=[(273, 4, count, 8), (278, 4, 1, 1), (279, 4, count, 8)])


def tiff_of_a_tile(side: int) -> bytes:
    """A TIFF of 16x16 pixels in a single tile of `side` x `side`, compressed to little."""
    data = zlib.compress(bytes(min(side * side, 1 << 20)))
    tiled = [(322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8), (325, 4, 1, len(data)), (259, 3, 1, 8)]
    return grey_tiff(16, 16, data=data, more=tiled)


# --- GIF


def gif(
    frames: int, *, screen: tuple[int, int] = (8, 8), frame: tuple[int, int] = (8, 8), small_blocks: int = 0
) -> bytes:
    """A GIF of `frames` equal frames; `small_blocks`: extensions that hold one byte each before the first."""
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    pixels = saved(Image.new("P", (8, 8)), "GIF")
    block = pixels[pixels.rindex(b"\x2c") + 10 : -1]  # its LZW data
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame, 0) + block
    return head + b"\x21\xfe" + b"\x01a" * small_blocks + b"\0" + picture * frames + b";"


# --- BMP


def bmp_rle(width: int, height: int, codes: bytes) -> bytes:
    """A BMP of run lengths (RLE8), `codes`."""
    palette = bytes(4 * 256)
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(codes), 0, 0, 256, 0)
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(codes), 0, 0, start) + head + palette + codes


# --- JPEG 2000 (ITU-T T.800)


def j2k(
    width: int, height: int, *, tile: int | None = None, components: int = 3, levels: int = 5, block: int = 4,
    precinct: int | None = None, layers: int = 1, tile_block: int | None = None,
) -> bytes:  # fmt: skip
    """The headers of a JPEG 2000 codestream with an empty tile.

    `block`: log2 of the side of a code block, less 2, `tile_block`: of those of the tile; `precinct`: log2 of the side
    of every precinct.
    """
    size = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, tile or width, tile or height, 0, 0, components)
    quantized = _segment(0x5C, bytes([0x40]) + bytes([0x40]) * (3 * levels + 1))
    head = _segment(0x51, size + bytes([7, 1, 1]) * components) + _coding(block, levels, precinct, layers) + quantized
    of_tile = b"" if tile_block is None else _coding(tile_block, levels, precinct, layers)
    part = _segment(0x90, struct.pack(">HIBB", 0, 14 + len(of_tile), 0, 1)) + of_tile + b"\xff\x93"
    return b"\xff\x4f" + head + part + b"\xff\xd9"


def _coding(block: int, levels: int, precinct: int | None, layers: int) -> bytes:
    style = struct.pack(">BBHBBBBBB", precinct is not None, 0, layers, 0, levels, block, block, 0, 1)
    return _segment(0x52, style + (b"" if precinct is None else bytes([precinct << 4 | precinct]) * (levels + 1)))


# --- WebP


def webp_animation(frames: int, width: int, height: int) -> bytes:
    """An animated WebP on a canvas of `width` x `height`, each frame of one pixel."""
    still = saved(Image.new("RGB", (1, 1), "red"), "WEBP")[12:]
    body = struct.pack("<II", 0, 0)[:6] + bytes(6) + struct.pack("<I", 100)[:3] + b"\0" + still
    frame = b"ANMF" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    head = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + canvas + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    return b"RIFF" + struct.pack("<I", 4 + len(head) + len(frame) * frames) + b"WEBP" + head + frame * frames
