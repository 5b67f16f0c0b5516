"""Files that are expensive out of proportion are refused by their structure, before they cost what they could."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from regioncap.errors import RowReject
from regioncap.vision import costs, headers, jpeg2000, modes
from regioncap.vision.images import Picture, decode
from regioncap.vision.pieces import MAX_FRAMES
from tests.support import hostile_images as hostile
from tests.support.hostile_images import png_chunk, png_of, saved

LIMIT = 100_000_000
BOMB = zlib.compress(bytes(70_000_000), 9)
EXIF = b"Exif\0\0" + bytes(100)


def photo(width: int = 80, height: int = 60) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def refusal(data: bytes) -> str:
    """The code and message with which a file is refused before it is decoded."""
    with pytest.raises(RowReject) as raised:
        Picture(data, max_image_pixels=LIMIT)
    return f"{raised.value.code}: {raised.value.message}"


REFUSED: list[tuple[str, Callable[[], bytes], str]] = [
    (
        "a JPEG of scans",
        lambda: hostile.jpeg_of_scans(505, 10_000, 8000),
        "image_too_large: a JPEG in 505 scans; at most 25 ",
    ),
    ("a JPEG of comments", lambda: hostile.jpeg_of_segments(40_000), "image_unreadable: too many chunks, comments"),
    (
        "a JPEG of tables",
        lambda: hostile.jpeg_of_segments(40_000, bytes(18), 0xC4),
        "image_unreadable: too many chunks",
    ),
    ("a JPEG of fill bytes", lambda: hostile.jpeg_of_fill_bytes(200_000), "image_unreadable: too many chunks"),
    ("a JPEG of EXIF blocks", lambda: hostile.jpeg_of_segments(50, EXIF, 0xE1), "image_unreadable: too many chunks"),
    ("a PNG of texts", lambda: png_of(png_chunk(b"tEXt", b"a\0b") * 60_000), "image_unreadable: too many chunks"),
    ("a PNG of own chunks", lambda: png_of(png_chunk(b"prVt") * 60_000), "image_unreadable: too many chunks"),
    ("zTXt", lambda: png_of(png_chunk(b"zTXt", b"a\0\0" + BOMB)), "image_unreadable: .*too large"),
    ("iTXt", lambda: png_of(png_chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB)), "image_unreadable: .*too large"),
    ("iCCP", lambda: png_of(png_chunk(b"iCCP", b"a\0\0" + BOMB)), "image_unreadable: .*too large"),
    (
        "a TIFF of strips",
        lambda: hostile.tiff_of_strips(600_000),
        "image_too_large: a TIFF of 600,000 strips or tiles; ",
    ),
    (
        "a TIFF of one tile",
        lambda: hostile.tiff_of_a_tile(60_000),
        "image_too_large: .* tile of 3,600,000,000 pixels; ",
    ),
    ("a GIF of blocks", lambda: hostile.gif(1, small_blocks=100_000), "image_unreadable: too many chunks"),
    (
        "a GIF beyond its screen",
        lambda: hostile.gif(1, frame=(60_000, 60_000)),
        "image_too_large: a GIF of too many pix",
    ),
    (
        "a BMP of runs",
        lambda: hostile.bmp_rle(10_000, 8000, b"\1\5"),
        "image_too_large: a BMP of run lengths with 80,000",
    ),
    ("a wide BMP", lambda: hostile.bmp_rle(90_000_000, 1, b"\0\2\xff\xff"), "image_too_large: a BMP of run lengths"),
    (
        "tiles",
        lambda: hostile.j2k(10_000, 8000, tile=36),
        "image_too_large: a JPEG 2000 of 61,994 tiles; at most 20,000",
    ),
    (
        "code blocks",
        lambda: hostile.j2k(10_000, 8000, block=0),
        "image_too_large: a JPEG 2000 of 20,000,048 code blocks",
    ),
    (
        "precincts",
        lambda: hostile.j2k(9000, 8000, precinct=1),
        "image_too_large: a JPEG 2000 of .* packets; at most 1,0",
    ),
    ("layers", lambda: hostile.j2k(90, 80, layers=65_535), "image_too_large: a JPEG 2000 of .* 1,179,630 packets"),
    (
        "blocks of a tile",
        lambda: hostile.j2k(10_000, 8000, tile_block=0),
        "image_too_large: a JPEG 2000 of 20,000,048 code",
    ),
    (
        "one level",
        lambda: hostile.j2k(10_000, 8000, levels=0),
        "image_too_large: .*10000x8000; decoding takes 1,520,000,000",
    ),
    (
        "components",
        lambda: hostile.j2k(100, 100, components=16_384),
        "image_unreadable: a JPEG 2000 of 16,384 components",
    ),
    ("no headers", lambda: hostile.j2k(100, 100)[:30], "image_unreadable: damaged or truncated: a JPEG 2000"),
    (
        "a canvas",
        lambda: hostile.webp_animation(2, 10_000, 8000),
        "image_too_large: an animated WebP of 80,000,000 pixels",
    ),
    ("text", lambda: b"P3\n9 9\n255\n" + b"1 " * 8_000_000, "image_too_large: a picture of 16,000,011 bytes of text"),
    ("comments", lambda: b"P2\n9 9\n255\n" + b"#\n" * 2000, "image_unreadable: 2,000 comments in a picture"),
    (
        "a comment",
        lambda: b"P6\n#" + b"x" * 200_000 + b"\n8 8\n255\n" + bytes(192),
        "image_unreadable: too many chunks, com",
    ),
]


@pytest.mark.parametrize(("make", "words"), [pytest.param(*case[1:], id=case[0]) for case in REFUSED])
def test_what_costs_out_of_proportion_is_refused(make: Callable[[], bytes], words: str) -> None:
    assert re.match(words, refusal(make()))


@pytest.mark.parametrize(
    "data",
    [
        png_of(png_chunk(b"tEXt", b"a\0b") * 100, pieces=50),
        saved(photo(), "TIFF", compression="jpeg"),
        saved(photo(), "TIFF", compression="tiff_lzw"),
        saved(photo(), "TIFF", compression="tiff_lzw", big_tiff=True),
        saved(photo(), "JPEG", progressive=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0", comment=b"#" * 1000),
        saved(photo(), "JPEG2000", tile_size=(32, 32), precinct_size=(32, 32), quality_layers=[40, 20, 10]),
        saved(photo(), "JPEG2000", no_jp2=True, codeblock_size=(16, 16)),
        saved(photo(), "WEBP", save_all=True, append_images=[photo()]),
        saved(photo(), "AVIF"),
        hostile.bmp_rle(8, 8, b"\x08\1\0\0" * 8 + b"\0\1"),
        hostile.jpeg_of_scans(505, 64, 64),
        hostile.gif(3, small_blocks=100),
        b"P2\n# made by a program\n8 8\n255\n" + b"7 " * 64,
    ],
    ids=lambda data: f"{data[:4]!r}-{len(data)}",
)
def test_what_programs_write_is_read(data: bytes) -> None:
    picture = Picture(data, max_image_pixels=LIMIT)
    picture.check()
    assert picture.pixels().shape == (picture.info.height, picture.info.width, 3)


def test_pixels_in_countless_chunks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "MAX_READS", 300)
    assert decode(png_of(pieces=50), max_image_pixels=LIMIT).shape == (8, 8, 3)
    for data in (png_of(pieces=200), hostile.bmp_rle(100, 100, b"\1\5" * 10_000)):
        with pytest.raises(RowReject, match="too many chunks"):
            decode(data, max_image_pixels=LIMIT)


def test_a_jpeg_in_a_tiff_has_scans_too(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(photo(), "TIFF", compression="jpeg") + b"\xff\xda\xff\xda"
    monkeypatch.setattr(costs, "MAX_SCANNED_PIXELS", 2 * 80 * 60)
    assert "image_too_large: a JPEG in 3 scans" in refusal(data)


@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (hostile.gif(1), 1),
        (hostile.gif(7), 7),
        (hostile.gif(5000), MAX_FRAMES),
        (hostile.gif(3)[:-5], 3),
        (saved(photo(), "GIF", save_all=True, append_images=[photo().rotate(9), photo().rotate(50)]), 3),
        (hostile.grey_tiff(8, 8, data=bytes(64), pages=7), 7),
        (hostile.grey_tiff(8, 8, data=bytes(64), pages=5000), MAX_FRAMES),
        (hostile.grey_tiff(8, 8, data=bytes(64), pages=3, loops=True), 3),
        (saved(photo(), "TIFF", save_all=True, append_images=[photo()], big_tiff=True), 2),
        (hostile.webp_animation(5000, 8, 8), MAX_FRAMES),
        (png_of(png_chunk(b"acTL", struct.pack(">II", 0x7FFFFFFF, 0))), MAX_FRAMES),
        (saved(photo(), "AVIF", save_all=True, append_images=[photo()]), 2),
        (saved(photo(), "JPEG"), 1),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else f"{value[:4]!r}",
)
def test_pictures_are_counted_up_to_a_bound(data: bytes, frames: int) -> None:
    assert Picture(data, max_image_pixels=LIMIT).frames == frames


# --- read in another way


@pytest.mark.parametrize("options", [{"quality": 80}, {"lossless": True}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_still_webp_is_what_pillow_makes_of_it(
    mode: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = photo().convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = saved(image, "WEBP", **options)
    ours = decode(data, max_image_pixels=LIMIT)
    monkeypatch.setattr(modes, "_from_still_webp", lambda data, image: None)
    assert np.array_equal(ours, decode(data, max_image_pixels=LIMIT))


@pytest.mark.parametrize("white", [1, 100, 254, 256, 1023, 65_534, 65_535])
@pytest.mark.parametrize("kind", [b"P5", b"P6"])
def test_a_ppm_with_another_white_is_what_pillow_makes_of_it(
    kind: bytes, white: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).integers(0, white + 1, (6, 7, 3 if kind == b"P6" else 1))
    data = kind + b"\n7 6\n%d\n" % white + values.astype(np.uint8 if white < 256 else ">u2").tobytes()
    ours = decode(data, max_image_pixels=LIMIT)
    monkeypatch.setattr(modes, "_from_scaled_ppm", lambda data, image: None)
    assert np.array_equal(ours, decode(data, max_image_pixels=LIMIT))
    with pytest.raises(RowReject, match=r"not enough image data|truncated"):
        decode(data[:-1], max_image_pixels=LIMIT)


def test_a_large_jpeg2000_is_decoded_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo(100, 75).resize((800, 600), Image.Resampling.BICUBIC)
    data = saved(image, "JPEG2000", irreversible=True, quality_layers=[10], tile_size=(200, 200))
    whole = decode(data, max_image_pixels=LIMIT, long_side=200)
    monkeypatch.setattr(jpeg2000, "WHOLE_PIXELS", 200_000)
    found = jpeg2000.codestream_of(data)
    assert found is not None
    assert [found.reduction(size) for size in ((800, 600), (400, 300), (401, 10), (200, 150), (1, 1))] == [
        1,
        1,
        1,
        2,
        5,
    ]
    picture = Picture(data, max_image_pixels=LIMIT)
    assert (picture.info.width, picture.pixels().shape) == (800, (300, 400, 3))
    small = picture.pixels(long_side=200)
    assert small.shape == whole.shape == (150, 200, 3)
    assert np.abs(small.astype(int) - whole).mean() < 8


def test_a_bug_of_ours_is_no_damaged_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise TypeError("ours")

    monkeypatch.setattr(modes, "_in_bands", bug)
    with pytest.raises(TypeError, match="ours"):
        decode(saved(photo(), "PNG"), max_image_pixels=LIMIT)


def test_too_little_memory_is_the_rows_wherever_it_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(modes, "_in_bands", full)
    with pytest.raises(RowReject, match="a PNG of 80x60 pixels needs more memory than is available"):
        decode(saved(photo(), "PNG"), max_image_pixels=LIMIT)
