"""Reads image headers without decoding: format, size, frames, orientation; or tells what the file is instead.

Pillow parses the headers. Every decoder error becomes a RowReject that says what was found.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from regioncap.errors import RegionCapError, RowReject
from regioncap.row_work import words_of
from regioncap.vision.costs import refuse_costly_structure
from regioncap.vision.pieces import MAX_FRAMES

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
"""Supported formats. Pillow opens more, but EPS would start Ghostscript, and the others do not hold photographs."""

EXTENSIONS = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib",
        ".tif", ".tiff", ".avif", ".avifs", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm",
        ".pnm", ".pfm",
    }
)  # fmt: skip
"""How files of these formats are named."""

MEDIA_TYPES = {
    **{name: f"image/{name.lower()}" for name in FORMATS},
    "JPEG2000": "image/jp2",
    "PPM": "image/x-portable-anymap",
}
"""Media types (IANA's names) by format."""

ORIENTATION_TAG = 0x0112
EXIF = b"Exif\0\0"
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""EXIF's numbers of its integer types; orientation is a SHORT (3), but some programs write another."""
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"


MAX_HEADER_READS = 100_000
MAX_READS = 4_000_000
"""Pieces that Pillow may read of a file for its header, and in all. Its parsers are written in Python and read a piece
at a time: a segment, a chunk, a run of pixels, a character of a comment. Photos have hundreds, or tens of thousands
where their pixels are in chunks of 8 KB."""

MAX_EXIF_PIECES = 32
"""Segments of an EXIF block, which Pillow joins one by one; one holds 64 KB and is usual."""


class _CountedReads(io.BytesIO):
    """A file of which only so many pieces are read. Raises RowReject `image_unreadable` beyond."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = MAX_HEADER_READS
        self._exif_left = MAX_EXIF_PIECES

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self._left -= 1
        self._exif_left -= piece.startswith(EXIF)
        if self._left < 0 or self._exif_left < 0:
            reason = "too many chunks, comments or other metadata to read; save it again to have it described"
            raise RowReject("image_unreadable", reason)
        return piece

    def open_for_pixels(self) -> None:
        """Allow the reads that decoding takes."""
        self._left = MAX_READS


class _JpegFile(JpegImagePlugin.JpegImageFile):
    """Pillow's class without reading the resolution, which would warn about damaged EXIF blocks."""

    def _read_dpi_from_exif(self) -> None: ...


@contextmanager
def rejecting(image: ImageFile.ImageFile) -> Iterator[None]:
    """Turn decoder errors on the opened `image` into RowReject `image_unreadable`. For calls of decoders only: a bug of
    our own must not pass for a damaged image."""
    with enough_memory(image):
        try:
            yield
        except (MemoryError, RegionCapError):
            raise
        except Exception as error:  # decoders raise errors of two dozen types on malformed files
            said = _words_of(error)
            if "truncated" in said.lower() or "incomplete" in said.lower():
                reason = f"truncated: {_described(image)} that ends too early ({said}); fetch it again"
            else:
                reason = f"damaged: {_described(image)} that cannot be decoded ({said})"
            raise RowReject("image_unreadable", reason) from error


@contextmanager
def enough_memory(image: ImageFile.ImageFile) -> Iterator[None]:
    """Turn MemoryError into RowReject `image_unreadable`."""
    try:
        yield
    except MemoryError as error:
        reason = f"{_described(image)} needs more memory than is available; see max_image_pixels"
        raise RowReject("image_unreadable", reason) from error


def _described(image: ImageFile.ImageFile) -> str:
    return f"a {image.format} of {image.size[0]}x{image.size[1]} pixels"


def format_of(data: bytes) -> str:
    """The one of `FORMATS` that `data` begins like; "" if it is none."""
    if _begins_like("JPEG", data):
        return "JPEG"  # as most photos are: Pillow's other formats take a while to import
    Image.init()
    return next((name for name in FORMATS if _begins_like(name, data)), "")


def _begins_like(name: str, data: bytes) -> bool:
    _, accept = Image.OPEN.get(name, (None, None))
    return accept is not None and len(data) >= 8 and accept(data[:16]) is True


def open_header(data: bytes) -> ImageFile.ImageFile:
    """The image in `data`, not yet decoded. Raises RowReject `image_unreadable` or `image_too_large`.

    `Image.open` is avoided: its size limit and warning are process-wide settings, and it also parses the second frame
    of stereo JPEGs.
    """
    name = format_of(data)
    if not name:
        raise RowReject("image_unreadable", _what_it_is(data))
    refuse_costly_structure(name, data)
    file = _CountedReads(data)
    try:
        image = (_JpegFile if name == "JPEG" else Image.OPEN[name][0])(file, "")
    except Image.DecompressionBombError as error:
        raise RowReject("image_too_large", f"a {name} of too many pixels: {_words_of(error)}") from None
    except RegionCapError:
        raise
    except Exception as error:
        said = _words_of(error)
        message = f"damaged or truncated: {len(data):,} bytes that begin like a {name} ({said}); fetch it again"
        raise RowReject("image_unreadable", message) from error
    file.open_for_pixels()
    return image


def _what_it_is(data: bytes) -> str:
    """Describes `data` that is not a readable image."""
    formats = ", ".join(FORMATS)
    if not data.strip(b"\0"):
        return "the file is empty" if not data else f"the file is {len(data):,} zero bytes; fetch it again"
    if data[4:8] == b"ftyp":
        return f"a HEIC image or a video, which is not supported; supported formats: {formats}"
    # Nothing of the content: rows may name files that whoever wrote the rows must not see.
    start = data[:512].lstrip()
    kind = next((kind for signature, kind in _SIGNATURES if start.lower().startswith(signature)), "")
    if not kind:
        kind = "text" if _is_text(data[:512]) else "of no known kind"
    return f"not an image: {len(data):,} bytes, {kind}; supported formats: {formats}"


_SIGNATURES = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "XML"),
    (b"{", "JSON or other text"),
    (b"%pdf", "a PDF"),
    (b"%!ps", "a PostScript file"),
    (b"pk\3\4", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"par1", "a Parquet file, which is an input and no image"),
    (b"8bps", "a Photoshop file"),
    (b"riff", "sound or video"),
    (b"\x1a\x45\xdf\xa3", "a video"),
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself"),
)
"""(how a file begins, what it is) of what is often met in an image's place."""


