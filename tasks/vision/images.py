"""Image files to pixels and back: bytes in, arrays out.

Every array is HxWx3 uint8, BGR, as displayed: EXIF orientation applied, alpha over white, animations by their first
frame. Whatever a decoder dislikes becomes a RowReject that says what was found.

OpenCV decodes complete JPEGs (a third to a half of Pillow's time, and at 1/2, 1/4 or 1/8 of the size when less is
wanted); Pillow decodes all else and everything doubtful, since it notices cut and damaged files.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from tasks.errors import RowReject

# Steps decode in a pool of threads, one image a thread: 1.72 times the speed on two cores. OpenCV's own threads on
# top of that cost 7-14 % more CPU for nothing, and so does asking for an OpenCL device that nobody uses.
cv2.setNumThreads(1)
cv2.ocl.setUseOpenCL(False)
# A picture that cannot be decoded is told in its reject, with its name; the decoders' own lines on stderr have none.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
warnings.filterwarnings("ignore", module=r"PIL\.")

Pixels = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
"""What can be read. Pillow opens more, but EPS would start Ghostscript, and the rest are no photographs."""

LEAST_LINEAR = 0.55

_ORIENTATION_TAG = 0x0112
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
_DECODER_ERRORS = (cv2.error, OSError, ValueError, SyntaxError, struct.error, ArithmeticError, AttributeError,
                   LookupError, TypeError, EOFError, RuntimeError, Image.DecompressionBombError, Warning)  # fmt: skip
"""What decoders raise on files that they did not expect; seen in the wild or in Pillow's own tests."""


@dataclass(frozen=True)
class ImageInfo:
    """What an image's header says: `format` ("JPEG", "PNG", …), `width` and `height` in pixels as displayed."""

    format: str
    width: int
    height: int


def read_info(data: bytes, *, max_image_pixels: int) -> ImageInfo:
    """The format and size of the image file `data`, from its header; a file that is visibly cut is refused here too.

    Raises RowReject `image_unreadable` (empty, text, no image, unknown format, cut) or `image_too_large` (more than
    `max_image_pixels`).
    """
    image, turn = _open(data, max_image_pixels)
    if _is_cut(data, image):
        with _rejecting(image):
            image.load()  # the decoder has the last word: some good files end in a way that only looks wrong
    width, height = image.size[::-1] if turn >= 5 else image.size
    return ImageInfo(image.format or "", width, height)


def decode(
    data: bytes,
    *,
    max_image_pixels: int,
    max_pixels: int | None = None,
    long_side: int | None = None,
    least_side: int | None = None,
) -> Pixels:
    """The pixels of the image file `data`: HxWx3 uint8, BGR, as displayed.

    `max_pixels`: the result has at most so many pixels. `long_side`: its longer side has at most so many. Proportions
    are kept, sides are at least 1, nothing is enlarged. `least_side`: a JPEG may come smaller than that, with a longer
    side of so many at least, where that is quicker. 16-bit values are scaled by 1/257.

    Raises RowReject as `read_info` does; `image_unreadable` also for a file whose pixels are cut or damaged.
    """
    image, turn = _open(data, max_image_pixels)
    target = fit_size(image.size, max_pixels=max_pixels, long_side=long_side)
    enough = fit_size(target, long_side=least_side)
    with _rejecting(image):
        pixels = _decode_jpeg(data, image, enough)
        if pixels is None:
            pixels = _decode_any(data, image, target)
        return _turned(_shrunk(pixels, target), turn)


def _shrunk(pixels: Pixels, target: tuple[int, int]) -> Pixels:
    """`pixels` at `target` (width, height), if they are larger."""
    height, width = pixels.shape[:2]
    if width <= target[0] and height <= target[1]:
        return pixels
    # Down to 0.55 of the size INTER_LINEAR is as near to a Lanczos filter (40 dB) as INTER_AREA, in a seventh of the
    # time.
    linear = min(target[0] / width, target[1] / height) >= LEAST_LINEAR
    how = cv2.INTER_LINEAR if linear else cv2.INTER_AREA
    return cv2.resize(pixels, target, interpolation=how).astype(np.uint8, copy=False)


