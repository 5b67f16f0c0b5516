"""Marks: outlines and numbers are there, are inside the picture, and leave the rest of it alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from regioncap.vision.drawing import MAX_WARNINGS, PALETTE_RGB, draw_marks, mark_warnings, region_colours

GREY = 128


def plain(width: int = 400, height: int = 300, value: int = GREY) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def marked(image: np.ndarray, boxes: list[list[float]], *, dim: float = 1.0) -> np.ndarray:
    return draw_marks(image, boxes, full_size_wh=image.shape[1::-1], dim=dim)


def changed(image: np.ndarray, boxes: list[list[float]]) -> np.ndarray:
    """HxW bool: where the marks are."""
    return np.asarray(np.any(marked(image, boxes) != image, axis=2))


def in_colour(picture: np.ndarray, number: int) -> np.ndarray:
    """HxW bool: the pixels in the colour of region `number` (from 1)."""
    return np.asarray(np.all(picture == PALETTE_RGB[(number - 1) % len(PALETTE_RGB)][::-1], axis=2))


def random_boxes(count: int, width: int, height: int) -> list[list[float]]:
    rng = np.random.default_rng(count)
    sides = rng.uniform(0.03, 0.3, (count, 2)) * (width, height)
    corners = rng.uniform(0, 1, (count, 2)) * ((width, height) - sides)
    boxes: list[list[float]] = np.hstack([corners, sides]).tolist()
    return boxes


def test_without_boxes_the_picture_is_as_it_was() -> None:
    image = plain()
    assert np.array_equal(marked(image, []), image)


@pytest.mark.parametrize(("dim", "expected"), [(1.0, 200), (0.8, 160), (0.5, 100)])
def test_dim_darkens_the_photo(dim: float, expected: int) -> None:
    assert np.unique(marked(plain(value=200), [], dim=dim)).tolist() == [expected]


@pytest.mark.parametrize("dim", [1.0, 0.8])
def test_the_given_picture_is_not_changed(dim: float) -> None:
    image = plain()
    drawn = marked(image, [[10, 10, 100, 100]], dim=dim)
    assert np.all(image == GREY)
    assert not np.shares_memory(drawn, image)


def test_read_only_pictures_and_views_can_be_marked() -> None:
    image = plain()[:, ::2]
    image.flags.writeable = False
    assert in_colour(marked(image, [[50, 50, 60, 60]]), 1).any()


@pytest.mark.parametrize("bad", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3))])
def test_other_arrays_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="HxWx3 uint8"):
        draw_marks(bad, [], full_size_wh=(9, 9), dim=1.0)


def test_the_same_input_gives_the_same_picture() -> None:
    boxes = random_boxes(20, 400, 300)
    assert np.array_equal(marked(plain(), boxes), marked(plain(), boxes))


def test_the_outline_is_around_the_box_and_what_is_in_it_stays_visible() -> None:
    marks = changed(plain(), [[100, 100, 120, 80]])
    assert not marks[100:180, 100:220].any()
    assert marks[99, 100:220].all()
    assert marks[180, 100:220].all()
    assert marks[100:180, 99].all()
    assert marks[100:180, 220].all()


def test_far_off_pixels_stay_untouched() -> None:
    marks = changed(plain(), [[150, 120, 60, 60]])
    assert not marks[:80].any()
    assert not marks[220:].any()
    assert not marks[:, :110].any()
    assert not marks[:, 250:].any()


EDGES = {
    "whole picture": [0, 0, 400, 300],
    "beyond all sides": [-50, -50, 900, 900],
    "upper left": [-20, -20, 60, 60],
    "lower right": [370, 270, 60, 60],
    "right edge": [390, 100, 10, 50],
    "strip": [0, 299, 400, 1],
    "one pixel in the corner": [399, 299, 1, 1],
}


@pytest.mark.parametrize("box", EDGES.values(), ids=EDGES)
def test_all_four_sides_show_at_the_edges(box: list[float]) -> None:
    rows, columns = np.nonzero(in_colour(marked(plain(), [box]), 1))
    x1, y1 = max(box[0], 0), max(box[1], 0)
    x2, y2 = min(box[0] + box[2], 400), min(box[1] + box[3], 300)
    assert columns.min() <= x1 + 3
    assert columns.max() >= x2 - 4
    assert rows.min() <= y1 + 3
    assert rows.max() >= y2 - 4


@pytest.mark.parametrize("value", [0, GREY, 255])
@pytest.mark.parametrize("number", range(1, len(PALETTE_RGB) + 1))
def test_marks_stand_out_from_every_plain_background(value: int, number: int) -> None:
    drawn = marked(plain(value=value), [[100, 100, 150, 100]] * number).astype(int)
    side = drawn[150, 90:101].mean(axis=1)
    assert np.abs(side - value).max() > 60


SIZES = [(32, 32), (64, 48), (200, 30), (30, 200), (640, 480), (1000, 1000), (4000, 3000)]


@pytest.mark.parametrize("size", SIZES)
def test_numbers_are_high_enough_to_read_and_do_not_fill_the_picture(size: tuple[int, int]) -> None:
    # The outline of the whole picture takes whole rows and columns; the label is what else is drawn.
    marks = changed(plain(*size), [[0, 0, *size]])
    label = marks[~marks.all(axis=1)][:, ~marks.all(axis=0)]
    height = int(label.any(axis=1).sum())
    assert height >= max(9, 0.02 * max(size))
    assert height <= max(18, 0.1 * max(size))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("right", "down"), [(0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0), (0, 0.5)])
def test_no_number_is_cut_off_by_the_edge(size: tuple[int, int], right: float, down: float) -> None:
    (width, height), image = size, plain(*size)
    whole = white_ink(marked(image, [[width // 2, height // 2, 1, 1]]))
    at_edge = white_ink(marked(image, [[right * (width - 1), down * (height - 1), 1, 1]]))
    assert at_edge >= 0.75 * whole


def white_ink(picture: np.ndarray) -> int:
    """How many pixels are white: the number of region 1 and the edges of its outline and tab."""
    return int(np.all(picture > 200, axis=2).sum())


@pytest.mark.parametrize("count", [2, 5, 20, 50, 100])
def test_many_boxes_have_a_colour_each_and_leave_most_of_the_picture(count: int) -> None:
    drawn = marked(plain(1000, 1000), random_boxes(count, 1000, 1000))
    colours = sum(in_colour(drawn, number).any() for number in range(1, min(count, len(PALETTE_RGB)) + 1))
    assert colours == min(count, len(PALETTE_RGB))
    assert np.all(drawn == GREY, axis=2).mean() > 0.5


def test_tabs_of_the_same_box_do_not_cover_each_other() -> None:
    drawn = marked(plain(800, 600), [[200, 200, 300, 200]] * 8)
    tabs = [int(in_colour(drawn, number).sum()) for number in range(1, 9)]
    assert min(tabs) > 100


@pytest.mark.parametrize("side", [1, 2, 5])
def test_a_tiny_box_is_not_hidden_by_its_own_number(side: int) -> None:
    marks = changed(plain(), [[200, 150, side, side]])
    assert not marks[150 : 150 + side, 200 : 200 + side].any()
    assert marks.any()


def test_a_small_box_inside_a_large_one_stays_visible() -> None:
    marks = changed(plain(), [[100, 100, 200, 150], [102, 106, 12, 12]])
    assert not marks[106:118, 103:114].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 3), (8, 8), (16, 9)])
def test_the_smallest_pictures_do_not_break(size: tuple[int, int]) -> None:
    drawn = marked(plain(*size), [[0, 0, *size], [0, 0, 1, 1]])
    assert drawn.shape == (size[1], size[0], 3)


def test_boxes_are_in_pixels_of_the_full_size_picture() -> None:
    drawn = draw_marks(plain(), [[1000, 750, 2000, 1500]], full_size_wh=(4000, 3000), dim=1.0)
    assert np.array_equal(drawn, marked(plain(), [[100, 75, 200, 150]]))


# --- colours, leader lines, some of the regions


def test_more_regions_than_colours_and_neighbours_still_differ() -> None:
    boxes = [(x, y, x + 80, y + 80) for y in range(0, 500, 100) for x in range(0, 600, 100)]
    colours = region_colours(boxes)
    near = [
        (a, b)
        for a, one in enumerate(boxes)
        for b, other in enumerate(boxes)
        if a < b and max(abs(one[0] - other[0]), abs(one[1] - other[1])) <= 100
    ]
    assert len(near) > 60
    assert all(colours[a] != colours[b] for a, b in near)


def test_overlapping_regions_beyond_the_palette_differ_from_those_beneath() -> None:
    boxes = [(3 * n, 0, 3 * n + 50, 50) for n in range(24)]
    colours = region_colours(boxes)
    assert all(colours[n] != colours[n - step] for n in range(24) for step in range(1, 6) if n >= step)


@pytest.mark.parametrize("value", [0, GREY])
def test_a_tiny_region_is_tied_to_its_label_by_a_line(value: int) -> None:
    marks = changed(plain(value=value), [[200, 150, 4, 4]])
    count, _, stats, _ = cv2.connectedComponentsWithStats(marks.astype(np.uint8))
    assert count == 2  # the ground, and one thing: label, line and outline hang together
    assert max(stats[1, 2:4]) > 30
    # Between label and outline there is a stretch as narrow as the line.
    widths = marks.sum(axis=1)
    assert (np.diff(widths[widths > 0]) != 0).sum() >= 2
    assert widths[widths > 0].min() <= 8


def test_a_region_of_some_size_has_its_label_beside_it() -> None:
    marks = changed(plain(), [[150, 120, 60, 60]])
    assert not marks[:95].any()


def test_only_some_regions_are_marked_with_the_numbers_and_colours_that_they_have() -> None:
    boxes = [[20 + 90 * n, 100, 60, 60] for n in range(4)]
    image = plain()
    some = draw_marks(image, boxes, full_size_wh=(400, 300), dim=1.0, only=[2, 4])
    assert [in_colour(some, number).any() for number in (1, 2, 3, 4)] == [False, True, False, True]
    whole = draw_marks(image, boxes, full_size_wh=(400, 300), dim=1.0)
    assert np.array_equal(some[:, 290:], whole[:, 290:])  # region 4 and its number


def test_without_a_copy_the_given_picture_is_drawn_on() -> None:
    image = plain()
    drawn = draw_marks(image, [[10, 60, 50, 50]], full_size_wh=(400, 300), dim=1.0, copy=False)
    assert np.shares_memory(drawn, image)
    assert np.array_equal(drawn, marked(plain(), [[10, 60, 50, 50]]))


# --- warnings


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([], []),
        ([[0, 0, 150, 150], [200, 0, 150, 150]], []),
        ([[0, 0, 120, 120]], []),
        ([[0, 0, 119, 300]], ["region 1 is 11.9x30 pixels at the size the model sees"]),
        ([[0, 0, 40, 20]], ["region 1 is 4x2 pixels at the size the model sees"]),
        ([[-70, 0, 100, 100]], ["region 1 is 3x10 pixels at the size the model sees"]),
        ([[0, 0, 200, 194], [0, 0, 200, 200]], ["regions 1 and 2 are nearly the same box (IoU 0.97)"]),
        ([[0, 0, 200, 180], [0, 0, 200, 200]], []),
        ([[0, 0, 200, 200], [200, 0, 200, 200]], []),
    ],
)
def test_warnings_name_the_region_and_what_is_wrong(boxes: list[list[float]], expected: list[str]) -> None:
    assert mark_warnings(boxes, full_size_wh=(1000, 1000), model_size_wh=(100, 100)) == expected


def test_warnings_are_a_handful() -> None:
    found = mark_warnings([[0, 0, 2, 2]] * 30, full_size_wh=(500, 500), model_size_wh=(500, 500))
    assert len(found) == MAX_WARNINGS
    assert found[-1].startswith("and 461 more")