def _is_text(data: bytes) -> bool:
    text = data.decode("utf-8-sig", "replace")
    readable = all(char.isprintable() or char.isspace() for char in text)
    return readable and "\ufffd" not in text[:-1]  # the last letter may be cut off


def _words_of(error: Exception) -> str:
    """What a decoder says, without what it quotes of the file."""
    return _QUOTED.sub("…", words_of(error))


_QUOTED = re.compile(r"""b?(['"]).*\1|(?<=header: ).*""")


def looks_truncated(data: bytes, image: ImageFile.ImageFile) -> bool:
    """Whether a JPEG or PNG seems truncated, without decoding it. (A truncated WebP already fails to open.)"""
    if image.format == "JPEG":
        return not jpeg_is_complete(data)
    return image.format == "PNG" and b"IEND" not in data[-1024:]


def jpeg_is_complete(data: bytes) -> bool:
    """Whether the JPEG file `data` has an end marker after its last scan (ITU-T T.81, B.1.1)."""
    # In a scan 0xff is always followed by 0x00 or a restart marker, so an end marker after the last start of scan is
    # genuine. It need not be the last bytes: cameras append data of their own.
    end = data.rfind(_JPEG_END)
    return end >= 0 and data.find(_JPEG_SCAN, end) < 0


def orientation_of(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation, 1 to 8, of an opened image that is not loaded; 1 if it has none."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        found = image.tag_v2.get(ORIENTATION_TAG)
        return found if isinstance(found, int) and 1 <= found <= 8 else 1
    return exif_orientation(image.info.get("exif"))


def exif_orientation(exif: bytes | None) -> int:
    """The orientation, 1 to 8, in an EXIF block (with or without its "Exif" prefix); 1 if it has none.

    Parsed here since Pillow's reader warns about damaged blocks, and decodes a whole PNG to find one.
    """
    block = (exif or b"").removeprefix(EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(order + "HHI", block, entry)
            if tag == ORIENTATION_TAG:
                return _orientation(block, entry + 8, order + _INTEGERS.get(kind, ""), values)
    except struct.error:
        pass  # a truncated EXIF block is no reason to reject a sound picture
    return 1


def _orientation(block: bytes, place: int, form: str, values: int) -> int:
    """The orientation whose value stands at `place`; 1 if it is none, or elsewhere because of its length."""
    if len(form) < 2 or struct.calcsize(form) * values > 4:
        return 1
    (found,) = struct.unpack_from(form, block, place)
    return found if 1 <= found <= 8 else 1


def frames_in_header(image: ImageFile.ImageFile) -> int | None:
    """How many pictures the file has, at most `MAX_FRAMES`; None where they have to be counted in the file."""
    if image.format in ("GIF", "TIFF"):
        return None
    return min(max(int(getattr(image, "n_frames", 1)), 1), MAX_FRAMES)
