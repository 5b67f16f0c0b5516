"""Where the numbers of marked regions go: beside their boxes, where they hide least.

Each region has some candidate places for its label: around its outline, and farther off, tied to it by a leader line.
Costs of hiding things are summed for each, and the regions choose in turn, smallest first, since those have the fewest
good places. The greedy way is that of Christensen, Marks and Shieber ("An empirical study of algorithms for
point-feature label placement", ACM Transactions on Graphics, 1995).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

OVER_LABEL = 100.0
"""For a label that is wholly under another."""
OVER_CENTRE = 8.0
"""For the centre of another region."""
OVER_REGION = 6.0
"""For a region that is wholly under the label."""
OVER_OWN = 10.0
"""For the region itself, beyond the share that a label inside a large box takes."""
FREE_SHARE = 0.05
OVER_CORNER = 0.4
FARTHER_OFF = 0.8
"""For a leader line that is not needed, or a missing one."""
UNDER_LEADER = 0.4
"""For each of two points of a leader line that lies on a small region."""
SMALL = 4.0
"""Regions of so many times a label's area are small."""
LATER = 0.02
"""For each place down the list of candidates."""

LEADERS = (0.8, 2.0)
"""Lengths of leader lines, in label heights."""

# Places of a label along one axis, in parts of (the outline's start, its end, the label's own length, its height):
_BEFORE, _START, _MIDDLE, _END, _AFTER = (1, 0, -1, 0), (1, 0, 0, 0), (0.5, 0.5, -0.5, 0), (0, 1, -1, 0), (0, 1, 0, 0)


def _away(length: float) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    before, after = (1, 0, -1, -length), (0, 1, 0, length)
    sides = ((_MIDDLE, before), (after, before), (before, before), (after, _MIDDLE), (before, _MIDDLE))
    return [*sides, (_MIDDLE, after), (after, after), (before, after)]


_BESIDE = (
    (_START, _BEFORE), (_START, _START), (_START, _AFTER), (_END, _BEFORE), (_END, _START), (_END, _AFTER),
    (_START, _END), (_END, _END), (_BEFORE, _START), (_AFTER, _START), (_BEFORE, _END), (_AFTER, _END),
    (_MIDDLE, _BEFORE), (_MIDDLE, _AFTER), (_BEFORE, _MIDDLE), (_AFTER, _MIDDLE), (_MIDDLE, _START), (_MIDDLE, _END),
    (_START, _MIDDLE), (_END, _MIDDLE),
)  # fmt: skip
_PLACES = np.array([*_BESIDE, *(place for length in LEADERS for place in _away(length))], dtype=np.float64)
"""(K, 2, 4), best first: at corners, at the middles of sides, outside the box, then in; then with a leader line."""


def place_labels(
    outlines: FloatArray, sizes: FloatArray, frame: tuple[int, int], wants_leader: Sequence[bool]
) -> npt.NDArray[np.int64]:
    """The labels' places, (N, 4) int64 xyxy pixels, each inside the frame.

    `outlines`: (N, 4) xyxy of the regions as drawn. `sizes`: (N, 2) width and height of the labels, at most the
    frame's. `frame`: width and height of the picture. `wants_leader`: whether a region is so small that its label
    should be a little away from it.
    """
    if not len(outlines):
        return np.zeros((0, 4), np.int64)
    beside = _PLACES[: len(_BESIDE)]
    if not any(wants_leader):
        places, most = _choose(beside, outlines, sizes, frame, wants_leader)
        if most < FARTHER_OFF:  # else a leader line may be better, for some
            return places
    return _choose(_PLACES, outlines, sizes, frame, wants_leader)[0]


def _choose(
    choices: FloatArray, outlines: FloatArray, sizes: FloatArray, frame: tuple[int, int], wants_leader: Sequence[bool]
) -> tuple[npt.NDArray[np.int64], float]:
    """The places (N, 4) that the regions take of `choices`, part of `_PLACES`; and what the worst of them costs."""
    labels = _candidates(choices, outlines, sizes, frame)
    costs = _costs(labels, outlines)
    near = len(_BESIDE)
    if len(choices) > near:
        wants = np.asarray(wants_leader)
        costs[~wants, near:] += FARTHER_OFF
        costs[wants, :near] += FARTHER_OFF
        costs[:, near:] += _under_leaders(labels[:, near:], outlines)
    # Plain lists from here on: a handful of labels, most of which take their first choice.
    order, spent, at = np.argsort(costs, axis=1, kind="stable").tolist(), costs.tolist(), labels.tolist()
    chosen: dict[int, list[float]] = {}
    most = 0.0
    for number in np.argsort(_areas(outlines), kind="stable").tolist():
        best, least = 0, float("inf")
        for choice in order[number]:
            if spent[number][choice] >= least:
                break
            label = at[number][choice]
            cost = spent[number][choice] + OVER_LABEL * sum(_hidden(label, other) for other in chosen.values())
            if cost < least:
                best, least = choice, cost
        chosen[number] = at[number][best]
        most = max(most, least)
    return np.array([chosen[number] for number in range(len(outlines))]).astype(np.int64), most


