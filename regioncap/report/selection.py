"""Selects the rows to show when an output has more than a page can hold, and counts over all of them.

Selected are examples of every reject code and every flag, the extremes, and an even sample of the rest. Memory
depends on the number of rows shown, not on the size of the output.
"""

from __future__ import annotations

import heapq
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from regioncap.output.reading import Captioned
from regioncap.report.source import NOT_YET


@dataclass
class Overview:
    """Counts over all rows. `histogram`: pictures by number of regions.

    `waiting`: rows of an unfinished run that are not done yet; `not_begun`: those of which nothing can be shown.
    """

    rows: int = 0
    rejects: int = 0
    waiting: int = 0
    not_begun: int = 0
    regions: int = 0
    flagged: int = 0
    words: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    histogram: Counter[int] = field(default_factory=Counter)

    def add(self, row: Captioned) -> None:
        """Count what a captioned row holds."""
        self.regions += len(row.bbox)
        self.flagged += sum(map(bool, row.flags))
        self.words += sum(len(caption.split()) for caption in row.captions)
        self.kinds[row.kind] += 1
        self.histogram[len(row.bbox)] += 1
        for names in row.flags:
            self.flags.update(names)
        self.dropped.update(str(drop.get("reason")) for drop in row.meta.get("dropped_bbox", ()))

    def add_reject(self, code: str) -> None:
        """Count a row without captions."""
        if code == NOT_YET:
            self.waiting += 1
        else:
            self.rejects += 1
            self.codes[code] += 1

    @property
    def all(self) -> int:
        """Rows, captioned or not."""
        return self.shown + self.not_begun

    @property
    def shown(self) -> int:
        """Rows that a page can show."""
        return self.rows + self.rejects + self.waiting


@dataclass
class Picked:
    """Positions, from 1, of the captioned rows and of the rejects to show."""

    rows: set[int]
    rejects: set[int]
    everything: bool


class Reservoirs:
    """The `size` best rows of each group. Without a rank, an even sample: by hash, so that it is stable."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._heaps: defaultdict[str, list[tuple[Any, int]]] = defaultdict(list)

    def offer(self, group: str, number: int, rank: float | None = None) -> None:
        """Offer row `number` as a member of `group`; higher ranks win."""
        heap = self._heaps[group]
        item = (zlib.crc32(b"%d" % number) if rank is None else rank, -number)
        if len(heap) < self._size:
            heapq.heappush(heap, item)
        elif item > heap[0]:
            heapq.heapreplace(heap, item)

    def numbers(self) -> set[int]:
        """The numbers of all rows kept."""
        return {-number for heap in self._heaps.values() for _, number in heap}


def sample_row(special: Reservoirs, row: Captioned, number: int) -> None:
    """Offer a row, as `number`, to every group that it belongs to."""
    for name in {name for names in row.flags for name in names}:
        special.offer(f"flag {name}", number)
    lengths = [len(caption) for caption in row.captions]
    special.offer("most regions", number, len(row.bbox))
    special.offer("longest caption", number, max(lengths, default=0))
    special.offer("shortest caption", number, -min(lengths, default=0))
    area = max(1, row.width * row.height)
    shares = (float(w) * float(h) / area for _, _, w, h in row.bbox)
    special.offer("smallest region", number, -min(shares, default=1.0))
    if row.meta.get("dropped_bbox"):
        special.offer("dropped boxes", number)


def pick(found: Overview, special: set[int], rejected: set[int], most: int) -> Picked:
    """All rows if there are at most `most`; else the special ones and an even sample of the rest."""
    if found.shown <= most:
        rejected = set(range(1, found.rejects + found.waiting + 1))
        return Picked(set(range(1, found.rows + 1)), rejected, True)
    rejects = set(sorted(rejected)[:most])
    rows = set(sorted(special)[: most - len(rejects)])
    return Picked(rows | evenly_spaced(found.rows, rows, most - len(rejects) - len(rows)), rejects, False)


def evenly_spaced(count: int, taken: set[int], most: int) -> set[int]:
    """At most `most` of the numbers 1 to `count` that are not `taken`, evenly spaced.

    >>> sorted(evenly_spaced(10, {1, 2}, 4))
    [3, 5, 7, 9]
    """
    others = count - len(taken)
    before = iter([*sorted(taken), count + 1])
    next_taken, passed, found = next(before), 0, set()
    for place in range(min(most, others)):
        number = 1 + place * others // min(most, others) + passed
        while next_taken <= number:
            passed, number, next_taken = passed + 1, number + 1, next(before)
        found.add(number)
    return found
