"""What a finder may return, and what becomes of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from regioncap.vision.found_regions import MAX_DROPPED, Found, Regions, WrongReturn, found_in


def found(returned: Any, *, size: tuple[int, int] = (100, 80), max_boxes: int = 10, min_score: float = -3.0) -> Found:
    return found_in(returned, size, (200, 160), max_boxes=max_boxes, min_score=min_score)


class Tensor:
    """As a tensor of another library: NumPy can read it, and nothing else is known of it."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array([[1, 2, 10, 10]], np.float32)


NONE: dict[str, Any] = {
    "empty list": [], "(0, 4)": np.zeros((0, 4)), "(0, 6)": np.zeros((0, 6)), "no regions": Regions([], [], []),
}  # fmt: skip


@pytest.mark.parametrize("name", NONE)
def test_no_regions(name: str) -> None:
    assert found(NONE[name]).boxes == []


SAME: dict[str, Any] = {
    "list": [[1, 2, 10, 10]], "tuples": ((1, 2, 10, 10),), "int32": np.array([[1, 2, 10, 10]], np.int32),
    "float16": np.array([[1, 2, 10, 10]], np.float16), "tensor": Tensor(),
    "corners": Regions([[1, 2, 11, 12]], box_format="xyxy"), "centre": Regions([[6, 7, 10, 10]], box_format="cxcywh"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_boxes_are_pixels_of_the_full_size_picture(name: str) -> None:
    assert found(SAME[name]) == Found([[2, 4, 20, 20]], {})


def test_boxes_are_rounded_outwards_and_clipped() -> None:
    boxes = [[0.3, 0.3, 10.3, 10.3], [-10, -10, 20, 20], [95, 75, 500, 500], [99.9, 79.9, 0.01, 0.01]]
    assert found(boxes).boxes == [[0, 0, 22, 22], [0, 0, 20, 20], [190, 150, 10, 10], [199, 159, 1, 1]]


def test_bad_boxes_keep_their_numbers_and_take_no_place() -> None:
    boxes = [[math.nan, 0, 1, 1], [0, 0, math.inf, 5], [5, 5, 0, 5], [-50, 0, 10, 10], [1, 1, 5, 5], [2, 2, 5, 5]]
    bad = [[None, 0.0, 2.0, 2.0], [0.0, 0.0, None, 10.0], [10.0, 10.0, 0.0, 10.0], [-100.0, 0.0, 20.0, 20.0]]
    assert found(boxes, max_boxes=1).boxes == [*bad, [2, 2, 10, 10]]


def test_thousands_of_boxes_are_cut() -> None:
    assert len(found(np.tile([1, 1, 5, 5], (50_000, 1)), max_boxes=7).boxes) == 7
    assert len(found(np.full((50_000, 4), np.nan)).boxes) == MAX_DROPPED


def test_scores_rank_the_regions_and_go_with_the_labels() -> None:
    returned = Regions(
        [[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3]], np.array([0.25, 0.9, math.nan], np.float32), ["a", "b", "c"]
    )
    ranked = found(returned)
    assert [box[2] for box in ranked.boxes] == [4, 2, 6]
    assert ranked.fields == {"label": ["b", "a", "c"], "score": [0.9, 0.25, None]}
    assert found(returned, min_score=0.5).fields["label"] == ["b", "c"]


def test_labels_are_plain_values() -> None:
    labels = [np.str_("a"), np.int64(3), None]
    assert found(Regions(np.ones((3, 4)), labels=labels)).fields == {"label": ["a", 3, None]}


WRONG: dict[str, tuple[Any, str]] = {
    "nothing": (None, "None; expected boxes"),
    "one flat box": ([1, 2, 3, 4], r"shape \(4,\); expected \(N, 4\)"),
    "six columns": (np.zeros((3, 6)), r"shape \(3, 6\).*regioncap.plugins.Regions"),
    "a pair": (([[1, 2, 3, 4]], [0.5]), "no array of numbers"),
    "text": ("boxes", "of type str"),
    "a dict": ({"boxes": []}, "of type dict"),
    "a generator": (iter([[1, 2, 3, 4]]), "of type list_iterator"),
    "texts": ([["1", "2", "3", "4"]], "expected numbers"),
    "complex": (np.zeros((1, 4), complex), "expected numbers"),
    "scores": (Regions([[1, 1, 2, 2]], [0.1, 0.2]), "1 boxes and 2 scores"),
    "labels": (Regions([[1, 1, 2, 2]], labels=["a", "b"]), "1 boxes and 2 labels"),
    "a label": (Regions([[1, 1, 2, 2]], labels=[object()]), "a label of type object"),
    "format": (Regions([[1, 1, 2, 2]], box_format="yxyx"), "'yxyx'; expected xywh, xyxy or cxcywh"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_regions_is_refused_in_words(name: str) -> None:
    returned, expected = WRONG[name]
    with pytest.raises(WrongReturn, match=expected):
        found(returned)
