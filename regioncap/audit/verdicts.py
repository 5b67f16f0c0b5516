"""Whether a caption that came when asked again follows its box, follows another, or cannot be told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from regioncap.audit.rows import ARMS, Arm, AuditedRow
from regioncap.audit.wording import FloatArray, Wording
from regioncap.output.caption_flags import refuses

Verdict = Literal["follows", "follows_another", "undecided"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

NOISE_QUANTILE = 0.95
"""Share of the noise that the threshold exceeds."""

MIN_MARGIN = 0.1
"""Lowest threshold: what a model words alike when asked twice the same, it may word otherwise under other numbers."""


@dataclass(frozen=True)
class Pair:
    """The caption of a box in the output, and the one of the same box in an arm.

    `row`: index among the audited rows. `box`: index of the box. `another`: index of the box whose caption the arm's
    resembles, None unless `follows_another`. `margin`: similarity to its own caption less that to the nearest other.
    """

    row: int
    box: int
    arm: Arm
    verdict: Verdict
    another: int | None
    margin: float


@dataclass(frozen=True)
class Likeness:
    """Similarities within a row, 0..1. `arms`: (N, N) for each arm, [i, j] is the arm's caption of box i to the
    output's of box j; `controls`: the same to the control's."""

    arms: dict[Arm, FloatArray]
    controls: dict[Arm, FloatArray]


def likeness_of(row: AuditedRow, wording: Wording) -> Likeness:
    """The similarities of a row's captions."""
    count = len(row.bbox)
    all_captions = [*row.first, *row.control, *(caption for arm in ARMS for caption in row.of_arm(arm))]
    vectors = wording.vectors(all_captions)
    first, control, *arms = (vectors[start : start + count] for start in range(0, len(vectors), count))
    by_arm = dict(zip(ARMS, arms, strict=True))
    return Likeness(
        {arm: found @ first.T for arm, found in by_arm.items()},
        {arm: found @ control.T for arm, found in by_arm.items()},
    )


def threshold_of(rows: Sequence[AuditedRow], likeness: Sequence[Likeness]) -> float:
    """The margin that a verdict needs, from the control arm.

    Output and control were asked for in the same way, so how near an arm's caption comes to the nearest caption of the
    one and to the nearest of the other differs by the model's own noise alone: this holds for captions that were mixed
    up too, since the nearest is taken whichever box it belongs to. Were the objects of a row alike, the margin between
    them would be such noise. The threshold is the `NOISE_QUANTILE` of these differences, at least `MIN_MARGIN`.
    """
    differences = [
        np.abs(one.arms[arm].max(axis=1) - one.controls[arm].max(axis=1))
        for row, one in zip(rows, likeness, strict=True)
        for arm in ARMS
        if len(row.bbox) > 1 and all(map(_present, row.control))
    ]
    if not differences:
        return MIN_MARGIN
    return max(MIN_MARGIN, float(np.quantile(np.concatenate(differences), NOISE_QUANTILE)))


def pairs_of(index: int, row: AuditedRow, likeness: Likeness, threshold: float) -> Iterator[Pair]:
    """The verdicts on a row; none for a box whose caption is missing, in the output or in the arm."""
    for arm in ARMS:
        for box, (first, again) in enumerate(zip(row.first, row.of_arm(arm), strict=True)):
            if first is None or again is None or not _present(first) or not _present(again) or len(row.bbox) < 2:
                continue
            nearness = likeness.arms[arm][box].copy()
            own, nearness[box] = nearness[box], -1.0
            another = int(nearness.argmax())
            margin = float(own - nearness[another])
            if abs(margin) <= threshold or refuses(first) or refuses(again):
                yield Pair(index, box, arm, "undecided", None, margin)
            elif margin > 0:
                yield Pair(index, box, arm, "follows", None, margin)
            else:
                yield Pair(index, box, arm, "follows_another", another, margin)


def _present(caption: str | None) -> bool:
    return bool(caption and caption.strip())
