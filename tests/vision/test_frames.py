"""Boxes made on a picture of another size, or before its EXIF orientation was applied, and where they are now."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regioncap.errors import RowReject
from regioncap.vision.boxes import to_xywh
from regioncap.vision.frames import Frame, Relation, Size, frame_of, frame_warning, relation, size_warning, stated_size
from regioncap.vision.images import Picture

SIZES: list[tuple[dict[str, Any], Size | None]] = [
    ({"width": 640, "height": 480}, (640, 480)),
    ({"width": 640.0, "height": "480"}, (640, 480)),
    ({"width": " 640.0 ", "height": "480."}, (640, 480)),
    ({"image_width": 1, "image_height": 2, "width": 640, "height": 480}, (1, 2)),
    ({"image_width": 1, "width": 640, "height": 480}, (640, 480)),
    ({"width": 640}, None),
    ({"width": 640, "height": 0}, None),
    ({"width": 640.5, "height": 480}, None),
    ({"width": True, "height": True}, None),
    ({"width": [640], "height": [480]}, None),
    ({"width": "640px", "height": "480px"}, None),
    ({"width": 10**400, "height": 480}, None),
    ({"width": "9" * 400, "height": "480"}, None),
    ({"width": math.nan, "height": math.inf}, None),
    ({}, None),
]


@pytest.mark.parametrize(("row", "size"), SIZES)
def test_which_sizes_rows_tell(row: dict[str, Any], size: Size | None) -> None:
    assert stated_size(row) == size


RELATIONS: list[tuple[Size, Size, int, Relation]] = [
    ((640, 480), (640, 480), 1, "same"),
    ((640, 480), (641, 481), 1, "same"),  # rounding
    ((640, 480), (320, 240), 1, "resized"),
    ((640, 480), (640, 640), 1, "resized"),
    ((600, 300), (300, 600), 6, "turned"),
    ((1200, 600), (300, 600), 8, "turned"),
    ((300, 600), (300, 600), 6, "same"),
    ((101, 100), (100, 101), 6, "turned"),  # nearly square, but exactly the size as stored
    ((101, 100), (100, 101), 1, "same"),
    ((600, 300), (300, 600), 1, "exchanged"),
    ((600, 300), (300, 600), 3, "exchanged"),
    ((500, 500), (500, 500), 6, "same"),
]


@pytest.mark.parametrize(("stated", "shown", "orientation", "expected"), RELATIONS)
def test_how_sizes_differ(stated: Size, shown: Size, orientation: int, expected: Relation) -> None:
    assert relation(stated, shown, orientation) == expected


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("scale", [1, 3])
def test_a_box_stays_on_what_it_was_drawn_round(orientation: int, scale: int) -> None:
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[8:20, 10:40] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.fromarray(stored).save(out, "PNG", exif=exif)
    picture = Picture(out.getvalue(), max_image_pixels=10_000)
    ys, xs = np.nonzero(picture.pixels()[..., 0])
    seen = [xs.min(), ys.min(), xs.max() + 1 - xs.min(), ys.max() + 1 - ys.min()]
    frame = Frame((60 * scale, 40 * scale), (picture.info.width, picture.info.height), picture.orientation)
    assert frame.place([10 * scale, 8 * scale, 30 * scale, 12 * scale]) == seen


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_tiff_is_known_though_pillow_applies_it(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.new("RGB", (60, 40)).save(out, "TIFF", exif=exif)
    picture = Picture(out.getvalue(), max_image_pixels=10_000)
    assert picture.orientation == orientation
    assert picture.pixels().shape[:2] == ((40, 60) if orientation < 5 else (60, 40))


def test_fractions_are_turned_too() -> None:
    frame = Frame((600, 300), (300, 600), 6)
    assert frame.place(to_xywh([0.5, 0, 1, 0.5], "xyxy", "0-1", *frame.size)) == [150, 300, 150, 300]


def test_a_box_that_overflows_is_dropped_later() -> None:
    assert Frame((60, 40), (30, 20)).place([10**400, 0, 1, 1]) == [math.inf] * 4


def test_the_frame_is_the_picture_or_what_it_was_made_from() -> None:
    assert frame_of((300, 600), (300, 600), 6) is None
    assert frame_of((600, 300), (300, 600), 6) == Frame((600, 300), (300, 600), 6)
    assert frame_of((640, 480), (320, 240), 3) == Frame((640, 480), (320, 240), 1)
    with pytest.raises(RowReject, match="a size of 600x300, its image has 300x600, and no EXIF orientation"):
        frame_of((600, 300), (300, 600), 1)


@pytest.mark.parametrize(
    ("stated", "shown", "orientation", "expected"),
    [
        ((640, 480), (320, 240), 1, ""),
        ((640, 427), (320, 213), 1, ""),
        ((1200, 600), (300, 600), 6, ""),
        ((640, 480), (320, 320), 1, "another shape"),
        ((640, 480), (640, 480), 3, "EXIF orientation 3"),
        ((500, 500), (500, 500), 6, "EXIF orientation 6"),
        ((500, 500), (500, 500), 1, ""),
    ],
)
def test_what_is_doubtful_about_a_frame(stated: Size, shown: Size, orientation: int, expected: str) -> None:
    found = frame_warning(stated, shown, orientation)
    assert expected in found
    assert bool(found) == bool(expected)


@pytest.mark.parametrize(
    ("stated", "shown", "unit", "warned"),
    [
        (None, (320, 240), "px", False),
        ((640, 480), (320, 240), "px", True),
        ((640, 480), (320, 240), "0-1", False),  # scaling moves no fractions
        ((240, 320), (320, 240), "0-1000", True),
        ((30, 20), (320, 240), "px", False),  # of a product, in cm
    ],
)
def test_a_size_that_is_not_the_pictures_is_told(stated: Size | None, shown: Size, unit: Any, warned: bool) -> None:
    assert bool(size_warning(stated, shown, [[10, 20, 100, 120], [0, 0, 50, 9]], unit)) == warned
