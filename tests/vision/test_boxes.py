"""Boxes as numbers: overlap, suppression, formats, what is dropped, clipping, normalising."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.vision.boxes import box_iou, clip_xywh, drop_reason, nms_xyxy, normalize_xywh, to_xywh

INF, NAN, HUGE = math.inf, math.nan, 10**400


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([], [], np.zeros((0, 0))),
        ([], [[0, 0, 1, 1]], np.zeros((0, 1))),
        ([[0, 0, 1, 1]], [], np.zeros((1, 0))),
        ([[0, 0, 10, 10]], [[0, 0, 10, 10]], [[1.0]]),
        ([[0, 0, 10, 10]], [[0, 0, 10, 5], [10, 0, 20, 10], [5, 5, 15, 15]], [[0.5, 0.0, 25 / 175]]),
        ([[0, 0, 4, 4], [2, 2, 6, 6]], [[2, 2, 4, 4]], [[0.25], [0.25]]),
        ([[3, 3, 3, 3]], [[3, 3, 3, 3], [0, 0, 9, 9]], [[0.0, 0.0]]),
        ([[5, 5, 1, 1]], [[0, 0, 9, 9]], [[0.0]]),
    ],
)
def test_box_iou(a: list[list[float]], b: list[list[float]], expected: list[list[float]]) -> None:
    iou = box_iou(a, b)
    assert iou.dtype == np.float64
    assert iou.shape == np.shape(expected)
    assert np.allclose(iou, expected)


@pytest.mark.parametrize(
    ("boxes", "limit", "expected"),
    [
        ([], 10, []),
        ([[0, 0, 10, 10]], 0, []),
        ([[0, 0, 10, 10]], 10, [0]),
        ([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10]], 10, [0, 2]),
        ([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], 2, [0, 1]),
        ([[0, 0, 10, 10], [0, 0, 10, 5]], 10, [0, 1]),
        # The second is suppressed by the first, so it must not suppress the third.
        ([[0, 0, 10, 10], [0, 3, 10, 13], [0, 6, 10, 16]], 10, [0, 2]),
    ],
)
def test_nms_keeps_the_best_in_rank_order(boxes: list[list[float]], limit: int, expected: list[int]) -> None:
    assert nms_xyxy(boxes, 0.5, limit) == expected


@pytest.mark.parametrize(
    ("box", "box_format", "unit", "expected"),
    [
        ([1, 2, 3, 4], "xywh", "px", [1, 2, 3, 4]),
        ([1.23456, 2, 3, 4], "xywh", "px", [1.23456, 2, 3, 4]),
        ([10, 20, 40, 60], "xyxy", "px", [10, 20, 30, 40]),
        ([0.1, 0.2, 0.4, 0.6], "xyxy", "px", [0.1, 0.2, 0.3, 0.4]),
        ([25, 40, 30, 40], "cxcywh", "px", [10, 20, 30, 40]),
        ([0.1, 0.25, 0.5, 0.5], "xywh", "0-1", [20, 25, 100, 50]),
        ([100, 250, 600, 750], "xyxy", "0-1000", [20, 25, 100, 50]),
        ([10, 25, 60, 50], "xywh", "0-100", [20, 25, 120, 50]),
        ([0.5, 0.5, 1, 1], "cxcywh", "0-1", [0, 0, 200, 100]),
        ([1 / 3, 0, 1 / 3, 1], "xywh", "0-1", [66.67, 0, 66.67, 100]),
    ],
)
def test_every_format_becomes_xywh_pixels(box: list[float], box_format: Any, unit: Any, expected: list[float]) -> None:
    assert to_xywh(box, box_format, unit, 200, 100) == expected


def test_whole_pixels_stay_whole() -> None:
    given_as = [196, 104, 310, 495]
    assert [type(number) for number in to_xywh(given_as, "xywh", "px", 999, 999)] == [int] * 4
    assert [type(number) for number in to_xywh(given_as, "xyxy", "px", 999, 999)] == [int] * 4
    assert to_xywh(given_as, "xywh", "px", 999, 999) is not given_as


@pytest.mark.parametrize("box_format", ["xywh", "xyxy", "cxcywh"])
@pytest.mark.parametrize("unit", ["px", "0-1", "0-100", "0-1000"])
@pytest.mark.parametrize("bad", [HUGE, -HUGE, INF, NAN, 1e308])
def test_numbers_beyond_all_bounds_come_through_as_a_reason(box_format: Any, unit: Any, bad: float) -> None:
    assert drop_reason(to_xywh([bad, 1, bad, 1], box_format, unit, 100, 100), 100, 100) is not None


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([0, 0, 100, 50], None),
        ([-5, -5, 6, 6], None),
        ([99.9, 49.9, 1e9, 1e9], None),
        ([1e308, 0, 1e308, 5], "outside"),
        ([-1e308, -1e308, 1.5e308, 1.5e308], None),
        ([None, 0, 1, 1], "not_finite"),
        ([0, 0, NAN, 1], "not_finite"),
        ([0, INF, 1, 1], "not_finite"),
        ([0, 0, HUGE, 1], "not_finite"),
        ([10, 10, 0, 5], "no_area"),
        ([10, 10, 5, -5], "no_area"),
        ([500, 500, 0, 0], "no_area"),
        ([100, 0, 5, 5], "outside"),
        ([0, 50, 5, 5], "outside"),
        ([-5, 0, 5, 5], "outside"),
        ([0, -9, 5, 5], "outside"),
    ],
)
def test_drop_reason(box: list[float | None], expected: str | None) -> None:
    assert drop_reason(box, 100, 50) == expected


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([10, 10, 20, 20], [10, 10, 20, 20]),
        ([-10, -10, 30, 30], [0, 0, 20, 20]),
        ([90, 40, 30, 30], [90, 40, 10, 10]),
        ([-1, -1, 999, 999], [0, 0, 100, 50]),
        ([200, 10, 5, 5], [100, 10, 0, 5]),
        ([-9, 10, 5, 5], [0, 10, 0, 5]),
    ],
)
def test_clip(box: list[float], expected: list[float]) -> None:
    assert clip_xywh(box, 100, 50) == expected


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        ([196, 104, 310, 495], (1537, 832), [0.128, 0.125, 0.329, 0.72]),  # the seed's own example
        ([0, 0, 1537, 832], (1537, 832), [0.0, 0.0, 1.0, 1.0]),
        ([-50, -50, 9999, 9999], (100, 100), [0.0, 0.0, 1.0, 1.0]),
        ([-0.0, 10, 50, 10], (100, 100), [0.0, 0.1, 0.5, 0.2]),
        ([5000, 5000, 2, 2], (20_000, 20_000), [0.25, 0.25, 0.25, 0.25]),
    ],
)
def test_normalize(box: list[float], size: tuple[int, int], expected: list[float]) -> None:
    normalized = normalize_xywh(box, *size)
    assert normalized == expected
    assert all(type(number) is float and math.copysign(1, number) == 1 for number in normalized)


numbers = st.one_of(st.integers(-(10**6), 10**6), st.floats(allow_nan=True, allow_infinity=True))


@given(box=st.lists(numbers, min_size=4, max_size=4), width=st.integers(1, 9000), height=st.integers(1, 9000))
def test_a_box_without_a_reason_can_be_normalised_and_clipped(box: list[float], width: int, height: int) -> None:
    if drop_reason(box, width, height) is None:
        x1, y1, x2, y2 = normalize_xywh(box, width, height)
        assert 0 <= x1 <= x2 <= 1
        assert 0 <= y1 <= y2 <= 1
        x, y, w, h = clip_xywh(box, width, height)
        assert 0 <= x < x + w <= width + 1e-6
        assert 0 <= y < y + h <= height + 1e-6


@given(st.lists(st.lists(st.integers(0, 50), min_size=4, max_size=4), max_size=12))
def test_what_nms_keeps_overlaps_little_and_what_it_drops_a_lot(boxes: list[list[int]]) -> None:
    kept = nms_xyxy(boxes, 0.5, len(boxes))
    iou = box_iou(boxes, boxes)
    assert all(iou[a, b] <= 0.5 for a in kept for b in kept if a != b)
    assert all(any(iou[a, b] > 0.5 for a in kept if a < b) for b in set(range(len(boxes))) - set(kept))
