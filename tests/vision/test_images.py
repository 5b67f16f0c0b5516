"""Image files to pixels: every format and mode, EXIF turns, limits, and files that are no images or are damaged."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps, features

from regioncap.errors import RowReject
from regioncap.vision.images import Picture, decode, encode_jpeg, fit_size, read_info

LIMIT = 10_000_000
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(width: int = 48, height: int = 32) -> Image.Image:
    """Red, green / blue, white: each corner has a colour of its own."""
    image = Image.new("RGB", (width, height))
    half_w, half_h = width // 2, height // 2
    for place, colour in zip([(0, 0), (1, 0), (0, 1), (1, 1)], [RED, GREEN, BLUE, WHITE], strict=True):
        image.paste(colour, (place[0] * half_w, place[1] * half_h, width, height))
    image.paste(GREEN, (half_w, 0, width, half_h))
    return image


def photo(width: int = 320, height: int = 240) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def cv2_saved(pixels: np.ndarray, extension: str) -> bytes:
    return cv2.imencode(extension, pixels)[1].tobytes()


def rgb_corners(data: bytes, **options: Any) -> list[tuple[int, ...]]:
    """Colours near the four corners as RGB: upper left, upper right, lower left, lower right."""
    pixels = decode(data, max_image_pixels=LIMIT, **options)
    height, width = pixels.shape[:2]
    points = [(4, 4), (4, width - 5), (height - 5, 4), (height - 5, width - 5)]
    return [tuple(int(value) for value in pixels[point][::-1]) for point in points]


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its few bytes do not hold."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 99))]
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in [*chunks, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def reject_of(data: bytes, limit: int = LIMIT) -> RowReject:
    """What `decode` raises; `read_info` may pass the file, or must raise the same code."""
    with pytest.raises(RowReject) as raised:
        decode(data, max_image_pixels=limit)
    return raised.value


# --- what is refused


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\0" * 500, "zero bytes"),
        (b"P", "text"),
        (b"<!DOCTYPE html><title>404 Not Found</title>", "43 bytes, an HTML page"),
        (b"\n  <HTML>", "an HTML page"),
        (b"root:x:0:0:root", "15 bytes, text"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00", "video"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "a PostScript file"),
        (bytes(range(128, 200)), "72 bytes, of no known kind"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "not an image"),
    ],
)
def test_what_is_no_image_is_refused_with_what_was_found(data: bytes, words: str) -> None:
    with pytest.raises(RowReject, match="image_unreadable") as raised:
        read_info(data, max_image_pixels=LIMIT)
    assert words in raised.value.message
    assert reject_of(data).code == "image_unreadable"


@pytest.mark.parametrize(
    "start", [b"", b"P3 ", b"P6\n", b"{", b"\0\0\0\x18ftyp", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a"]
)
def test_a_reject_quotes_nothing_of_a_file(start: bytes) -> None:
    for end in (b"hush-hush", b" hush-hush 12 ", b"1 hush-hush hush-hush"):
        assert "hush" not in reject_of(start + end).message


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_files_are_refused(kind: str, share: float) -> None:
    whole = saved(photo(), kind)
    reject = reject_of(whole[: int(len(whole) * share)])
    assert reject.code == "image_unreadable"
    assert "truncated" in reject.message


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 100}])
def test_a_jpeg_is_refused_wherever_it_is_cut(options: dict[str, Any]) -> None:
    whole = saved(photo(), "JPEG", **options)
    for end in range(12, len(whole) - 2, 199):
        assert reject_of(whole[:end]).code == "image_unreadable"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_truncation_is_seen_before_the_pixels_are_wanted(kind: str) -> None:
    with pytest.raises(RowReject, match="truncated"):
        read_info(saved(photo(), kind)[:-300], max_image_pixels=LIMIT)


def test_a_cut_jpeg_whose_rest_is_zeros_is_refused() -> None:
    whole = saved(photo(), "JPEG")
    half = len(whole) // 2
    assert reject_of(whole[:half] + bytes(len(whole) - half)).code == "image_unreadable"


@pytest.mark.parametrize("flip_at", [0.3, 0.6, 0.9])
def test_a_damaged_png_is_refused(flip_at: float) -> None:
    data = bytearray(saved(photo()))
    data[int(len(data) * flip_at)] ^= 0xFF
    assert reject_of(bytes(data)).code == "image_unreadable"


@pytest.mark.parametrize(("width", "height"), [(40_000, 40_000), (10_001, 1_000), (1, 10_000_001)])
def test_a_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    with pytest.raises(RowReject, match="image_too_large") as raised:
        read_info(png_of(width, height), max_image_pixels=LIMIT)
    assert f"{width}x{height}" in raised.value.message
    assert "max_image_pixels" in raised.value.message
    assert reject_of(png_of(width, height)).code == "image_too_large"


def test_the_limit_is_ours_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS
    info = read_info(png_of(40_000, 40_000), max_image_pixels=2_000_000_000)
    assert (info.width, info.height) == (40_000, 40_000)
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_picture_of_exactly_the_limit_is_read() -> None:
    assert decode(saved(photo(40, 25)), max_image_pixels=1000).shape == (25, 40, 3)
    assert reject_of(saved(photo(40, 25)), limit=999).code == "image_too_large"


# --- formats and modes


AVIF = pytest.param("AVIF", marks=pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF"))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG", "JPEG2000", "PPM", AVIF])
def test_formats(kind: str) -> None:
    options: dict[str, dict[str, Any]] = {
        "WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}, "AVIF": {"quality": 100},
    }  # fmt: skip
    data = saved(quarters(), kind, **options.get(kind, {}))
    info = read_info(data, max_image_pixels=LIMIT)
    assert (info.format, info.width, info.height) == (kind, 48, 32)
    assert np.allclose(rgb_corners(data), [RED, GREEN, BLUE, WHITE], atol=6)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (33, 21)])
def test_every_png_mode_gives_three_channels_of_bytes(mode: str, size: tuple[int, int]) -> None:
    pixels = decode(saved(Image.new(mode, size)), max_image_pixels=LIMIT)
    assert pixels.shape == (size[1], size[0], 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGBA", (9, 9), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 255)), (255, 0, 0)),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 51)), (255, 204, 204)),
        (Image.new("LA", (9, 9), (0, 127)), (128, 128, 128)),
        (Image.new("L", (9, 9), 77), (77, 77, 77)),
        (Image.new("1", (9, 9), 1), (255, 255, 255)),
        (Image.new("RGB", (9, 9), (1, 2, 3)).convert("P", palette=Image.Palette.ADAPTIVE), (1, 2, 3)),
    ],
)
def test_alpha_is_over_white_and_grey_is_grey(image: Image.Image, expected: tuple[int, ...]) -> None:
    assert rgb_corners(saved(image))[0] == expected


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_entry_is_white(kind: str) -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 8, 16))
    assert rgb_corners(saved(image, kind, transparency=0))[:2] == [WHITE, BLUE]


def test_a_palette_with_alpha_is_over_white() -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    assert rgb_corners(saved(image, transparency=bytes([255, 0])))[0] == WHITE


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("shape", [(12, 16), (12, 16, 3)])
@pytest.mark.parametrize(("value", "expected"), [(0, 0), (200, 1), (1000, 4), (32_768, 128), (65_535, 255)])
def test_16_bits_are_scaled_not_cut(extension: str, shape: tuple[int, ...], value: int, expected: int) -> None:
    data = cv2_saved(np.full(shape, value, np.uint16), extension)
    assert np.unique(decode(data, max_image_pixels=LIMIT)).tolist() == [expected]


def test_16_bit_colours_keep_their_order_and_alpha_is_over_white() -> None:
    bgra = np.zeros((12, 12, 4), np.uint16)
    bgra[:] = (0, 0, 65_535, 65_535)
    bgra[:, 6:, 3] = 0
    assert rgb_corners(cv2_saved(bgra, ".png"))[:2] == [RED, WHITE]


def test_a_truncated_16_bit_png_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 65_536, (64, 64, 3), dtype=np.uint16)
    data = cv2_saved(noise, ".png")
    assert "truncated" in reject_of(data[: len(data) // 2]).message


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_distinguished_from_its_inverse(kind: str) -> None:
    data = saved(quarters().convert("CMYK"), kind)
    assert np.allclose(rgb_corners(data), [RED, GREEN, BLUE, WHITE], atol=40)


@pytest.mark.parametrize(("values", "expected"), [([0, 0.5, 1], 128), ([0, 128, 255], 128), ([0, 32_896, 65_535], 128)])
def test_float_tiffs_of_known_ranges_are_scaled(values: list[float], expected: int) -> None:
    image = Image.fromarray(np.array([values], dtype=np.float32))
    assert decode(saved(image, "TIFF"), max_image_pixels=LIMIT)[0, :, 0].tolist() == [0, expected, 255]


@pytest.mark.parametrize("values", [[-1.0, 1.0], [0.0, 1e9], [0.0, np.nan]])
def test_float_tiffs_of_other_ranges_are_refused(values: list[float]) -> None:
    reject = reject_of(saved(Image.fromarray(np.array([values], dtype=np.float32)), "TIFF"))
    assert reject.code == "image_unreadable"
    assert "0..65535" in reject.message


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert rgb_corners(data)[0] == RED


def exif_of(turn: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = turn
    return exif


def frames_of(kind: str) -> bytes:
    options = {"lossless": True} if kind == "WEBP" else {}
    others = [Image.new("RGB", (48, 32), colour) for colour in (RED, BLUE)]
    return saved(quarters(), kind, save_all=True, append_images=others, **options)


def deep(values: int, extension: str) -> bytes:
    pixels = np.asarray(quarters())[..., ::-1].astype(np.uint16) * values
    return cv2_saved(pixels, extension)


AS_IT_IS = [RED, GREEN, BLUE, WHITE]
GREYS = [(76, 76, 76), (150, 150, 150), (29, 29, 29), WHITE]
TABLE: dict[str, tuple[bytes, str, int, Sequence[tuple[int, ...]], int]] = {
    "jpeg": (saved(quarters(), "JPEG", quality=100, subsampling=0), "JPEG", 1, AS_IT_IS, 3),
    "jpeg, progressive": (
        saved(quarters(), "JPEG", quality=100, subsampling=0, progressive=True), "JPEG", 1, AS_IT_IS, 3,
    ),
    "jpeg, grey": (saved(quarters().convert("L"), "JPEG", quality=100), "JPEG", 1, GREYS, 3),
    "jpeg, cmyk": (saved(quarters().convert("CMYK"), "JPEG", quality=100), "JPEG", 1, AS_IT_IS, 40),
    "png": (saved(quarters(), "PNG"), "PNG", 1, AS_IT_IS, 0),
    "png, palette": (saved(quarters().quantize(8), "PNG"), "PNG", 1, AS_IT_IS, 0),
    "png, grey": (saved(quarters().convert("L"), "PNG"), "PNG", 1, GREYS, 1),
    "png, alpha": (saved(quarters().convert("RGBA"), "PNG"), "PNG", 1, AS_IT_IS, 0),
    "png, 16 bits": (deep(257, ".png"), "PNG", 1, AS_IT_IS, 0),
    "png, animated": (frames_of("PNG"), "PNG", 3, AS_IT_IS, 0),
    "webp": (saved(quarters(), "WEBP", lossless=True), "WEBP", 1, AS_IT_IS, 0),
    "webp, animated": (frames_of("WEBP"), "WEBP", 3, AS_IT_IS, 0),
    "gif": (saved(quarters(), "GIF"), "GIF", 1, AS_IT_IS, 0),
    "gif, animated": (frames_of("GIF"), "GIF", 3, AS_IT_IS, 0),
    "bmp": (saved(quarters(), "BMP"), "BMP", 1, AS_IT_IS, 0),
    "bmp, palette": (saved(quarters().quantize(8), "BMP"), "BMP", 1, AS_IT_IS, 0),
    "tiff": (saved(quarters(), "TIFF"), "TIFF", 1, AS_IT_IS, 0),
    "tiff, turned": (
        saved(quarters().transpose(Image.Transpose.ROTATE_90), "TIFF", exif=exif_of(6)), "TIFF", 1, AS_IT_IS, 0,
    ),
    "tiff, lzw": (saved(quarters(), "TIFF", compression="tiff_lzw"), "TIFF", 1, AS_IT_IS, 0),
    "tiff, cmyk": (saved(quarters().convert("CMYK"), "TIFF"), "TIFF", 1, AS_IT_IS, 0),
    "tiff, 16 bits": (deep(257, ".tiff"), "TIFF", 1, AS_IT_IS, 0),
    "tiff, float": (
        saved(Image.fromarray(np.asarray(quarters().convert("L"), np.float32) / 255), "TIFF"), "TIFF", 1, GREYS, 1,
    ),
    "tiff, pages": (frames_of("TIFF"), "TIFF", 3, AS_IT_IS, 0),
    "jpeg 2000": (saved(quarters(), "JPEG2000"), "JPEG2000", 1, AS_IT_IS, 3),
    "ppm": (saved(quarters(), "PPM"), "PPM", 1, AS_IT_IS, 0),
    "jpeg, turned": (
        saved(quarters().transpose(Image.Transpose.ROTATE_90), "JPEG", quality=100, subsampling=0, exif=exif_of(6)),
        "JPEG", 1, AS_IT_IS, 3,
    ),
}  # fmt: skip
"""What a file is, its format, how many pictures it holds, what is seen at its corners, and how far off that may be."""


@pytest.mark.parametrize("name", TABLE)
def test_every_format_is_seen_as_it_is_meant(name: str) -> None:
    data, kind, frames, corners, most = TABLE[name]
    picture = Picture(data, max_image_pixels=LIMIT)
    picture.check()
    assert (picture.info.format, picture.info.width, picture.info.height) == (kind, 48, 32)
    assert picture.frames == frames
    assert np.allclose(rgb_corners(data), corners, atol=most)


# --- large ones, and pixels that are used twice


MODES = ["RGB", "L", "P", "RGBA", "LA", "CMYK", "I;16"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_shrinking_in_bands_is_shrinking(mode: str, kind: str) -> None:
    if kind == "PNG" and mode == "CMYK":
        mode = "1"
    image = photo(700, 500)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.linear_gradient("L").resize((700, 500)))
    wide = np.asarray(image.convert("L"), np.uint16) * 257
    data = saved(Image.fromarray(wide) if mode == "I;16" else image.convert(mode), kind)
    whole = decode(data, max_image_pixels=LIMIT)
    shrunk = decode(data, max_image_pixels=LIMIT, long_side=210)
    expected = cv2.resize(whole, (210, 150), interpolation=cv2.INTER_AREA)
    assert shrunk.shape == expected.shape
    # Bands end at whole rows, so rows may be off by half of one; this noise is the worst case.
    assert np.abs(shrunk.astype(int) - expected.astype(int)).mean() < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("turn", [1, 3, 6])
def test_pixels_that_were_kept_give_what_the_file_gives(kind: str, turn: int) -> None:
    data = saved(photo(), kind, exif=exif_of(turn))
    picture = Picture(data, max_image_pixels=LIMIT)
    lent = picture.pixels(long_side=200, keep_full_size=True)
    assert picture.has_full_size(max_pixels=60_000)
    assert np.array_equal(lent, decode(data, max_image_pixels=LIMIT, long_side=200))
    assert np.array_equal(picture.pixels(max_pixels=60_000), decode(data, max_image_pixels=LIMIT, max_pixels=60_000))
    assert not picture.has_full_size(max_pixels=60_000)


def test_a_jpeg_that_is_needed_smaller_is_decoded_again_at_that_scale() -> None:
    picture = Picture(saved(photo(), "JPEG"), max_image_pixels=LIMIT)
    picture.pixels(long_side=200, keep_full_size=True)
    assert not picture.has_full_size(max_pixels=4_096)


def test_a_jpeg_may_come_smaller_where_that_is_quicker() -> None:
    data = saved(photo(3200, 2400), "JPEG")
    assert decode(data, max_image_pixels=LIMIT, min_side=400).shape == (300, 400, 3)
    assert decode(data, max_image_pixels=LIMIT, min_side=401).shape == (600, 800, 3)


# --- EXIF orientation

# What is seen at the four corners when `quarters` is stored as it is and shown as the tag says.
SEEN = {
    1: [RED, GREEN, BLUE, WHITE],
    2: [GREEN, RED, WHITE, BLUE],
    3: [WHITE, BLUE, GREEN, RED],
    4: [BLUE, WHITE, RED, GREEN],
    5: [RED, BLUE, GREEN, WHITE],
    6: [BLUE, RED, WHITE, GREEN],
    7: [WHITE, GREEN, BLUE, RED],
    8: [GREEN, WHITE, RED, BLUE],
}


def with_orientation(turn: int, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    options: dict[str, dict[str, Any]] = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    return saved(quarters(), kind, exif=exif, **options.get(kind, {}))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", SEEN)
def test_pictures_are_turned_as_their_exif_says(kind: str, turn: int) -> None:
    data = with_orientation(turn, kind)
    info = read_info(data, max_image_pixels=LIMIT)
    assert (info.width, info.height) == ((48, 32) if turn < 5 else (32, 48))
    assert decode(data, max_image_pixels=LIMIT).shape == (info.height, info.width, 3)
    assert np.allclose(rgb_corners(data), SEEN[turn], atol=3)


@pytest.mark.parametrize("turn", SEEN)
def test_reduced_jpegs_are_turned_too(turn: int) -> None:
    assert np.allclose(rgb_corners(with_orientation(turn, "JPEG"), long_side=24), SEEN[turn], atol=12)


@pytest.mark.parametrize("turn", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_is_passed_over(turn: int) -> None:
    assert np.allclose(rgb_corners(with_orientation(turn, "JPEG")), SEEN[1], atol=3)


# EXIF's number and form of each integer type.
INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}


def exif_block(order: str, kind: int, turn: int, count: int = 1) -> bytes:
    """An EXIF block whose only entry is the orientation, as a value of this type."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    value = struct.pack(order + INTEGERS.get(kind, "H"), turn).ljust(4, b"\0")
    entry = struct.pack(order + "HHI", 0x0112, kind, count) + value
    return b"Exif\0\0" + mark + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_an_orientation_of_any_integer_type_is_applied(order: str, kind: int) -> None:
    for turn in SEEN:
        data = saved(quarters(), "JPEG", quality=100, subsampling=0, exif=exif_block(order, kind, turn))
        assert np.allclose(rgb_corners(data), SEEN[turn], atol=3)
        image = Image.open(io.BytesIO(data))
        if isinstance(image.getexif().get(0x0112), int):  # Pillow does not take a BYTE for a number
            shown = np.asarray(ImageOps.exif_transpose(image))[..., ::-1]
            assert np.abs(decode(data, max_image_pixels=LIMIT).astype(int) - shown).max() <= 3


