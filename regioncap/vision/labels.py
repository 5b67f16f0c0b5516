"""Label placement: puts the numbers of marked regions next to their boxes, where they hide least.

Each region has candidate positions for its label: around its outline, and farther away, connected by a leader line.
Each candidate costs what it would hide, and the regions choose greedily, smallest first, since those have the fewest
good positions. The greedy algorithm is that of Christensen, Marks and Shieber ("An empirical study of algorithms for
point-feature label placement", ACM Transactions on Graphics, 1995).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

OVER_LABEL = 100.0
"""Cost of a label that is entirely covered by another."""
OVER_CENTRE = 8.0
"""Cost of covering the centre of another region."""
OVER_REGION = 6.0
"""Cost of covering all of another region."""
OVER_OWN = 10.0
"""Cost of covering all of the label's own region; the first `FREE_SHARE` of it is free."""
FREE_SHARE = 0.05
OVER_CORNER = 0.4
"""Cost of covering a corner of another region."""
LEADER_MISMATCH = 0.8
"""Cost of an unnecessary leader line, or of a missing one."""
UNDER_LEADER = 0.4
"""Cost of each of two sampled points of a leader line that lies on a small region."""
SMALL_AREA_RATIO = 4.0
"""A region is small if its area is below this multiple of the largest label's."""
RANK_COST = 0.02
"""Cost per position down the list of candidates: it breaks ties in favour of the better-looking ones."""

LEADERS = (0.8, 2.0)
"""Lengths of leader lines, in label heights."""

# A label's start along one axis, as coefficients of (the outline's start, its end, the label's length, its height):
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
"""(K, 2, 4) float64, coefficients per candidate and axis, best first: beside the outline, then with a leader line."""


def place_labels(
    outlines: FloatArray, sizes: FloatArray, frame: tuple[int, int], needs_leader: Sequence[bool]
) -> npt.NDArray[np.int64]:
    """The labels' positions, (N, 4) int64 xyxy pixels, each inside the frame.

    `outlines`: (N, 4) float64 xyxy of the regions as drawn, in pixels. `sizes`: (N, 2) float64, width and height of
    the labels, at most the frame's. `frame`: width and height of the picture. `needs_leader`: for each region, whether
    it is so small that its label should stand clear of it.
    """
    if not len(outlines):
        return np.zeros((0, 4), np.int64)
    beside = _PLACES[: len(_BESIDE)]
    if not any(needs_leader):
        places, highest_cost = _choose(beside, outlines, sizes, frame, needs_leader)
        if highest_cost < LEADER_MISMATCH:  # else a leader line may be better for some label
            return places
    return _choose(_PLACES, outlines, sizes, frame, needs_leader)[0]


def _choose(
    choices: FloatArray, outlines: FloatArray, sizes: FloatArray, frame: tuple[int, int], needs_leader: Sequence[bool]
) -> tuple[npt.NDArray[np.int64], float]:
    """The positions (N, 4) that the regions take among `choices`, a prefix of `_PLACES`; and their highest cost."""
    labels = _candidates(choices, outlines, sizes, frame)
    costs = _costs(labels, outlines)
    near = len(_BESIDE)
    if len(choices) > near:
        leader = np.asarray(needs_leader)
        costs[~leader, near:] += LEADER_MISMATCH
        costs[leader, :near] += LEADER_MISMATCH
        costs[:, near:] += _under_leaders(labels[:, near:], outlines)
    # Plain lists are faster from here on: there are few labels, and most take their first choice.
    order, spent, at = np.argsort(costs, axis=1, kind="stable").tolist(), costs.tolist(), labels.tolist()
    chosen: dict[int, list[float]] = {}
    highest_cost = 0.0
    for number in np.argsort(_areas(outlines), kind="stable").tolist():
        best, lowest = 0, float("inf")
        for choice in order[number]:
            if spent[number][choice] >= lowest:
                break
            label = at[number][choice]
            cost = spent[number][choice] + OVER_LABEL * sum(_hidden(label, other) for other in chosen.values())
            if cost < lowest:
                best, lowest = choice, cost
        chosen[number] = at[number][best]
        highest_cost = max(highest_cost, lowest)
    return np.array([chosen[number] for number in range(len(outlines))]).astype(np.int64), highest_cost