def _hidden(label: Sequence[float], other: Sequence[float]) -> float:
    """The share of a label that another covers."""
    across = min(label[2], other[2]) - max(label[0], other[0])
    down = min(label[3], other[3]) - max(label[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    return across * down / ((label[2] - label[0]) * (label[3] - label[1]))


def _candidates(choices: FloatArray, outlines: FloatArray, sizes: FloatArray, frame: tuple[int, int]) -> FloatArray:
    """(N, K, 4) xyxy inside the frame, as in `choices`."""
    ends = outlines.reshape(-1, 2, 2).transpose(0, 2, 1)  # of each axis, start and end
    heights = np.repeat(sizes[:, 1:], 2, axis=1)
    measures = np.concatenate([ends, sizes[..., None], heights[..., None]], axis=2)
    corners = np.floor(np.einsum("kam,nam->nka", choices, measures))
    corners = np.minimum(np.maximum(corners, 0), (np.asarray(frame) - sizes)[:, None])
    return np.concatenate([corners, corners + sizes[:, None]], axis=2)


def _costs(labels: FloatArray, outlines: FloatArray) -> FloatArray:
    """(N, K) what each of a region's K candidates hides of the N regions: most of all its own, if that is small."""
    count, choices = labels.shape[:2]
    flat = labels.reshape(-1, 4)
    hidden = (_shared(flat, outlines) / _areas(outlines)).reshape(count, choices, count)
    others = OVER_REGION * hidden + _over_points(flat, outlines).reshape(count, choices, count)
    each = np.arange(count)
    others[each, :, each] = OVER_OWN * np.maximum(hidden[each, :, each] - FREE_SHARE, 0)
    costs: FloatArray = others.sum(axis=2)
    return costs + LATER * np.arange(choices)


def _over_points(labels: FloatArray, outlines: FloatArray) -> FloatArray:
    """(K, N) the cost of the corners and the centre of each of N regions that lie under each of K labels, xyxy."""
    across = [(labels[:, :1] <= x) & (x <= labels[:, 2:3]) for x in _ends_and_middle(outlines[:, 0], outlines[:, 2])]
    down = [(labels[:, 1:2] <= y) & (y <= labels[:, 3:]) for y in _ends_and_middle(outlines[:, 1], outlines[:, 3])]
    corners = np.add(across[0], across[1], dtype=np.float64) * np.add(down[0], down[1], dtype=np.float64)
    cost: FloatArray = OVER_CORNER * corners + OVER_CENTRE * (across[2] & down[2])
    return cost


def _ends_and_middle(start: FloatArray, end: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    return start, end, (start + end) / 2


def _under_leaders(labels: FloatArray, outlines: FloatArray) -> FloatArray:
    """(N, K) how much the leader lines of K candidates each run over other small regions."""
    small = outlines[_areas(outlines) < SMALL * float(_areas(labels[:, 0]).max())]
    if not len(small):
        return np.zeros(labels.shape[:2])
    starts, ends = (labels[..., :2] + labels[..., 2:]) / 2, (outlines[:, :2] + outlines[:, 2:]) / 2
    # From its middle to short of the region itself, which is one of the small ones.
    points = starts[:, :, None] + np.array([0.3, 0.55])[:, None] * (ends[:, None] - starts)[:, :, None]
    x, y = points[..., 0, None], points[..., 1, None]
    inside = (small[:, 0] <= x) & (x < small[:, 2]) & (small[:, 1] <= y) & (y < small[:, 3])
    crossed: FloatArray = UNDER_LEADER * inside.sum(axis=(2, 3), dtype=np.float64)
    return crossed


def _shared(a: FloatArray, b: FloatArray) -> FloatArray:
    """(K, N) pixels that each of `a` shares with each of `b`, xyxy."""
    across = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0])
    down = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1])
    shared: FloatArray = np.maximum(across, 0) * np.maximum(down, 0)
    return shared


def _areas(xyxy: FloatArray) -> FloatArray:
    areas: FloatArray = (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])
    return areas