@pytest.mark.parametrize(("kind", "count"), [(2, 1), (5, 1), (12, 1), (4, 2), (3, 3), (1, 5)])
def test_an_orientation_that_is_no_integer_or_stands_elsewhere_is_passed_over(kind: int, count: int) -> None:
    data = saved(quarters(), "JPEG", quality=100, subsampling=0, exif=exif_block("<", kind, 6, count))
    assert np.allclose(rgb_corners(data), SEEN[1], atol=3)


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01"])
def test_a_damaged_exif_block_does_not_spoil_a_picture(block: bytes) -> None:
    data = saved(quarters(), "JPEG", exif=block)
    with warnings.catch_warnings(record=True) as caught:
        assert decode(data, max_image_pixels=LIMIT).shape == (32, 48, 3)
    assert caught == []


# --- sizes


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("max_pixels", [1, 100, 5_000, 76_799, 76_800, 10**9])
def test_at_most_max_pixels_and_never_enlarged(kind: str, max_pixels: int) -> None:
    height, width = decode(saved(photo(), kind), max_image_pixels=LIMIT, max_pixels=max_pixels).shape[:2]
    assert 1 <= width * height <= min(max_pixels, 320 * 240)
    assert max_pixels < 5_000 or width / height == pytest.approx(4 / 3, rel=0.02)


