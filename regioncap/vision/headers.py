"""What an image file says of itself before it is decoded: format, size, frames, orientation; or what it is instead.

Pillow reads the headers. Whatever a decoder dislikes becomes a RowReject that says what was found.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import cv2
from PIL import Image, ImageFile, JpegImagePlugin

from regioncap.errors import RowReject

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
"""What can be read. Pillow opens more, but EPS would start Ghostscript, and the rest are no photographs."""

SEQUENCES = ("PNG", "WEBP", "GIF", "TIFF", "AVIF")
"""Of those, the ones that may hold several pictures."""

ORIENTATION_TAG = 0x0112
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
DECODER_ERRORS = (cv2.error, OSError, ValueError, SyntaxError, struct.error, ArithmeticError, AttributeError,
                  LookupError, TypeError, EOFError, RuntimeError, Image.DecompressionBombError, Warning)  # fmt: skip
"""What decoders raise on files that they did not expect; seen in the wild, in Pillow's own tests or by fuzzing."""


class _JpegFile(JpegImagePlugin.JpegImageFile):
    """Pillow's, without the look for dots per inch, which warns about damaged EXIF blocks."""

    def _read_dpi_from_exif(self) -> None: ...


@contextmanager
def rejecting(image: ImageFile.ImageFile) -> Iterator[None]:
    """Decoders' errors on the opened `image` become RowReject `image_unreadable`."""
    picture = f"a {image.format} of {image.size[0]}x{image.size[1]} pixels"
    try:
        yield
    except MemoryError as error:
        reason = f"{picture} needs more memory than there is; see max_image_pixels"
        raise RowReject("image_unreadable", reason) from error
    except DECODER_ERRORS as error:
        if "truncated" in str(error).lower() or "incomplete" in str(error).lower():
            reason = f"truncated: {picture} that ends too early ({error}); fetch it again"
        else:
            reason = f"damaged: {picture} that cannot be decoded ({error})"
        raise RowReject("image_unreadable", reason) from error


def open_header(data: bytes) -> ImageFile.ImageFile:
    """The image in `data`, not decoded.

    Not by `Image.open`: that looks at the size itself, with a limit and a warning which are settings of the whole
    process, and reads the frames of a JPEG's stereo twin.
    """
    Image.init()
    for name in FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        if factory is None or accept is None or len(data) < 8 or accept(data[:16]) is not True:
            continue
        try:
            return (_JpegFile if name == "JPEG" else factory)(io.BytesIO(data), "")
        except DECODER_ERRORS as error:
            message = f"damaged or truncated: {len(data):,} bytes that begin like a {name} ({error}); fetch it again"
            raise RowReject("image_unreadable", message) from error
    raise RowReject("image_unreadable", _what_it_is(data))


def _what_it_is(data: bytes) -> str:
    """In words, what `data` is instead of an image that can be read."""
    formats = ", ".join(FORMATS)
    if not data.strip(b"\0"):
        return "the file is empty" if not data else f"the file is {len(data):,} zero bytes; fetch it again"
    if data[4:8] == b"ftyp":
        return f"a HEIC image or a video ({data[8:12]!r}), which cannot be read; one of {formats} can"
    text = data[:40].decode("utf-8-sig", "replace")
    if all(char.isprintable() or char.isspace() for char in text) and "\ufffd" not in text[:-1]:
        return f"no image but text that begins {text!r}; one of {formats} can be read"
    return f"no image that can be read: {len(data):,} bytes that begin {data[:8].hex(' ')}; one of {formats} can be"


def is_cut(data: bytes, image: ImageFile.ImageFile) -> bool:
    """Whether a JPEG or PNG seems to end too early, told without decoding. (WebP is refused when it is opened.)"""
    if image.format == "JPEG":
        return not jpeg_is_complete(data)
    return image.format == "PNG" and b"IEND" not in data[-1024:]


def jpeg_is_complete(data: bytes) -> bool:
    # Inside a scan 0xff is always followed by 0x00 or a restart marker, so an end marker after the last scan's start
    # is one. Cameras write more after it, so it need not be last.
    end = data.rfind(_JPEG_END)
    return end >= 0 and data.find(_JPEG_SCAN, end) < 0


def orientation_of(exif: bytes | None) -> int:
    """The orientation, 1 to 8, that an EXIF block (with or without its "Exif" mark) tells; 1 if it tells none.

    Pillow's reader warns about damaged blocks, and decodes a PNG to look for one.
    """
    block = (exif or b"").removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(count):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", block, start + 2 + 12 * entry)
            if tag == ORIENTATION_TAG:
                return value if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:
        pass  # a cut EXIF block is no reason to reject a good picture
    return 1


def frames_in(data: bytes) -> int:
    """How many pictures a file holds; 1 as well where a damaged file does not tell."""
    with suppress(RowReject, MemoryError, *DECODER_ERRORS):
        return max(1, int(getattr(open_header(data), "n_frames", 1)))
    return 1
