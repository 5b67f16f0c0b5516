"""Finding regions: what is there is found, nothing is found in nothing, and every box lies in the picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage

from regioncap.registry import EXTRACTORS, load
from regioncap.vision.boxes import box_iou
from regioncap.vision.contours import adaptive
from regioncap.vision.extraction import FINDER_MAX_LONG_SIDE, SUPPRESSION_IOU, find_regions
from regioncap.vision.images import decode

METHODS = list(EXTRACTORS)
ANY_SCORE = -100.0


def find(image: np.ndarray, method: str = "edges", *, max_boxes: int = 10, min_score: float = ANY_SCORE) -> np.ndarray:
    """(N, 4) xyxy in the image's own pixels."""
    size = (image.shape[1], image.shape[0])
    boxes = find_regions(image, load(EXTRACTORS[method]), max_boxes=max_boxes, min_score=min_score, full_size_wh=size)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    """HxWx3 uint8 BGR."""
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def scene(width: int = 320, height: int = 240) -> np.ndarray:
    """A soft ground with a bright rectangle and a dark disc."""
    ground = np.tile(np.linspace(70, 130, width), (height, 1))
    image = np.repeat(ground[..., None], 3, axis=2).astype(np.uint8)
    cv2.rectangle(image, (40, 60), (140, 160), (40, 200, 220), -1)
    cv2.circle(image, (240, 120), 40, (90, 30, 20), -1)
    return image


THINGS = {"rectangle": [40, 60, 141, 161], "disc": [200, 80, 281, 161]}

FLAT = {
    "black": np.zeros((50, 60, 3), np.uint8),
    "white": np.full((50, 60, 3), 255, np.uint8),
    "one pixel": np.zeros((1, 1, 3), np.uint8),
    "one row": noise(30, 1),
    "two columns": noise(2, 300),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FLAT)
def test_nothing_is_found_where_nothing_is(method: str, name: str) -> None:
    assert find(FLAT[name], method).shape == (0, 4)


@pytest.mark.parametrize("thing", THINGS)
def test_things_with_an_outline_are_found_first(thing: str) -> None:
    assert box_iou([THINGS[thing]], find(scene(), max_boxes=3)).max() > 0.7


@pytest.mark.parametrize("method", METHODS)
def test_each_method_finds_a_dark_square_on_a_light_ground(method: str) -> None:
    image = np.full((240, 320, 3), 170, np.uint8)
    image[60:160, 100:220] = 30
    assert box_iou([[100, 60, 220, 160]], find(image, method)).max() > 0.8


SIZES = [(3, 3), (5, 400), (400, 5), (17, 16), (64, 64), (113, 40), (640, 480), (1500, 700)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_boxes_lie_in_pictures_of_any_size(method: str, size: tuple[int, int]) -> None:
    boxes = find(noise(*size), method)
    assert len(boxes) <= 10
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= size).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


@pytest.mark.parametrize("method", METHODS)
def test_fewer_boxes_are_the_first_of_more(method: str) -> None:
    image = cv2.resize(noise(24, 18, seed=3), (480, 360), interpolation=cv2.INTER_CUBIC)
    assert find(image, method, max_boxes=3).tolist() == find(image, method, max_boxes=10)[:3].tolist()


def test_no_two_regions_overlap_much() -> None:
    boxes = find(cv2.resize(noise(24, 18, seed=4), (480, 360), interpolation=cv2.INTER_CUBIC))
    overlaps = box_iou(boxes, boxes) - np.eye(len(boxes))
    # Suppression works on the small picture; rounding outwards to real pixels may add a little.
    assert overlaps.max() <= SUPPRESSION_IOU + 0.05


