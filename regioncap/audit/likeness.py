"""How alike the captions of an audited row are, and what that says about words in general."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from regioncap.audit.rows import AGAIN, Asking, AuditedRow, is_caption
from regioncap.audit.wording import FloatArray, Wording
from regioncap.output.caption_flags import refuses

BoolArray = npt.NDArray[np.bool_]

NOISE_QUANTILE = 0.1
"""Of the similarities between two wordings of one thing: the share of them that count as exceptions."""

SHARPNESS = 10.0
"""Chosen with `benchmarks/audit_simulation.py`: where a tenth of the wordings have a similarity of 0.55 or less, it is
what a logistic regression of "the same thing" on similarity gives. Taken as given, since a regression on the rows of
one audit varies so much that intervals would be too wide."""

MAX_SHARPNESS = 30.0
"""So that no verdict rests on a smaller difference in similarity than log(0.95 / 0.05) / 30 = 0.1."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Likeness:
    """Similarities within a row of N boxes, 0..1; 0 where a caption is missing.

    `again`: for each asking (N, N), [i, j] is the caption that box i has in it to the one that box j has in the output.
    `within`: (N, N), of the captions that box i and box j have in one asking, averaged over the output and the other
    askings. `paired`: for each asking (N,), whether box i has a caption in it and in the output. `telling`: whether,
    besides, neither of the two is a refusal.

    Of several rows with as many boxes each array has one dimension more, the first; see `stacked`.
    """

    again: dict[Asking, FloatArray]
    within: FloatArray
    paired: dict[Asking, BoolArray]
    telling: dict[Asking, BoolArray]


def likeness_of(row: AuditedRow, wording: Wording) -> Likeness:
    """The similarities of a row's captions."""
    askings = [row.first, *(row.of(asking) for asking in AGAIN)]
    vectors = wording.vectors([caption for captions in askings for caption in captions])
    first, *others = vectors.reshape(len(askings), len(row.bbox), -1)
    present = np.array([[is_caption(caption) for caption in captions] for captions in askings])
    telling = np.array([[is_caption(caption) and not refuses(caption) for caption in captions] for captions in askings])
    both = np.einsum("ai,aj->ij", present, present, dtype=float)
    total = sum((found @ found.T for found in others), first @ first.T)
    return Likeness(
        {asking: found @ first.T for asking, found in zip(AGAIN, others, strict=True)},
        np.divide(total, both, out=np.zeros_like(total), where=both > 0),
        {asking: found & present[0] for asking, found in zip(AGAIN, present[1:], strict=True)},
        {asking: found & telling[0] for asking, found in zip(AGAIN, telling[1:], strict=True)},
    )


def stacked(rows: Sequence[Likeness]) -> Likeness:
    """The rows, which have as many boxes, as one."""
    return Likeness(
        {asking: np.stack([row.again[asking] for row in rows]) for asking in AGAIN},
        np.stack([row.within for row in rows]),
        {asking: np.stack([row.paired[asking] for row in rows]) for asking in AGAIN},
        {asking: np.stack([row.telling[asking] for row in rows]) for asking in AGAIN},
    )


@dataclass(frozen=True)
class Yardstick:
    """What similarities mean in an audit, 0..1.

    `alike`: how alike two wordings of one thing are at least, but for exceptions. What is that alike may be one thing.
    """

    alike: float

    @property
    def sharpness(self) -> float:
        """How much a difference in similarity tells: the less, the more two wordings of one thing differ."""
        return min(MAX_SHARPNESS, SHARPNESS / max(1 - self.alike, SHARPNESS / MAX_SHARPNESS))

    def alike_boxes(self, likeness: Likeness) -> BoolArray:
        """(…, N, N): whether the words do not tell box i from box j, since the captions that the two have in one asking
        are as alike as two wordings of one thing."""
        alike = likeness.within >= self.alike - _ROUNDING
        return alike & ~np.eye(alike.shape[-1], dtype=bool)

    def chances(self, similarities: FloatArray) -> FloatArray:
        """The chances that caption i belongs to box j, from (…, N, N) similarities [i, j] to the caption of box j.

        The odds of box j against box k are exp(`sharpness` x (similarity to j - similarity to k)). Against a single
        other box, a chance of 0.95 takes a difference of 0.29 x (1 - `alike`).
        """
        odds = np.exp(self.sharpness * (similarities - similarities.max(axis=-1, keepdims=True)))
        chances: FloatArray = odds / odds.sum(axis=-1, keepdims=True)
        return chances


class Wordings:
    """Two wordings of one thing, as often as the audit has them; from them comes the yardstick.

    Output and control were asked for in the same way, so they differ by what the model's own noise does to words. A
    caption in the output and the nearest one in the control of the row are two wordings of one thing: the nearest,
    whichever box it belongs to, so that boxes which the model mixed up in one of the two do not count as noise.

    A model that does not sample repeats itself in the control, and yet words things otherwise when the numbers change.
    So the arms are measured in the same way, and the asking with the most noise decides. Rows that miss a caption tell
    nothing; without any other all boxes are alike.
    """

    def __init__(self, rows: Sequence[Likeness]) -> None:
        self._measured: list[tuple[FloatArray, npt.NDArray[np.intp]]] = []
        """For each asking the similarities, lowest first, and the rows that they are from."""
        for asking in AGAIN:
            known = [
                (index, row.again[asking].max(axis=0)) for index, row in enumerate(rows) if row.paired[asking].all()
            ]
            if known:
                similarities = np.concatenate([near for _, near in known])
                of_rows = np.repeat([index for index, _ in known], [len(near) for _, near in known])
                order = similarities.argsort(kind="stable")
                self._measured.append((similarities[order], of_rows[order]))

    def alike(self, draws: npt.NDArray[np.int64]) -> FloatArray:
        """(draws,): `Yardstick.alike` if the audit had the rows as often as each of `draws`, (draws, rows), says."""
        found = np.zeros((max(1, len(self._measured)), len(draws)))
        for index, (similarities, of_rows) in enumerate(self._measured):
            times = draws[:, of_rows].cumsum(axis=1)
            place = (times >= NOISE_QUANTILE * times[:, -1:]).argmax(axis=1)
            found[index] = similarities[place]
        lowest: FloatArray = found.min(axis=0)
        return lowest
