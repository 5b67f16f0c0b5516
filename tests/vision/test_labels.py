"""Where labels go: inside the frame, not over each other, not over another region's centre while there is room."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from regioncap.vision.labels import place_labels

FRAME = (1000, 800)


def placed(
    boxes: list[list[float]], *, leaders: list[bool] | None = None, size: tuple[int, int] = (30, 40)
) -> np.ndarray:
    """(N, 4) xyxy of the labels of xyxy boxes; all labels of one size."""
    sizes = np.tile(np.array(size, np.float64), (len(boxes), 1))
    return place_labels(np.array(boxes, np.float64).reshape(-1, 4), sizes, FRAME, leaders or [False] * len(boxes))


def shared(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    return float(np.prod(np.maximum(sides, 0)))


def some_boxes(count: int, seed: int) -> list[list[float]]:
    rng = np.random.default_rng(seed)
    sides = rng.uniform(20, 300, (count, 2))
    corners = np.rint(rng.uniform(0, 1, (count, 2)) * (np.array(FRAME) - sides))
    boxes: list[list[float]] = np.hstack([corners, np.rint(corners + sides)]).tolist()
    return boxes


def test_without_regions_there_are_no_labels() -> None:
    assert placed([]).shape == (0, 4)


@pytest.mark.parametrize("seed", range(20))
def test_ten_labels_lie_in_the_frame_and_not_on_each_other(seed: int) -> None:
    labels = placed(some_boxes(10, seed))
    assert (labels[:, :2] >= 0).all()
    assert (labels[:, 2:] <= FRAME).all()
    assert (labels[:, 2:] - labels[:, :2] == (30, 40)).all()
    assert max(shared(a, b) for a, b in itertools.combinations(labels, 2)) == 0


@pytest.mark.parametrize("seed", range(20))
def test_no_label_lies_on_the_centre_of_another_region(seed: int) -> None:
    boxes = np.array(some_boxes(10, seed))
    labels, centres = placed(boxes.tolist()), (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = (labels[:, None, :2] <= centres) & (centres <= labels[:, None, 2:])
    assert not (inside.all(axis=2) & ~np.eye(10, dtype=bool)).any()


def test_a_label_gives_way_to_a_centre() -> None:
    # Above the second box, where its label would go, is the middle of the first.
    label = placed([[300, 300, 400, 380], [330, 350, 600, 500]])[1]
    assert not (label[0] <= 350 <= label[2] and label[1] <= 340 <= label[3])


def test_ten_times_the_same_box() -> None:
    labels = placed([[400, 300, 600, 500]] * 10)
    assert max(shared(a, b) for a, b in itertools.combinations(labels, 2)) == 0


@pytest.mark.parametrize("at", [(0, 0), (995, 0), (0, 795), (995, 795), (500, 400)])
def test_who_wants_a_leader_has_its_label_away_from_it(at: tuple[int, int]) -> None:
    box = np.array([*at, at[0] + 5, at[1] + 5])
    label = placed([box.tolist()], leaders=[True])[0]
    gap = np.maximum(label[:2] - box[2:], box[:2] - label[2:]).max()
    assert 20 <= gap <= 100
