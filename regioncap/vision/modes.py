"""Converts every image mode to 8-bit BGR with Pillow: palettes, alpha, CMYK, 16 bits, floats.

Decoded pictures are converted in bands of rows, which avoids a second full copy: a picture of 100 megapixels takes
Pillow's 4 bytes per pixel and little more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, TiffImagePlugin

from regioncap.errors import RowReject
from regioncap.vision.headers import ORIENTATION_TAG, open_header, rejecting
from regioncap.vision.jpeg2000 import codestream_of

Pixels = npt.NDArray[np.uint8]

BAND_ROWS = 256
"""Approximate number of rows converted at a time."""

MIN_WHOLE_SCALE = 0.55
"""A picture scaled below this factor is scaled band by band, by area averaging; others are converted whole."""

Rows = Callable[[int, int], Pixels]
"""`(first, last) -> HxWx3 uint8 BGR`: a range of a picture's rows; `last` is exclusive."""


def decode_any(data: bytes, image: ImageFile.ImageFile, enough: tuple[int, int]) -> Pixels:
    """The pixels of `image`, opened from `data` and not yet loaded: HxWx3 uint8, BGR; EXIF is ignored.

    The result has the size `enough` (width, height) if that is much smaller than the picture, else the picture's own;
    a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size if that is not smaller than `enough`, and a JPEG 2000 of more
    than 24 megapixels is decoded smaller than that in any case. Raises RowReject `image_unreadable` for pixels that are
    damaged, and for values that cannot be brightness.
    """
    rows = _from_still_webp(data, image) or _from_scaled_ppm(data, image)
    if rows is not None:
        return _in_bands(rows, image.size, enough)
    deep = _is_16_bit_colour(image)
    with rejecting(image):
        if image.format == "JPEG2000" and (found := codestream_of(data)):
            image.reduce = found.reduction(enough)  # type: ignore[assignment,method-assign]
        if enough != image.size:
            image.draft(None, enough)
        image.load()
    size = image.size
    if deep:
        # Pillow has checked the file, but keeps only the high bytes.
        image.close()
        words = _as_stored(data, size)
        if words is not None and words.dtype == np.uint16:
            return _in_bands(lambda first, last: _from_16_bit(words[first:last]), size, enough)
        image = open_header(data)
        with rejecting(image):
            image.load()
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        return _in_bands(_rows_of_numbers(image, np.asarray(image)), size, enough)
    return _in_bands(lambda first, last: _from_colours(image, first, last), size, enough)


def _as_stored(data: bytes, size: tuple[int, int]) -> npt.NDArray[Any] | None:
    """What OpenCV makes of a file, with its depth and alpha: HxW, HxWx3 (BGR) or HxWx4 (BGRA); None where it cannot
    read it, or reads another size."""
    try:
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    return values if values is not None and values.shape[:2] == size[::-1] else None


def _from_still_webp(data: bytes, image: ImageFile.ImageFile) -> Rows | None:
    """The rows of a WebP with one picture. Pillow decodes all as animations, which takes four times the memory."""
    if image.format != "WEBP" or getattr(image, "n_frames", 1) > 1:
        return None
    values = _as_stored(data, image.size)
    if values is None or values.ndim != 3:
        return None  # Pillow says what is wrong with it
    if values.shape[2] == 3:
        return lambda first, last: values[first:last]
    return lambda first, last: _bgr_of(Image.fromarray(cv2.cvtColor(values[first:last], cv2.COLOR_BGRA2RGBA)))


def _from_scaled_ppm(data: bytes, image: ImageFile.ImageFile) -> Rows | None:
    """The rows of a PGM or PPM of bytes whose white is not 255. Pillow, which reads these number by number in Python,
    scales the same way."""
    if image.format != "PPM" or not image.tile or image.tile[0][0] != "ppm":
        return None
    white, offset = int(image.tile[0][3][-1]), image.tile[0][2]  # type: ignore[index]
    shape = (*image.size[::-1], 3) if image.mode == "RGB" else image.size[::-1]
    kind = np.dtype(np.uint8 if white < 256 else ">u2")
    if len(data) - offset < math.prod(shape) * kind.itemsize:
        return None  # Pillow says that it is cut off
    values = np.frombuffer(data, kind, math.prod(shape), offset).reshape(shape)
    most = 65_535 if image.mode == "I" else 255
    scaled = np.minimum(np.rint(np.arange(65_536) / white * most), most).astype(np.uint16 if most > 255 else np.uint8)
    if image.mode == "RGB":
        return lambda first, last: np.ascontiguousarray(scaled[values[first:last]][:, :, ::-1])
    if image.mode == "I":
        return _rows_of_numbers(image, scaled[values])
    return lambda first, last: _from_numbers(scaled[values[first:last]], 255)


