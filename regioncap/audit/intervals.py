"""A share of pairs with its interval, by bootstrap over rows.

The regions of a row are not independent: a picture that confuses the model confuses it about several. So rows are what
is drawn, with all their pairs.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from regioncap.audit.wording import FloatArray

DRAWS = 1000
Z = 1.959963984540054
"""Of a 95 % interval."""


@dataclass(frozen=True)
class Share:
    """A share of pairs, 0..1, with its 95 % interval; None where there is nothing to tell. `pairs`, `rows`: how many
    it rests on."""

    share: float | None
    low: float | None
    high: float | None
    pairs: int
    rows: int

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def share_of(hits: FloatArray, pairs: FloatArray, seed: int, least_rows: int = 1) -> Share:
    """The share of `hits` among `pairs`, both (rows,): numbers of pairs of each row.

    Wilson's score interval, with the number of independent pairs that would vary as the bootstrap over rows does.
    Rows without pairs do not count.
    """
    hits, pairs = hits[pairs > 0], pairs[pairs > 0]
    rows, total = len(pairs), float(pairs.sum())
    if rows < max(least_rows, 1):
        return Share(None, None, None, int(total), rows)
    share = float(hits.sum() / total)
    independent = _independent_pairs(hits, pairs, share, seed)
    centre = (share + Z**2 / (2 * independent)) / (1 + Z**2 / independent)
    half = Z / (1 + Z**2 / independent) * math.sqrt(share * (1 - share) / independent + (Z / (2 * independent)) ** 2)
    return Share(share, max(0.0, centre - half), min(1.0, centre + half), int(total), rows)


def _independent_pairs(hits: FloatArray, pairs: FloatArray, share: float, seed: int) -> float:
    rows, total = len(pairs), float(pairs.sum())
    drawn = np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), size=DRAWS)
    variance = float(np.var((drawn @ hits) / (drawn @ pairs)))
    if variance == 0:  # all rows alike: as if the pairs of a row always went together
        return float(rows)
    return min(total, share * (1 - share) / variance)
