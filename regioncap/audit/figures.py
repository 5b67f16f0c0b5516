"""The figures of an audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from regioncap.audit.groups import GROUPINGS, GROUPS, Grouping, groups_of
from regioncap.audit.intervals import Share, share_of
from regioncap.audit.likeness import Yardstick, likeness_of, yardstick_of
from regioncap.audit.rows import AGAIN, ARMS, Arm, Asking, AuditedRow, is_caption
from regioncap.audit.single_asking import SingleAsking, single_asking
from regioncap.audit.verdicts import VERDICTS, Pair, Verdict, pairs_of
from regioncap.audit.wording import Wording

MIN_GROUP_ROWS, MIN_GROUP_PAIRS = 10, 30
"""With fewer a group has its numbers, but no share."""


@dataclass(frozen=True)
class Audit:
    """What came of an audit.

    `rows`: the audited rows, those with two regions or more. `pairs`: a verdict for each row, box and arm that has both
    captions. `missing`: the number of pairs that lack one; arms that were not asked at all do not count. `control`: the
    verdicts on the control. `yardstick`: what similarities mean here. `seed`: of the bootstrap.
    """

    rows: Sequence[AuditedRow] = field(repr=False)
    pairs: Sequence[Pair] = field(repr=False)
    missing: int
    control: Sequence[Pair] = field(repr=False)
    yardstick: Yardstick
    seed: int

    def count(self, verdict: Verdict, arm: Arm | None = None) -> int:
        """Number of pairs with this verdict, in one arm or in both."""
        return sum(pair.verdict == verdict and arm in (None, pair.arm) for pair in self.pairs)

    @property
    def inconsistent(self) -> list[Pair]:
        """The pairs that follow another box."""
        return [pair for pair in self.pairs if pair.verdict == "follows_another"]

    @cached_property
    def consistent(self) -> Share:
        """The share of all pairs, undecided ones included, that were found to follow their box."""
        return self._share(self.pairs, {"follows"})

    @cached_property
    def at_most(self) -> Share:
        """The share of all pairs that follow their box if all undecided ones do."""
        return self._share(self.pairs, {"follows", "undecided"})

    @cached_property
    def arms(self) -> dict[Arm, Share]:
        """The consistent share of each arm."""
        return {arm: self._share(self._of_arm(arm), {"follows"}) for arm in ARMS}

    @cached_property
    def repeated(self) -> Share:
        """The consistent share of the control: how far captions follow their boxes when nothing is changed."""
        return self._share(self.control, {"follows"})

    @cached_property
    def groups(self) -> dict[Grouping, dict[str, Share]]:
        """The consistent share by the groups of `GROUPS`; those without pairs are left out."""
        of_rows = [groups_of(row) for row in self.rows]
        found: dict[Grouping, dict[str, Share]] = {}
        for grouping in GROUPINGS:
            members: dict[str, list[Pair]] = {name: [] for name in GROUPS[grouping]}
            for pair in self.pairs:
                members[of_rows[pair.row][grouping][pair.box]].append(pair)
            found[grouping] = {
                name: self._share(pairs, {"follows"}, MIN_GROUP_ROWS, MIN_GROUP_PAIRS)
                for name, pairs in members.items()
                if pairs
            }
        return found

    @cached_property
    def single_asking(self) -> SingleAsking | None:
        """What the decided pairs say about one asking; of the arm in which more of them disagree, since what a model
        confuses by number alone shows in one only."""
        found = []
        for arm in ARMS:
            decided = [pair for pair in self._of_arm(arm) if pair.verdict != "undecided"]
            regions = [len(self.rows[pair.row].bbox) for pair in decided]
            found.append(single_asking(self._share(decided, {"follows"}), regions, arm))
        return max(filter(None, found), key=lambda one: one.at_least, default=None)

    @property
    def single_asking_errors(self) -> float | None:
        """Share of captions on another box in one asking; see `SingleAsking`."""
        return None if self.single_asking is None else self.single_asking.errors

    def as_json(self) -> dict[str, Any]:
        """What `out.audit.json` holds; docs/audit.md describes it."""
        return {
            "seed": self.seed,
            "consistent": self.consistent.as_json(),
            "at_most": self.at_most.as_json(),
            **{verdict: self.count(verdict) for verdict in VERDICTS},
            "missing": self.missing,
            "arms": {arm: share.as_json() | self._counts(self._of_arm(arm)) for arm, share in self.arms.items()},
            "control": self.repeated.as_json() | self._counts(self.control),
            "single_asking": None if self.single_asking is None else self.single_asking.as_json(),
            "groups": {
                grouping: [{"group": name, **share.as_json()} for name, share in shares.items()]
                for grouping, shares in self.groups.items()
            },
            "yardstick": asdict(self.yardstick),
            "inconsistent": [self._described(pair) for pair in self.inconsistent],
        }

    def _of_arm(self, arm: Arm) -> list[Pair]:
        return [pair for pair in self.pairs if pair.arm == arm]

    def _counts(self, pairs: Sequence[Pair]) -> dict[str, int]:
        counts = Counter(pair.verdict for pair in pairs)
        return {verdict: counts[verdict] for verdict in VERDICTS}

    def _share(self, pairs: Sequence[Pair], hits: Collection[Verdict], min_rows: int = 1, min_pairs: int = 1) -> Share:
        of_rows = np.bincount([pair.row for pair in pairs], minlength=len(self.rows))
        found = np.bincount([pair.row for pair in pairs if pair.verdict in hits], minlength=len(self.rows))
        return share_of(found, of_rows, seed=self.seed, min_rows=min_rows, min_pairs=min_pairs)

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
            "again": row.of(pair.arm)[pair.box],
            "another": pair.another,
            "chance": round(pair.chance, 4),
        }


def measure(rows: Iterable[AuditedRow], *, seed: int) -> Audit:
    """How far captions follow their boxes. Rows with fewer than two boxes have nothing to confuse and do not count."""
    audited = [row for row in rows if len(row.bbox) > 1]
    wording = Wording(caption for row in audited for asked in _askings(row) for caption in asked if is_caption(caption))
    likeness = [likeness_of(row, wording) for row in audited]
    yardstick = yardstick_of(likeness)
    pairs: dict[Asking, list[Pair]] = {asking: [] for asking in AGAIN}
    for index, (row, alike) in enumerate(zip(audited, likeness, strict=True)):
        for asking in AGAIN:
            pairs[asking] += pairs_of(index, row, asking, alike, yardstick)
    of_arms = [pair for arm in ARMS for pair in pairs[arm]]
    asked = [arm for arm in ARMS if any(is_caption(caption) for row in audited for caption in row.of(arm))]
    missing = len(asked) * sum(len(row.bbox) for row in audited) - len(of_arms)
    return Audit(audited, of_arms, missing, pairs["control"], yardstick, seed)


def _askings(row: AuditedRow) -> list[Sequence[str | None]]:
    return [row.first, *map(row.of, AGAIN)]