def encode_jpeg(image: Pixels, quality: int) -> bytes:
    """`image` (HxWx3 uint8, BGR) as a JPEG file of `quality` 1..100. Raises ValueError if it cannot be one."""
    height, width = image.shape[:2]
    if not (0 < height < 65_536 and 0 < width < 65_536):
        raise ValueError(f"a JPEG has sides of 1 to 65,535 pixels, got {width}x{height}; make max_pixels smaller")
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def fit_size(size: tuple[int, int], *, max_pixels: int | None = None, long_side: int | None = None) -> tuple[int, int]:
    """The (width, height) that `size` shrinks to, proportions kept, to have at most `max_pixels` pixels and a longer
    side of at most `long_side`; `size` itself if it fits.

    >>> fit_size((4000, 3000), max_pixels=1_000_000)
    (1154, 866)
    """
    width, height = size
    by_pixels = math.sqrt(max_pixels / (width * height)) if max_pixels else 1.0
    scale = min(1.0, by_pixels, long_side / max(size) if long_side else 1.0)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    if max_pixels and width * height > max_pixels:  # by rounding, or because a side of 1 cannot shrink
        return (max_pixels // height, height) if width >= height else (width, max_pixels // width)
    return width, height


class _JpegFile(JpegImagePlugin.JpegImageFile):
    """Pillow's, without the look for dots per inch, which warns about damaged EXIF blocks."""

    def _read_dpi_from_exif(self) -> None: ...


@contextmanager
def _rejecting(image: ImageFile.ImageFile) -> Iterator[None]:
    """Decoders' errors on the opened `image` become RowReject `image_unreadable`."""
    picture = f"a {image.format} of {image.size[0]}x{image.size[1]} pixels"
    try:
        yield
    except MemoryError as error:
        reason = f"{picture} needs more memory than there is; see max_image_pixels"
        raise RowReject("image_unreadable", reason) from error
    except _DECODER_ERRORS as error:
        if "truncated" in str(error).lower() or "incomplete" in str(error).lower():
            reason = f"truncated: {picture} that ends too early ({error}); fetch it again"
        else:
            reason = f"damaged: {picture} that cannot be decoded ({error})"
        raise RowReject("image_unreadable", reason) from error


def _open(data: bytes, max_image_pixels: int) -> tuple[ImageFile.ImageFile, int]:
    """The image in `data`, not decoded, and its EXIF orientation (1 to 8) that is still to be applied."""
    image = _open_header(data)
    width, height = image.size
    size = f"{width}x{height} is {width * height:,} pixels"
    if width < 1 or height < 1:
        raise RowReject("image_unreadable", f"damaged: a {image.format} of {width}x{height} pixels")
    if width * height > max_image_pixels:
        raise RowReject("image_too_large", f"{size}, more than {max_image_pixels:,}; see max_image_pixels")
    # Pillow turns TIFFs itself.
    return image, 1 if image.format == "TIFF" else _orientation(image.info.get("exif"))


def _open_header(data: bytes) -> ImageFile.ImageFile:
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
        except _DECODER_ERRORS as error:
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


def _is_cut(data: bytes, image: ImageFile.ImageFile) -> bool:
    """Whether a JPEG or PNG seems to end too early, told without decoding. (WebP is refused when it is opened.)"""
    if image.format == "JPEG":
        return not _jpeg_is_complete(data)
    return image.format == "PNG" and b"IEND" not in data[-1024:]


def _jpeg_is_complete(data: bytes) -> bool:
    # Inside a scan 0xff is always followed by 0x00 or a restart marker, so an end marker after the last scan's start
    # is one. Cameras write more after it, so it need not be last.
    end = data.rfind(_JPEG_END)
    return end >= 0 and data.find(_JPEG_SCAN, end) < 0


def _orientation(exif: bytes | None) -> int:
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
            if tag == _ORIENTATION_TAG:
                return value if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:
        pass  # a cut EXIF block is no reason to reject a good picture
    return 1


def _turned(pixels: Pixels, turn: int) -> Pixels:
    """`pixels` as displayed, for an EXIF orientation; https://exiftool.org/TagNames/EXIF.html, tag 0x0112."""
    if turn in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _decode_jpeg(data: bytes, image: ImageFile.ImageFile, target: tuple[int, int]) -> Pixels | None:
    """A complete JPEG of grey or YCbCr at `target` (width, height) or somewhat larger; None if it is another."""
    if image.format != "JPEG" or image.mode not in ("RGB", "L") or not _jpeg_is_complete(data):
        return None
    width, height = image.size
    factor = max((f for f in _REDUCED if width // f >= target[0] and height // f >= target[1]), default=1)
    flags = _REDUCED.get(factor, cv2.IMREAD_COLOR) | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    # Pillow says what is wrong if anything is.
    expected = (-(-height // factor), -(-width // factor), 3)
    return pixels.astype(np.uint8, copy=False) if pixels is not None and pixels.shape == expected else None


def _decode_any(data: bytes, image: ImageFile.ImageFile, target: tuple[int, int]) -> Pixels:
    """`image` by Pillow: every mode, at its own size or, for JPEG, one that is not smaller than `target`."""
    deep = _is_16_bit_colour(image)
    if target != image.size:
        image.draft(None, target)
    image.load()
    if deep:
        # Pillow has checked the file, but keeps the high bytes only.
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if values is not None and values.dtype == np.uint16 and values.shape[:2] == image.size[::-1]:
            return _from_16_bit(values.astype(np.uint16, copy=False))
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        white = 65_535 if image.format == "PNG" or image.mode.startswith("I;16") else None
        return _from_numbers(np.asarray(image), white)
    flat: Image.Image = image
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        flat = Image.new("RGB", image.size, "white")
        flat.paste(layer, mask=layer)
    return cv2.cvtColor(np.asarray(flat.convert("RGB")), cv2.COLOR_RGB2BGR).astype(np.uint8, copy=False)


def _is_16_bit_colour(image: ImageFile.ImageFile) -> bool:
    """Whether colours have 16 bits in the file although Pillow's mode has 8: told by the raw mode of its tiles."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_ORIENTATION_TAG, 1) != 1:
        return False  # OpenCV cannot read these: high bytes it is
    deep = any(";16" in str(tile[3]) for tile in image.tile)
    return image.format in ("PNG", "TIFF") and deep and not image.mode.startswith("I")


def _from_16_bit(values: npt.NDArray[np.uint16]) -> Pixels:
    """HxW, HxWx3 (BGR) or HxWx4 (BGRA) uint16 as HxWx3 uint8; alpha over white."""
    scaled = values.astype(np.float32) / 257
    if values.ndim == 2:
        scaled = np.repeat(scaled[:, :, None], 3, axis=2)
    if scaled.shape[2] == 4:
        alpha = scaled[:, :, 3:] / 255
        scaled = scaled[:, :, :3] * alpha + 255 * (1 - alpha)
    return np.rint(scaled).astype(np.uint8)


def _from_numbers(values: npt.NDArray[np.generic], white: int | None) -> Pixels:
    """HxW numbers, 16-bit, integer or float, as grey; `white` (None: 1, 255 or 65,535, by their range) becomes 255.

    Raises ValueError if they are below 0 or beyond all of these.
    """
    low, high = float(values.min()), float(values.max())
    limits = [white] if white else [limit for limit in (1, 255, 65_535) if limit > 1 or values.dtype.kind == "f"]
    limit = next((limit for limit in limits if low >= 0 and high <= limit), None)
    if limit is None:  # NaN lands here too
        raise ValueError(f"its numbers go from {low:g} to {high:g}; 0..1, 0..255 or 0..65535 can be shown")
    grey = np.rint(values.astype(np.float32) * (255 / limit)).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))