def test_a_higher_floor_leaves_a_part_in_the_same_order() -> None:
    image = cv2.resize(noise(24, 18, seed=5), (480, 360), interpolation=cv2.INTER_CUBIC)
    counts = [len(find(image, min_score=score)) for score in (ANY_SCORE, -2.5, -1.0, 100.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0
    assert find(image, min_score=-2.5).tolist() == find(image)[: counts[1]].tolist()


def test_boxes_come_in_the_pixels_of_the_whole_picture() -> None:
    image = scene()
    small = find_regions(image, load(EXTRACTORS["edges"]), max_boxes=5, min_score=ANY_SCORE, full_size_wh=(320, 240))
    large = find_regions(image, load(EXTRACTORS["edges"]), max_boxes=5, min_score=ANY_SCORE, full_size_wh=(3200, 2400))
    assert np.abs(large - 10 * small).max() <= 20  # one pixel outwards on each side, in large pixels


def test_the_same_picture_gives_the_same_boxes() -> None:
    assert find(scene()).tolist() == find(scene().copy()).tolist()


def page() -> np.ndarray:
    """A white page with a heading, two blocks of print and a figure."""
    image = np.full((800, 600, 3), 255, np.uint8)
    image[40:70, 60:400:2] = 0
    for top in (120, 460):
        for line in range(top, top + 160, 20):
            image[line : line + 10, 60:540:2] = 20
    image[330:430, 150:450] = 90
    return image


def test_blocks_of_a_page_are_found() -> None:
    blocks = [[60, 120, 540, 290], [150, 330, 450, 430]]
    assert (box_iou(blocks, find(page())).max(axis=1) > 0.7).all()


def test_a_silhouette_that_fills_a_white_picture_is_found() -> None:
    image = np.full((300, 300, 3), 255, np.uint8)
    cv2.ellipse(image, (150, 150), (135, 110), 0, 0, 360, (0, 0, 0), 12)
    assert box_iou([[9, 34, 291, 266]], find(image)).max() > 0.7


KNOWN = {
    "coffee.png": [174, 5, 426, 250],
    "coins.png": [188, 168, 237, 217],
    "horse.png": [20, 10, 390, 312],
}
"""A thing in each photo of scikit-image, xyxy, set by looking at it."""


@pytest.mark.parametrize("name", KNOWN)
def test_things_on_real_photos_are_among_the_first_ten(name: str) -> None:
    data = (Path(skimage.__file__).parent / "data" / name).read_bytes()
    image = decode(data, max_image_pixels=10**8, long_side=FINDER_MAX_LONG_SIDE)
    scale = np.array(KNOWN[name]) * max(image.shape[:2]) / {"coffee.png": 600, "coins.png": 384, "horse.png": 400}[name]
    assert box_iou([scale], find(image)).max() >= 0.5


# --- the operator's method


def squares(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """A light picture of 400x300 with dark, filled xywh boxes, whose outlines `adaptive` closes to contours."""
    image = np.full((300, 400, 3), 200, np.uint8)
    for x, y, w, h in boxes:
        cv2.rectangle(image, (x, y), (x + w, y + h), (40, 40, 40), -1)
    return image


def adaptive_boxes(*boxes: tuple[int, int, int, int]) -> list[list[int]]:
    """xywh."""
    found: list[list[int]] = adaptive(squares(*boxes), max_boxes=10, min_score=0.0).tolist()
    return found


def test_adaptive_finds_boxes_largest_first() -> None:
    small, large = (30, 30, 60, 60), (150, 60, 180, 150)
    found = adaptive_boxes(small, large)
    assert len(found) == 2
    for box, expected in zip(found, (large, small), strict=True):
        assert np.abs(np.array(box) - expected).max() <= 24


LEFT_OUT = {
    "under 1 % of the area": (50, 50, 20, 20),
    "wider than 5 to 1": (20, 100, 350, 40),
    "taller than 90 % of the picture": (100, 5, 120, 288),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_adaptive_leaves_out(case: str) -> None:
    assert adaptive_boxes(LEFT_OUT[case]) == []


def test_adaptive_keeps_one_of_the_two_contours_of_an_outline() -> None:
    # RETR_LIST gives the inner and the outer rim; the inner lies in the outer, so it goes.
    image = np.full((300, 400, 3), 200, np.uint8)
    cv2.rectangle(image, (100, 80), (260, 220), (40, 40, 40), 6)
    assert len(adaptive(image, max_boxes=10, min_score=0.0)) == 1