def _hidden(label: Sequence[float], other: Sequence[float]) -> float:
    """The fraction of a label that another covers, 0..1."""
    across = min(label[2], other[2]) - max(label[0], other[0])
    down = min(label[3], other[3]) - max(label[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    return across * down / ((label[2] - label[0]) * (label[3] - label[1]))


def _candidates(choices: FloatArray, outlines: FloatArray, sizes: FloatArray, frame: tuple[int, int]) -> FloatArray:
    """(N, K, 4) float64 xyxy: the K `choices` of each region, moved inside the frame."""
    ends = outlines.reshape(-1, 2, 2).transpose(0, 2, 1)  # (N, axis, start and end)
    heights = np.repeat(sizes[:, 1:], 2, axis=1)
    measures = np.concatenate([ends, sizes[..., None], heights[..., None]], axis=2)
    corners = np.floor(np.einsum("kam,nam->nka", choices, measures))
    corners = np.minimum(np.maximum(corners, 0), (np.asarray(frame) - sizes)[:, None])
    return np.concatenate([corners, corners + sizes[:, None]], axis=2)


def _costs(labels: FloatArray, outlines: FloatArray) -> FloatArray:
    """(N, K) float64: the cost of what each of a region's K candidates hides of the N regions, its own included."""
    count, choices = labels.shape[:2]
    flat = labels.reshape(-1, 4)
    hidden = (_shared(flat, outlines) / _areas(outlines)).reshape(count, choices, count)
    others = OVER_REGION * hidden + _over_points(flat, outlines).reshape(count, choices, count)
    each = np.arange(count)
    others[each, :, each] = OVER_OWN * np.maximum(hidden[each, :, each] - FREE_SHARE, 0)
    costs: FloatArray = others.sum(axis=2)
    return costs + RANK_COST * np.arange(choices)


def _over_points(labels: FloatArray, outlines: FloatArray) -> FloatArray:
    """(K, N) float64: the cost of the corners and centres of N regions that are under each of K labels, both xyxy."""
    across = [(labels[:, :1] <= x) & (x <= labels[:, 2:3]) for x in _ends_and_middle(outlines[:, 0], outlines[:, 2])]
    down = [(labels[:, 1:2] <= y) & (y <= labels[:, 3:]) for y in _ends_and_middle(outlines[:, 1], outlines[:, 3])]
    corners = np.add(across[0], across[1], dtype=np.float64) * np.add(down[0], down[1], dtype=np.float64)
    cost: FloatArray = OVER_CORNER * corners + OVER_CENTRE * (across[2] & down[2])
    return cost


def _ends_and_middle(start: FloatArray, end: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    return start, end, (start + end) / 2


def _under_leaders(labels: FloatArray, outlines: FloatArray) -> FloatArray:
    """(N, K) float64: the cost of the small regions that the leader line of each candidate crosses."""
    small = outlines[_areas(outlines) < SMALL_AREA_RATIO * float(_areas(labels[:, 0]).max())]
    if not len(small):
        return np.zeros(labels.shape[:2])
    starts, ends = (labels[..., :2] + labels[..., 2:]) / 2, (outlines[:, :2] + outlines[:, 2:]) / 2
    # Sampled well before the line's end, since the region itself may be one of the small ones.
    points = starts[:, :, None] + np.array([0.3, 0.55])[:, None] * (ends[:, None] - starts)[:, :, None]
    x, y = points[..., 0, None], points[..., 1, None]
    inside = (small[:, 0] <= x) & (x < small[:, 2]) & (small[:, 1] <= y) & (y < small[:, 3])
    crossed: FloatArray = UNDER_LEADER * inside.sum(axis=(2, 3), dtype=np.float64)
    return crossed


def _shared(a: FloatArray, b: FloatArray) -> FloatArray:
    """(K, N) float64: the pairwise intersection areas of `a` (K, 4) and `b` (N, 4), both xyxy."""
    across = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0])
    down = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1])
    shared: FloatArray = np.maximum(across, 0) * np.maximum(down, 0)
    return shared


def _areas(xyxy: FloatArray) -> FloatArray:
    areas: FloatArray = (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])
    return areas