@pytest.mark.parametrize(("long_side", "expected"), [(1, (1, 1)), (39, (29, 39)), (160, (120, 160)), (999, (240, 320))])
def test_long_side(long_side: int, expected: tuple[int, int]) -> None:
    assert decode(saved(photo(), "JPEG"), max_image_pixels=LIMIT, long_side=long_side).shape[:2] == expected


@pytest.mark.parametrize(
    ("size", "max_pixels", "expected"),
    [((10, 10), None, (10, 10)), ((100_000, 1), 10, (10, 1)), ((1, 100_000), 10, (1, 10)), ((3, 3), 1, (1, 1))],
)
def test_fit_size_of_odd_shapes(size: tuple[int, int], max_pixels: int | None, expected: tuple[int, int]) -> None:
    assert fit_size(size, max_pixels=max_pixels) == expected


@pytest.mark.parametrize("long_side", [40, 80, 120, 160, 300])
def test_reduced_jpegs_look_like_the_whole_one_shrunk(long_side: int) -> None:
    data = saved(photo(), "JPEG", quality=95)
    reduced = decode(data, max_image_pixels=LIMIT, long_side=long_side)
    whole = cv2.resize(decode(data, max_image_pixels=LIMIT), reduced.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(reduced.astype(int) - whole.astype(int)).mean() < 3


def test_bytes_after_the_end_of_a_jpeg_do_no_harm() -> None:
    data = saved(photo(), "JPEG")
    expected = decode(data, max_image_pixels=LIMIT)
    for trailer in (b"\0" * 300, b"SEFT made by a camera" * 9, data):
        assert np.array_equal(decode(data + trailer, max_image_pixels=LIMIT), expected)


# --- encoding


@pytest.mark.parametrize("shape", [(1, 1, 3), (240, 320, 3), (8, 3000, 3)])
def test_what_is_encoded_can_be_decoded(shape: tuple[int, ...]) -> None:
    jpeg = encode_jpeg(np.full(shape, 90, np.uint8), 85)
    pixels = decode(jpeg, max_image_pixels=LIMIT)
    assert pixels.shape == shape
    assert np.abs(pixels.astype(int) - 90).max() <= 2


def test_quality_costs_bytes() -> None:
    pixels = decode(saved(photo()), max_image_pixels=LIMIT)
    assert len(encode_jpeg(pixels, 30)) < len(encode_jpeg(pixels, 90))


def test_what_is_too_long_for_a_jpeg_is_refused() -> None:
    with pytest.raises(ValueError, match="65,535"):
        encode_jpeg(np.zeros((1, 70_000, 3), np.uint8), 85)
