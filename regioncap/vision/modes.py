"""Converts every image mode to 8-bit BGR with Pillow: palettes, alpha, CMYK, 16 bits, floats.

Decoded pictures are converted in bands of rows, which avoids a second full copy: a picture of 100 megapixels takes
Pillow's 4 bytes per pixel and little more.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, TiffImagePlugin

from regioncap.vision.headers import ORIENTATION_TAG, open_header

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
    a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size if that is not smaller than `enough`. Raises Pillow's errors,
    and ValueError for values that cannot be brightness.
    """
    deep = _is_16_bit_colour(image)
    if enough != image.size:
        image.draft(None, enough)
    image.load()
    size = image.size
    if deep:
        # Pillow has checked the file, but keeps only the high bytes.
        image.close()
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if values is not None and values.dtype == np.uint16 and values.shape[:2] == size[::-1]:
            words = values.astype(np.uint16, copy=False)
            return _in_bands(lambda first, last: _from_16_bit(words[first:last]), size, enough)
        image = open_header(data)
        image.load()
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        numbers = np.asarray(image)
        limit = _white_of(image, numbers)
        return _in_bands(lambda first, last: _from_numbers(numbers[first:last], limit), size, enough)
    return _in_bands(lambda first, last: _from_colours(image, first, last), size, enough)


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


def _from_colours(image: Image.Image, first: int, last: int) -> Pixels:
    """Rows of a loaded picture with 8-bit values: HxWx3 uint8, BGR."""
    band = image.crop((0, first, image.size[0], last))
    if image.has_transparency_data:
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
    """The value that means white. Raises ValueError for values below 0 or above every possible white."""
    white = 65_535 if image.format == "PNG" or image.mode.startswith("I;16") else None
    low, high = float(values.min()), float(values.max())
    limits = [white] if white else [limit for limit in (1, 255, 65_535) if limit > 1 or values.dtype.kind == "f"]
    limit = next((limit for limit in limits if low >= 0 and high <= limit), None)
    if limit is None:  # NaN lands here too
        raise ValueError(f"its values range from {low:g} to {high:g}; expected 0..1, 0..255 or 0..65535")
    return limit


def _from_numbers(values: npt.NDArray[np.generic], white: int) -> Pixels:
    """HxW values, 16-bit, integer or float, as grey HxWx3 uint8; `white` becomes 255."""
    grey = np.rint(values.astype(np.float32) * (255 / white)).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))
