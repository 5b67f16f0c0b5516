"""Refuses image files whose decoding would take time or memory out of proportion, by a look at their structure.

Whoever wrote a row may have written its image as well. `max_image_pixels` bounds what pixels cost; these bounds are for
what a file can make its decoder do besides. With each, decoding takes a few seconds and 0.6 GB at most; and cameras and
programs stay far below.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from itertools import islice

from regioncap.errors import RowReject
from regioncap.vision.jpeg2000 import codestream_of
from regioncap.vision.pieces import TiffPage, tiff_pages

MAX_SCANNED_PIXELS = 2_000_000_000
"""Pixels of a JPEG, counted once for each scan: 20 scans of 100 megapixels; programs write 10 or fewer."""

MAX_DECODER_BYTES = 600_000_000
"""What a decoder that holds a picture in several forms may take for it."""

MAX_TIFF_STRIPS = 500_000
MAX_PLAIN_BYTES = 16_000_000
"""Of a PBM, PGM or PPM whose numbers are text; Pillow reads 4 MB of them a second."""

MAX_PLAIN_COMMENTS = 1000
MAX_RLE_PIXELS = 16_000_000
"""Of a BMP of run lengths, which Pillow reads run by run, in Python."""

MAX_J2K_TILES = 20_000
MAX_J2K_BLOCKS = 1_000_000
"""Code blocks, and precincts times layers: 64x64 pixels each, and one or a few a tile, are usual."""

_JPEG_SCAN = re.compile(rb"\xff\xda")
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_COMPRESSION, _TIFF_SAMPLES = 256, 257, 259, 277
_TIFF_STRIPS, _TIFF_STRIP_ROWS, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT, _TIFF_TILES = 273, 278, 322, 323, 324
_TIFF_JPEG = (6, 7)


def refuse_costly_structure(kind: str, data: bytes) -> None:
    """Raise RowReject `image_too_large` or `image_unreadable` for a file of the format `kind` that would take too much:
    what is found out before Pillow opens it, which may already take it."""
    if check := _BEFORE_OPENING.get(kind):
        check(data)


def refuse_costly_pixels(kind: str, data: bytes, size: tuple[int, int], frames: int) -> None:
    """Raise RowReject `image_too_large` for a file that takes too much to decode, given its `size` (width, height)."""
    if check := _BEFORE_DECODING.get(kind):
        check(data, size[0] * size[1], frames)


def _too_large(what: str, expected: str) -> RowReject:
    return RowReject("image_too_large", f"{what}; {expected}. Save it in another format to have it captioned")


def _refuse_scans(data: bytes, pixels: int, frames: int = 1) -> None:
    # bytes.count takes seven times as long for two bytes.
    scans = sum(1 for _ in _JPEG_SCAN.finditer(data))
    if scans > 1 and scans * pixels > MAX_SCANNED_PIXELS:
        most = max(1, MAX_SCANNED_PIXELS // pixels)
        raise _too_large(f"a JPEG in {scans:,} scans", f"at most {most:,} are read of one with {pixels:,} pixels")


def _refuse_bytes(kind: str, pixels: int, bytes_per_pixel: int) -> None:
    if pixels * bytes_per_pixel > MAX_DECODER_BYTES:
        most = MAX_DECODER_BYTES // bytes_per_pixel
        raise _too_large(f"{kind} of {pixels:,} pixels", f"at most {most:,} are read, since it takes much memory")


def _refuse_animation(data: bytes, pixels: int, frames: int) -> None:
    if frames > 1:
        _refuse_bytes("an animated WebP", pixels, 16)


def _refuse_avif(data: bytes, pixels: int, frames: int) -> None:
    _refuse_bytes("an AVIF", pixels, 9)


def _refuse_bmp(data: bytes, pixels: int, frames: int) -> None:
    rle = len(data) >= 34 and struct.unpack_from("<I", data, 14)[0] >= 40 and data[30] in (1, 2)
    if rle and pixels > MAX_RLE_PIXELS:
        raise _too_large(f"a BMP of run lengths with {pixels:,} pixels", f"at most {MAX_RLE_PIXELS:,} are read")


def _refuse_plain(data: bytes) -> None:
    if data[:2] not in (b"P1", b"P2", b"P3"):
        return
    if len(data) > MAX_PLAIN_BYTES:
        expected = f"at most {MAX_PLAIN_BYTES:,} are read; write its numbers as bytes (P4, P5, P6)"
        raise _too_large(f"a picture of {len(data):,} bytes of text ({data[:2].decode()})", expected)
    comments = data.count(b"#")
    if comments > MAX_PLAIN_COMMENTS:
        raise RowReject("image_unreadable", f"{comments:,} comments in a picture; expected {MAX_PLAIN_COMMENTS:,}")


def _refuse_tiff(data: bytes) -> None:
    for page in islice(tiff_pages(data), 1):
        strips = max(page.length(_TIFF_STRIPS), page.length(_TIFF_TILES))
        if strips > MAX_TIFF_STRIPS:
            raise _too_large(f"a TIFF of {strips:,} strips or tiles", f"at most {MAX_TIFF_STRIPS:,} are read")
        piece = _largest_piece(page)
        _refuse_bytes("a TIFF with a strip or tile", piece, 4)
        if page.value(_TIFF_COMPRESSION, 1) in _TIFF_JPEG:
            _refuse_scans(data, piece)


def _largest_piece(page: TiffPage) -> int:
    """Pixels of a strip or tile, as far as a decoder holds them at once."""
    width, height = page.value(_TIFF_WIDTH, 0), page.value(_TIFF_HEIGHT, 0)
    if page.length(_TIFF_TILE_WIDTH):
        return page.value(_TIFF_TILE_WIDTH, 0) * page.value(_TIFF_TILE_HEIGHT, 0)
    return width * min(height, page.value(_TIFF_STRIP_ROWS, height))


def _refuse_jpeg2000(data: bytes) -> None:
    found = codestream_of(data)
    if found is None:
        raise RowReject("image_unreadable", "damaged or truncated: a JPEG 2000 without whole headers; fetch it again")
    if found.components > 4:
        raise RowReject("image_unreadable", f"a JPEG 2000 of {found.components:,} components; expected 1 to 4")
    if found.tiles > MAX_J2K_TILES:
        raise _too_large(f"a JPEG 2000 of {found.tiles:,} tiles", f"at most {MAX_J2K_TILES:,} are read")
    if max(found.blocks, found.packets) > MAX_J2K_BLOCKS:
        what = f"a JPEG 2000 of {found.blocks:,} code blocks and {found.packets:,} packets"
        raise _too_large(what, f"at most {MAX_J2K_BLOCKS:,} of each are read")
    if found.decoder_bytes > MAX_DECODER_BYTES:
        what = f"a JPEG 2000 of {found.width}x{found.height} pixels in tiles of {found.tile_width}x{found.tile_height}"
        raise _too_large(what, f"decoding takes {found.decoder_bytes:,} bytes, more than {MAX_DECODER_BYTES:,}")


_BEFORE_OPENING: dict[str, Callable[[bytes], None]] = {
    "TIFF": _refuse_tiff, "JPEG2000": _refuse_jpeg2000, "PPM": _refuse_plain,
}  # fmt: skip
_BEFORE_DECODING: dict[str, Callable[[bytes, int, int], None]] = {
    "JPEG": _refuse_scans, "WEBP": _refuse_animation, "AVIF": _refuse_avif, "BMP": _refuse_bmp,
}  # fmt: skip
