"""Whether a caption that came when asked again follows its box, follows another, or cannot be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from regioncap.audit.likeness import BoolArray, Likeness, Yardstick
from regioncap.audit.rows import Asking
from regioncap.audit.wording import FloatArray

Verdict = Literal["follows", "follows_another", "undecided"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

CERTAINTY = 0.95
"""The chance from which a caption is said to belong to a box."""


@dataclass(frozen=True)
class Pair:
    """The caption of a box in the output, and the one of the same box in another asking.

    `row`: index among the audited rows. `box`: index of the box. `arm`: the asking. `another`: index of the box whose
    caption in the output that of the arm follows; None unless the verdict is `follows_another`. `chance`: that the
    arm's caption belongs to the box that it is nearest to, 0..1.
    """

    row: int
    box: int
    arm: Asking
    verdict: Verdict
    another: int | None
    chance: float


@dataclass(frozen=True)
class Judged:
    """The verdicts on the N boxes of a row in an asking, each (N,), or (rows, N) of several rows.

    `nearest`: the box whose caption in the output is nearest to that of box i in the asking, and the `chance` that it
    belongs to it. `follows`, `follows_another`: the verdicts; the others are undecided.
    """

    nearest: npt.NDArray[np.intp]
    chance: FloatArray
    follows: BoolArray
    follows_another: BoolArray


def judge(likeness: Likeness, arm: Asking, yardstick: Yardstick) -> Judged:
    """The verdicts on a row in an arm, from the similarities of its captions to the output's captions of all boxes.

    A caption is undecided if it belongs to none of the boxes with `CERTAINTY`; if it belongs to a box that is alike to
    its own; and if it belongs to its own, but another box is alike, since the same words would fit that one. Boxes that
    are mixed up exchange their captions, so it is undecided too if it belongs to another box, but the arm has a caption
    that is nearer to that. A refusal describes nothing: it is undecided as well.
    """
    similarities, alike = likeness.again[arm], yardstick.alike_boxes(likeness)
    nearest = similarities.argmax(axis=-1)
    at_nearest = nearest[..., None]
    chance = np.take_along_axis(yardstick.chances(similarities), at_nearest, -1)[..., 0]
    sure = (chance >= CERTAINTY) & likeness.telling[arm]
    own = nearest == np.arange(nearest.shape[-1])
    alike_to_nearest = np.take_along_axis(alike, at_nearest, -1)[..., 0]
    uncontested = similarities.max(axis=-1) >= np.take_along_axis(similarities.max(axis=-2), nearest, -1)
    follows = sure & own & ~alike.any(axis=-1)
    return Judged(nearest, chance, follows, sure & ~own & ~alike_to_nearest & uncontested)


def pairs_of(row: int, arm: Asking, likeness: Likeness, yardstick: Yardstick) -> Iterator[Pair]:
    """The verdicts on the boxes of a row that have a caption in the output and in the arm. `row`: its index."""
    judged = judge(likeness, arm, yardstick)
    for box in np.flatnonzero(likeness.paired[arm]).tolist():
        verdict: Verdict = "undecided"
        if judged.follows[box]:
            verdict = "follows"
        elif judged.follows_another[box]:
            verdict = "follows_another"
        another = int(judged.nearest[box]) if verdict == "follows_another" else None
        yield Pair(row, box, arm, verdict, another, float(judged.chance[box]))
