"""Decodes and encodes image files: bytes in, arrays out, and back.

Every array is HxWx3 uint8, BGR, as displayed: EXIF orientation applied, alpha composited over white, the first frame of
an animation. Every decoder error becomes a RowReject that says what was found.

libjpeg-turbo, through simplejpeg, decodes sound JPEGs (a third to a half of Pillow's time, 0.6 to 0.9 of OpenCV's, and
at 1/2, 1/4 or 1/8 of the size when less is needed). Pillow decodes everything else and everything doubtful, since it
reports what is wrong with truncated and damaged files.
"""

from __future__ import annotations

import math
import threading
from contextlib import nullcontext
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import ImageFile

from regioncap.errors import RowReject
from regioncap.vision.costs import refuse_costly_pixels
from regioncap.vision.headers import (
    enough_memory,
    frames_in_header,
    jpeg_is_complete,
    looks_truncated,
    open_header,
    orientation_of,
    rejecting,
)
from regioncap.vision.modes import MIN_WHOLE_SCALE, decode_any
from regioncap.vision.pieces import count_frames

Pixels = npt.NDArray[np.uint8]

LARGE_PIXELS = 24_000_000
"""Pictures with more pixels are decoded one at a time, which bounds their total memory."""

_REDUCED = (2, 4, 8)
"""Factors that make decoding a JPEG cheaper; the other eighths that libjpeg offers take longer than full size."""

_one_large = threading.Lock()


@dataclass(frozen=True)
class ImageInfo:
    """An image's header: `format` ("JPEG", "PNG", …), `width` and `height` in pixels as displayed."""

    format: str
    width: int
    height: int


