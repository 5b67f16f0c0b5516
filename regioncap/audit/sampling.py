"""Which rows of an output an audit asks about: an even sample, by what is in the rows, whatever their order."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable
from dataclasses import dataclass

from regioncap.output.reading import Captioned
from regioncap.records import dumps


@dataclass(frozen=True)
class Sample:
    """`rows`: those chosen, in the output's order. `eligible`: how many have two or more regions; only these have
    numbers to mix up. `others`: how many have fewer."""

    rows: list[Captioned]
    eligible: int
    others: int


def sample_of(rows: Iterable[Captioned], count: int, seed: int) -> Sample:
    """At most `count` of the rows with two or more regions. Rows with the same image and boxes are chosen once: their
    answers are the same. Memory depends on `count` alone."""
    chosen: list[tuple[float, int, Captioned]] = []
    ranks: set[float] = set()
    eligible = others = 0
    for row in rows:
        if len(row.bbox) < 2:
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