def _rows_of_numbers(image: Image.Image, numbers: npt.NDArray[Any]) -> Rows:
    limit = _white_of(image, numbers)
    return lambda first, last: _from_numbers(numbers[first:last], limit)


def _in_bands(rows: Rows, size: tuple[int, int], enough: tuple[int, int]) -> Pixels:
    """A picture of `size` (width, height) from its rows, scaled to `enough` if that is much smaller."""
    target = enough if min(enough[0] / size[0], enough[1] / size[1]) < MIN_WHOLE_SCALE else size
    pixels = np.empty((target[1], target[0], 3), np.uint8)
    step = max(1, BAND_ROWS * target[1] // size[1])
    for top in range(0, target[1], step):
        bottom = min(top + step, target[1])
        band = rows(round(top * size[1] / target[1]), round(bottom * size[1] / target[1]))
        if target != size:
            band = np.asarray(cv2.resize(band, (target[0], bottom - top), interpolation=cv2.INTER_AREA), np.uint8)
        pixels[top:bottom] = band
    return pixels


def _from_colours(image: ImageFile.ImageFile, first: int, last: int) -> Pixels:
    """Rows of a loaded picture with 8-bit values: HxWx3 uint8, BGR."""
    with rejecting(image):
        return _bgr_of(image.crop((0, first, image.size[0], last)))


def _bgr_of(band: Image.Image) -> Pixels:
    """HxWx3 uint8, BGR, over white."""
    if band.has_transparency_data:
        layer = band.convert("RGBA")
        band = Image.new("RGB", layer.size, "white")
        band.paste(layer, mask=layer)
    return np.asarray(cv2.cvtColor(np.asarray(band.convert("RGB")), cv2.COLOR_RGB2BGR), np.uint8)


def _is_16_bit_colour(image: ImageFile.ImageFile) -> bool:
    """Whether the file has 16-bit colours that Pillow's mode reduces to 8, according to the raw mode of its tiles."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(ORIENTATION_TAG, 1) != 1:
        return False  # OpenCV cannot read these; the high bytes have to do
    deep = any(";16" in str(tile[3]) for tile in image.tile)
    return image.format in ("PNG", "TIFF") and deep and not image.mode.startswith("I")


def _from_16_bit(values: npt.NDArray[np.uint16]) -> Pixels:
    """HxW, HxWx3 (BGR) or HxWx4 (BGRA) uint16 as HxWx3 uint8, BGR, composited over white."""
    scaled = values.astype(np.float32) / 257
    if values.ndim == 2:
        scaled = np.repeat(scaled[:, :, None], 3, axis=2)
    if scaled.shape[2] == 4:
        alpha = scaled[:, :, 3:] / 255
        scaled = scaled[:, :, :3] * alpha + 255 * (1 - alpha)
    return np.rint(scaled).astype(np.uint8)


def _white_of(image: Image.Image, values: npt.NDArray[np.generic]) -> int:
    """The value that means white. Raises RowReject `image_unreadable` for values below 0 or above every possible
    white."""
    white = 65_535 if image.format == "PNG" or image.mode.startswith("I;16") else None
    low, high = float(values.min()), float(values.max())
    limits = [white] if white else [limit for limit in (1, 255, 65_535) if limit > 1 or values.dtype.kind == "f"]
    limit = next((limit for limit in limits if low >= 0 and high <= limit), None)
    if limit is None:  # NaN lands here too
        values_are = f"its values range from {low:g} to {high:g}; expected 0..1, 0..255 or 0..65535"
        raise RowReject("image_unreadable", f"a {image.format} that is no picture: {values_are}")
    return limit


def _from_numbers(values: npt.NDArray[np.generic], white: int) -> Pixels:
    """HxW values, 16-bit, integer or float, as grey HxWx3 uint8; `white` becomes 255."""
    grey = np.rint(values.astype(np.float32) * (255 / white)).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))
