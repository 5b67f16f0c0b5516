"""Which rows of an output an audit asks about: an even sample, by what is in the rows, whatever their order."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable
from dataclasses import dataclass

from regioncap.output.reading import Captioned
from regioncap.records import dumps

NOTHING_TO_AUDIT = "no row has two or more regions and a caption of the model's own, so there are no numbers to mix up"


@dataclass(frozen=True)
class Sample:
    """`rows`: those chosen, in the output's order. `eligible`: how many can be audited. `others`: how many cannot."""

    rows: list[Captioned]
    eligible: int
    others: int


def is_auditable(row: Captioned) -> bool:
    """Whether a row has numbers to mix up, and a caption that is the model's: without a person's decision on it."""
    return len(row.bbox) > 1 and not all(row.edited)


def sample_of(rows: Iterable[Captioned], count: int, seed: int) -> Sample:
    """At most `count` of the rows that can be audited. Rows with the same image and boxes are chosen once: their
    answers are the same. Memory depends on `count` alone."""
    chosen: list[tuple[float, int, Captioned]] = []
    ranks: set[float] = set()
    eligible = others = 0
    for row in rows:
        if not is_auditable(row):
            others += 1
            continue
        eligible += 1
        rank = -_rank(row, seed)
        if rank in ranks:
            continue
        if len(chosen) < count:
            heapq.heappush(chosen, (rank, row.number, row))
        elif rank > chosen[0][0]:
            ranks.discard(heapq.heapreplace(chosen, (rank, row.number, row))[0])
        else:
            continue
        ranks.add(rank)
    return Sample(sorted((row for _, _, row in chosen), key=lambda row: row.number), eligible, others)


def _rank(row: Captioned, seed: int) -> float:
    """0..1; by the image's bytes where the output tells their sha256, else by its name."""
    image = row.meta.get("image_sha256") or str(row.ref)
    return random.Random(f"{seed} {dumps([image, row.bbox]).decode()}").random()