class Picture:
    """An image file whose header has been read; its pixels are decoded on demand.

    Raises RowReject `image_unreadable` (empty, text, not an image, unknown format, damaged) or `image_too_large` (more
    than `max_image_pixels`).
    """

    def __init__(self, data: bytes, *, max_image_pixels: int) -> None:
        self._data = data
        self._image: ImageFile.ImageFile | None = open_header(data)
        self._stored = self._image.size
        self._whole: Pixels | None = None
        self._jpeg = self._image.format == "JPEG" and self._image.mode in ("RGB", "L") and jpeg_is_complete(data)
        width, height = self._stored
        if width < 1 or height < 1:
            raise RowReject("image_unreadable", f"damaged: a {self._image.format} of {width}x{height} pixels")
        if width * height > max_image_pixels:
            size = f"{width}x{height} is {width * height:,} pixels"
            raise RowReject("image_too_large", f"{size}, more than {max_image_pixels:,}; see max_image_pixels")
        self._counted = frames_in_header(self._image)
        refuse_costly_pixels(self._image.format or "", data, self._stored, self._counted or 1)
        self.orientation = orientation_of(self._image)
        """The EXIF orientation, 1 to 8, by which the stored picture is turned to be displayed."""
        # Pillow applies the orientation of TIFFs itself.
        self._turn = 1 if self._image.format == "TIFF" else self.orientation
        if self._turn >= 5:
            width, height = height, width
        self.info = ImageInfo(self._image.format or "", width, height)

    @property
    def frames(self) -> int:
        """The number of pictures in the file, at most `MAX_FRAMES`; the first one is used."""
        return count_frames(self.info.format, self._data) if self._counted is None else self._counted

    def check(self) -> None:
        """Raise RowReject `image_unreadable` for a truncated file; only files that look truncated are decoded."""
        image = self._take()
        if looks_truncated(self._data, image):
            with rejecting(image):
                image.load()  # the decoder decides: some sound files only look truncated
        else:
            self._image = image

    def has_full_size(self, *, max_pixels: int) -> bool:
        """Whether `pixels(max_pixels=…)` would reuse the kept pixels and return the same as decoding again."""
        target = fit_size(self._stored, max_pixels=max_pixels)
        if self._whole is None:
            return False
        if self._jpeg:
            return self._factor(target) == 1
        return min(target[0] / self._stored[0], target[1] / self._stored[1]) >= MIN_WHOLE_SCALE

    def pixels(
        self,
        *,
        max_pixels: int | None = None,
        long_side: int | None = None,
        min_side: int | None = None,
        keep_full_size: bool = False,
    ) -> Pixels:
        """The picture: HxWx3 uint8, BGR, as displayed. The size arguments are those of `decode`.

        `keep_full_size`: decode at full size and keep the pixels for the next call; the returned array may then be a
        read-only view of them. Raises RowReject `image_unreadable`.
        """
        target = fit_size(self._stored, max_pixels=max_pixels, long_side=long_side)
        pixels, self._whole = self._whole, None
        if pixels is None:
            pixels = self._decoded(self._stored if keep_full_size else fit_size(target, long_side=min_side))
        if keep_full_size:
            self._whole = pixels
            pixels = pixels.view()
            pixels.flags.writeable = False
        # Region search, which passes a long side, was tuned on area-averaged pictures.
        return _turned(_shrunk(pixels, target, exact=long_side is not None), self._turn)

    def _decoded(self, enough: tuple[int, int]) -> Pixels:
        """The pixels as stored, not smaller than `enough` (width, height) unless the picture is."""
        image = self._take()
        large = self._stored[0] * self._stored[1] > LARGE_PIXELS
        with enough_memory(image), _one_large if large else nullcontext():
            pixels = self._from_jpeg(enough) if self._jpeg else None
            return decode_any(self._data, image, enough) if pixels is None else pixels

    def _take(self) -> ImageFile.ImageFile:
        """Pillow's image; opened again each time, since it can be loaded only once."""
        image, self._image = self._image or open_header(self._data), None
        return image

    def _factor(self, enough: tuple[int, int]) -> int:
        width, height = self._stored
        return max((f for f in _REDUCED if width // f >= enough[0] and height // f >= enough[1]), default=1)

    def _from_jpeg(self, enough: tuple[int, int]) -> Pixels | None:
        """The pixels of a sound JPEG, at least `enough` (width, height); None if simplejpeg cannot decode it."""
        width, height = self._stored
        factor = self._factor(enough)
        at_least = {"min_width": -(-width // factor), "min_height": -(-height // factor)}
        try:
            pixels = simplejpeg.decode_jpeg(self._data, "BGR", **at_least)
        except ValueError:
            return None  # Pillow reports what is wrong, if anything is
        return np.asarray(pixels, np.uint8) if pixels.shape[1::-1] == tuple(at_least.values()) else None


def read_info(data: bytes, *, max_image_pixels: int) -> ImageInfo:
    """The format and size of the image file `data`, from its header; a truncated file is rejected as well.

    Raises RowReject as `Picture` does.
    """
    picture = Picture(data, max_image_pixels=max_image_pixels)
    picture.check()
    return picture.info


def decode(
    data: bytes,
    *,
    max_image_pixels: int,
    max_pixels: int | None = None,
    long_side: int | None = None,
    min_side: int | None = None,
) -> Pixels:
    """The pixels of the image file `data`: HxWx3 uint8, BGR, as displayed.

    `max_pixels`: maximum number of pixels of the result. `long_side`: maximum length of its longer side. The aspect
    ratio is kept, sides are at least 1, nothing is enlarged. `min_side`: the result may be smaller than that if this
    is faster to decode, but its longer side has at least this many pixels. 16-bit values are scaled by 1/257.

    Raises RowReject as `Picture` does; `image_unreadable` also if the pixels are truncated or damaged.
    """
    picture = Picture(data, max_image_pixels=max_image_pixels)
    return picture.pixels(max_pixels=max_pixels, long_side=long_side, min_side=min_side)


def _shrunk(pixels: Pixels, target: tuple[int, int], *, exact: bool) -> Pixels:
    """`pixels` scaled down to `target` (width, height), if larger. `exact`: always by area averaging."""
    height, width = pixels.shape[:2]
    if width <= target[0] and height <= target[1]:
        return pixels
    # Down to 0.55 of the size, INTER_LINEAR is as close to a Lanczos filter (40 dB PSNR) as INTER_AREA, in a seventh of
    # the time.
    linear = not exact and min(target[0] / width, target[1] / height) >= MIN_WHOLE_SCALE
    how = cv2.INTER_LINEAR if linear else cv2.INTER_AREA
    return cv2.resize(pixels, target, interpolation=how).astype(np.uint8, copy=False)


def _turned(pixels: Pixels, turn: int) -> Pixels:
    """`pixels` as displayed, given the EXIF orientation; see https://exiftool.org/TagNames/EXIF.html, tag 0x0112."""
    if turn in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def encode_jpeg(image: Pixels, quality: int) -> bytes:
    """`image` (HxWx3 uint8, BGR) as a JPEG file of `quality` 1..100. Raises ValueError if a side is too long."""
    height, width = image.shape[:2]
    if not (0 < height < 65_536 and 0 < width < 65_536):
        raise ValueError(f"the sides of a JPEG are 1 to 65,535 pixels, got {width}x{height}; lower max_pixels")
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def encode_webp(image: Pixels, quality: int) -> bytes:
    """`image` (HxWx3 uint8, BGR) as a WebP file of `quality` 1..100. Raises ValueError if a side is too long."""
    height, width = image.shape[:2]
    if not (0 < height < 16_384 and 0 < width < 16_384):
        raise ValueError(f"the sides of a WebP are 1 to 16,383 pixels, got {width}x{height}")
    return cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()


def encode_image(image: Pixels, ending: str, quality: int) -> bytes:
    """`image` (HxWx3 uint8, BGR) as a file of the format that `ending` names (`.jpg`, `.png`, `.webp`).

    `quality`: 1..100, ignored for PNG. Raises ValueError for another extension, or sides too long for the format.
    """
    if ending not in (".jpg", ".jpeg", ".png", ".webp"):
        raise ValueError(f"expected .jpg, .png or .webp, got {ending!r}")
    if ending == ".webp":
        return encode_webp(image, quality)
    if ending == ".png":
        return cv2.imencode(".png", image)[1].tobytes()
    return encode_jpeg(image, quality)


def fit_size(size: tuple[int, int], *, max_pixels: int | None = None, long_side: int | None = None) -> tuple[int, int]:
    """`size` (width, height) scaled down to at most `max_pixels` pixels and a longer side of at most `long_side`.

    The aspect ratio is kept. Returns `size` itself if it fits.

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
