"""The contact sheet: a grid of pictures with their texts under them."""

from __future__ import annotations

import numpy as np
import pytest

from regioncap.vision.drawing import PALETTE_RGB
from regioncap.vision.sheet import Cell, draw_sheet, scaled_to

PICTURE = np.full((64, 96, 3), (200, 120, 40), np.uint8)


def test_a_grid_of_the_width_asked_for() -> None:
    cells = [Cell(PICTURE, f"{n}.png", [(1, "A thing.")]) for n in range(7)]
    sheet = draw_sheet(cells, width=900, columns=3)
    assert sheet.shape[1:] == (900, 3)
    assert sheet.dtype == np.uint8
    pictures = (sheet == np.array((200, 120, 40))).all(axis=2)
    assert [bool(pictures[:, x].any()) for x in (150, 450, 750)] == [True, True, True]
    rows = np.flatnonzero(np.diff(pictures[:, 150].astype(int)) == 1)
    assert len(rows) == 3 - int(pictures[0, 150])


def test_numbers_have_the_colours_of_the_marks() -> None:
    sheet = draw_sheet([Cell(PICTURE, "a.png", [(n, "A thing.") for n in (1, 2, 3)])], width=400)
    for red, green, blue in PALETTE_RGB[:3]:
        assert (sheet == np.array((blue, green, red))).all(axis=2).sum() > 50


def test_more_text_makes_a_taller_sheet_up_to_a_limit() -> None:
    heights = [
        draw_sheet([Cell(PICTURE, "a.png", [(n, text) for n in range(1, count + 1)])], width=400).shape[0]
        for count, text in ((1, "Short."), (4, "Short."), (4, "word " * 20), (4, "word " * 20_000), (300, "word " * 20))
    ]
    assert heights[0] < heights[1] < heights[2] <= heights[3]
    assert heights[4] < 2000


@pytest.mark.parametrize(
    "text", ["", "x" * 100_000, "שלום עולם", "\u202eabc", "一只狗" * 200, "👩‍👩‍👧 family", "a\0b\nc", "\ud800"]
)
def test_any_text_can_be_drawn(text: str) -> None:
    assert draw_sheet([Cell(PICTURE, text, [(1, text)])], width=300).shape[1] == 300


def test_pictures_of_any_shape_and_none() -> None:
    tall, wide = np.zeros((3000, 10, 3), np.uint8), np.zeros((1, 4000, 3), np.uint8)
    sheet = draw_sheet([Cell(tall, "a", []), Cell(wide, "b", []), Cell(None, "c", [(1, "gone")])], width=600, columns=3)
    assert sheet.shape[0] < 400


@pytest.mark.parametrize("wh", [(40, 30), (300, 200), (1, 900), (1000, 3)])
def test_pictures_are_scaled_to_a_side(wh: tuple[int, int]) -> None:
    height, width = scaled_to(np.full((wh[1], wh[0], 3), 90, np.uint8), 300).shape[:2]
    assert max(width, height) == 300
    assert min(width, height) == max(1, round(300 * min(wh) / max(wh)))


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one picture"):
        draw_sheet([], width=300)
    with pytest.raises(OSError, match="resource"):
        draw_sheet([Cell(PICTURE, "a", [(1, "b")])], width=300, font="/nowhere.ttf")
