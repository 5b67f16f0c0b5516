"""Whether a caption that came when asked again follows its box, follows another, or cannot be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from regioncap.audit.likeness import Likeness, Yardstick
from regioncap.audit.rows import Asking, AuditedRow, is_caption
from regioncap.output.caption_flags import refuses

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


def pairs_of(index: int, row: AuditedRow, arm: Asking, likeness: Likeness, yardstick: Yardstick) -> Iterator[Pair]:
    """The verdicts on a row in an arm: none for a box whose caption is missing there or in the output.

    The arm's caption is compared with the output's captions of all boxes of the row. It is undecided if it belongs to
    none of them with `CERTAINTY`; if it belongs to a box that is alike to its own; and if it belongs to its own, but
    another box is alike, since the same words would fit that one. A caption that was mixed up leaves the box that it
    belongs to without its own: if the arm has a caption that is nearer to that box, it is undecided. A refusal
    describes nothing: it is undecided too.
    """
    alike = yardstick.alike_boxes(likeness)
    similarities = likeness.again[arm]
    chances = yardstick.chances(similarities)
    nearest_here = similarities.max(axis=0)
    for box, (first, again) in enumerate(zip(row.first, row.of(arm), strict=True)):
        if not is_caption(first) or not is_caption(again):
            continue
        nearest = int(chances[box].argmax())
        chance = float(chances[box, nearest])
        if nearest == box:
            ambiguous = alike[box].any()
        else:
            ambiguous = alike[box, nearest] or similarities[box, nearest] < nearest_here[nearest]
        if chance < CERTAINTY or ambiguous or refuses(first) or refuses(again):
            yield Pair(index, box, arm, "undecided", None, chance)
        elif nearest == box:
            yield Pair(index, box, arm, "follows", None, chance)
        else:
            yield Pair(index, box, arm, "follows_another", nearest, chance)
