"""How alike the captions of an audited row are, and what that says about words in general."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from regioncap.audit.rows import AGAIN, Asking, AuditedRow, is_caption
from regioncap.audit.wording import FloatArray, Wording

ALIKE_QUANTILE = 0.2
MAX_SHARPNESS = 30.0
"""So that no verdict rests on a smaller difference in similarity than log(0.95 / 0.05) / 30 = 0.1."""

NEWTON_STEPS = 25

_NO_MORE_THAN_ROUNDING = 1e-9


@dataclass(frozen=True)
class Likeness:
    """Similarities within a row of N boxes, 0..1; 0 where a caption is missing.

    `again`: for each asking (N, N), [i, j] is the caption that box i has in it to the one that box j has in the output.
    `output`: (N, N), of the captions of box i and box j in the output. `within`: the same, averaged over the output and
    the other askings. `complete`: the askings that miss no caption; none if the output misses one.
    """

    again: dict[Asking, FloatArray]
    output: FloatArray
    within: FloatArray
    complete: frozenset[Asking]


def likeness_of(row: AuditedRow, wording: Wording) -> Likeness:
    """The similarities of a row's captions."""
    askings = [row.first, *(row.of(asking) for asking in AGAIN)]
    vectors = wording.vectors([caption for captions in askings for caption in captions])
    first, *others = vectors.reshape(len(askings), len(row.bbox), -1)
    present = np.array([[is_caption(caption) for caption in captions] for captions in askings], dtype=float)
    both = np.einsum("ai,aj->ij", present, present)
    output = first @ first.T
    total = sum((found @ found.T for found in others), output)
    return Likeness(
        {asking: found @ first.T for asking, found in zip(AGAIN, others, strict=True)},
        output,
        np.divide(total, both, out=np.zeros_like(total), where=both > 0),
        frozenset(asking for asking, found in zip(AGAIN, present[1:], strict=True) if (found * present[0]).all()),
    )


@dataclass(frozen=True)
class Yardstick:
    """What similarities mean in an audit.

    `alike`: from this similarity on, the captions of two boxes are as alike as two wordings of one. `sharpness`: how
    much a difference in similarity tells: a caption belongs to box j rather than to box k with odds of
    exp(sharpness x (similarity to j - similarity to k)) to 1.
    """

    alike: float
    sharpness: float

    def alike_boxes(self, likeness: Likeness) -> npt.NDArray[np.bool_]:
        """(N, N): whether the words do not tell box i from box j."""
        alike = likeness.within >= self.alike - _NO_MORE_THAN_ROUNDING
        return alike & ~np.eye(len(alike), dtype=bool)

    def chances(self, similarities: FloatArray) -> FloatArray:
        """(N, N) similarities, [i, j] of a caption i to the caption of box j, as the chances that i belongs to j; each
        line's sum is 1."""
        odds = np.exp(self.sharpness * (similarities - similarities.max(axis=1, keepdims=True)))
        chances: FloatArray = odds / odds.sum(axis=1, keepdims=True)
        return chances


def yardstick_of(rows: Sequence[Likeness]) -> Yardstick:
    """What similarities mean here, learned from the control.

    Output and control were asked for in the same way, so a box's two captions differ by the model's own noise alone.
    How alike such a pair is: the caption in the output and the nearest one of the row's control, whichever box that
    belongs to, so that captions which the model mixed up in one of the two do not count as noise. Two boxes are alike
    if the captions they have in one asking are as alike as the least alike fifth of such pairs. For the others a
    logistic regression tells such pairs from captions of different boxes by their similarity; its slope is the
    sharpness.

    A model that samples nothing repeats itself in the control, and yet words things otherwise when the numbers change.
    So the arms are measured in the same way, and the one with the most noise decides.
    """
    nearest = {asking: _nearest(asking, rows) for asking in AGAIN}
    measured = [asking for asking in AGAIN if nearest[asking]]
    if not measured:
        return Yardstick(0.0, 0.0)
    quantiles = [float(np.quantile(np.concatenate(nearest[asking]), ALIKE_QUANTILE)) for asking in measured]
    by_alike = Yardstick(min(quantiles), 0.0)
    different = np.concatenate(
        [row.output[~by_alike.alike_boxes(row) & ~np.eye(len(row.output), dtype=bool)] for row in rows]
    )
    slopes = []
    for asking in measured:
        known = [row for row in rows if asking in row.complete]
        clear = [~by_alike.alike_boxes(row).any(axis=1) for row in known]
        same = [near[chosen] for near, chosen in zip(nearest[asking], clear, strict=True)]
        slopes.append(_slope(np.concatenate(same), different))
    return Yardstick(by_alike.alike, min(MAX_SHARPNESS, *slopes))


def _nearest(asking: Asking, rows: Sequence[Likeness]) -> list[FloatArray]:
    """For each row that misses no caption in `asking`: (N,), how near the nearest caption there is to each box's in the
    output."""
    return [row.again[asking].max(axis=0) for row in rows if asking in row.complete]


def _slope(same: FloatArray, different: FloatArray) -> float:
    """Slope of the logistic regression of "same" on similarity, both sides weighing the same; 0 or more.

    A weak prior (normal, standard deviation `MAX_SHARPNESS`) keeps it finite where the two sides do not overlap.
    """
    if not len(same) or not len(different):
        return 0.0
    inputs = np.column_stack([np.ones(len(same) + len(different)), np.concatenate([same, different])])
    labels = np.repeat([1.0, 0.0], [len(same), len(different)])
    weights = np.repeat([1.0, len(same) / len(different)], [len(same), len(different)])
    prior = np.diag([1e-6, MAX_SHARPNESS**-2])
    found = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        expected = 1 / (1 + np.exp(-inputs @ found))
        gradient = inputs.T @ (weights * (labels - expected)) - prior @ found
        curvature = (inputs * (weights * expected * (1 - expected))[:, None]).T @ inputs + prior
        found = found + np.linalg.solve(curvature, gradient)
    return max(0.0, float(found[1]))
