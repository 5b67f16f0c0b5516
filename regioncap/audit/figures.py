"""The figures of an audit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from regioncap.audit.intervals import Share, share_of
from regioncap.audit.rows import ARMS, Arm, AuditedRow
from regioncap.audit.verdicts import VERDICTS, Pair, Verdict, likeness_of, pairs_of, threshold_of
from regioncap.audit.wording import Wording


@dataclass(frozen=True)
class Audit:
    """What came of an audit.

    `rows`: the audited rows. `pairs`: a verdict for each row, box and arm with both captions. `missing`: pairs that
    lack one. `threshold`: the margin that a verdict needs, in similarity, 0..1. `consistent`: share of all pairs that
    follow their box. `arms`: the same for each arm. `seed`: of the bootstrap.
    """

    rows: Sequence[AuditedRow] = field(repr=False)
    pairs: Sequence[Pair] = field(repr=False)
    missing: int
    threshold: float
    consistent: Share
    arms: dict[Arm, Share]
    seed: int

    def count(self, verdict: Verdict, arm: Arm | None = None) -> int:
        """Number of pairs with this verdict."""
        return sum(pair.verdict == verdict and arm in (None, pair.arm) for pair in self.pairs)

    @property
    def inconsistent(self) -> list[Pair]:
        """The pairs that follow another box."""
        return [pair for pair in self.pairs if pair.verdict == "follows_another"]

    @property
    def single_asking_errors(self) -> float | None:
        """Share of captions on another region that one asking gives, if two disagree when either erred.

        With errors of two askings independent, equally frequent and never alike: consistent = (1 - errors)^2.
        """
        return None if self.consistent.share is None else 1 - math.sqrt(self.consistent.share)

    def as_json(self) -> dict[str, Any]:
        """What `out.audit.json` holds."""
        return {
            "seed": self.seed,
            "threshold": self.threshold,
            "consistent": self.consistent.as_json(),
            "arms": {arm: share.as_json() for arm, share in self.arms.items()},
            **{verdict: self.count(verdict) for verdict in VERDICTS},
            "missing": self.missing,
            "single_asking_errors": self.single_asking_errors,
            "inconsistent": [self._described(pair) for pair in self.inconsistent],
        }

    def _described(self, pair: Pair) -> dict[str, Any]:
        row = self.rows[pair.row]
        return {
            "row": row.number,
            "image": row.image,
            "image_sha256": row.image_sha256,
            "box": pair.box,
            "bbox": list(row.bbox[pair.box]),
            "caption": row.first[pair.box],
            "arm": pair.arm,
            "again": row.of_arm(pair.arm)[pair.box],
            "another": pair.another,
        }


def measure(rows: Iterable[AuditedRow], *, seed: int) -> Audit:
    """How far captions follow their boxes. Rows with fewer than two boxes have nothing to confuse and do not count."""
    audited = [row for row in rows if len(row.bbox) > 1]
    every = [(row.first, row.control, *map(row.of_arm, ARMS)) for row in audited]
    wording = Wording(caption for askings in every for captions in askings for caption in captions if caption)
    likeness = [likeness_of(row, wording) for row in audited]
    threshold = threshold_of(audited, likeness)
    pairs = [
        pair
        for index, (row, one) in enumerate(zip(audited, likeness, strict=True))
        for pair in pairs_of(index, row, one, threshold)
    ]
    missing = len(ARMS) * sum(len(row.bbox) for row in audited) - len(pairs)
    by_arm = {arm: _consistent([pair for pair in pairs if pair.arm == arm], len(audited), seed) for arm in ARMS}
    return Audit(audited, pairs, missing, threshold, _consistent(pairs, len(audited), seed), by_arm, seed)


def _consistent(pairs: Sequence[Pair], rows: int, seed: int) -> Share:
    counts = np.bincount([pair.row for pair in pairs], minlength=rows).astype(float)
    follows = np.bincount([pair.row for pair in pairs if pair.verdict == "follows"], minlength=rows).astype(float)
    return share_of(follows, counts, seed)
