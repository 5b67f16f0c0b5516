"""The figures of an audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from regioncap.audit.groups import GROUPINGS, GROUPS, Grouping, groups_of
from regioncap.audit.intervals import Bootstrap, Share
from regioncap.audit.judgements import Judgements
from regioncap.audit.likeness import BoolArray, Wordings, Yardstick, likeness_of
from regioncap.audit.rows import AGAIN, ARMS, Arm, AuditedRow, is_caption
from regioncap.audit.single_asking import SingleAsking, single_asking
from regioncap.audit.verdicts import VERDICTS, Pair, Verdict, pairs_of
from regioncap.audit.wording import Wording

MIN_GROUP_ROWS, MIN_GROUP_PAIRS = 10, 30
"""With fewer a group has its numbers, but no share."""


@dataclass(frozen=True)
class Audit:
    """What came of an audit.

    `rows`: the audited rows, those with two regions or more. `pairs`: a verdict for each row, box and arm that has both
    captions. `control`: the same for the control. `missing`: the number of pairs of the arms that lack a caption; an
    arm that was not asked at all lacks none. `yardstick`: what similarities mean here. `seed`: of the bootstrap.
    """

    rows: Sequence[AuditedRow] = field(repr=False)
    pairs: Sequence[Pair] = field(repr=False)
    control: Sequence[Pair] = field(repr=False)
    missing: int
    yardstick: Yardstick
    seed: int
    judgements: Judgements = field(repr=False)

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
        return self._consistent(self._in_arms)

    @cached_property
    def at_most(self) -> Share:
        """The share of all pairs that follow their box if all undecided ones do."""
        return self.judgements.share(~self.judgements.follows_another, self._in_arms, self._in_arms)

    @cached_property
    def arms(self) -> dict[Arm, Share]:
        """The consistent share of each arm."""
        return {arm: self._consistent(self.judgements.askings == arm) for arm in ARMS}

    @cached_property
    def repeated(self) -> Share:
        """The consistent share of the control: how far captions follow their boxes when nothing is changed."""
        return self._consistent(self.judgements.askings == "control")

    @cached_property
    def groups(self) -> dict[Grouping, dict[str, Share]]:
        """The consistent share by the groups of `GROUPS`; groups without pairs are left out."""
        of_rows = [groups_of(row) for row in self.rows]
        pairs = list(zip(self.judgements.rows.tolist(), self.judgements.boxes.tolist(), strict=True))
        found: dict[Grouping, dict[str, Share]] = {}
        for grouping in GROUPINGS:
            names = np.array([of_rows[row][grouping][box] for row, box in pairs])
            shares = {
                name: self._consistent(
                    self._in_arms & (names == name), min_rows=MIN_GROUP_ROWS, min_pairs=MIN_GROUP_PAIRS
                )
                for name in GROUPS[grouping]
            }
            found[grouping] = {name: share for name, share in shares.items() if share.pairs}
        return found

    @cached_property
    def single_asking(self) -> SingleAsking | None:
        """What the decided pairs say about one asking; of the arm in which more of them disagree, since what a model
        confuses by number alone shows in one of them only."""
        of_arms = (self._single_asking(arm) for arm in ARMS)
        return max(filter(None, of_arms), key=lambda one: one.at_least, default=None)

    @property
    def single_asking_errors(self) -> float | None:
        """Share of captions on another box in one asking; see `SingleAsking`."""
        return None if self.single_asking is None else self.single_asking.errors

    def as_json(self) -> dict[str, Any]:
        """What `out.audit.json` holds of it; docs/audit.md describes it."""
        of_arms = {arm: [pair for pair in self.pairs if pair.arm == arm] for arm in ARMS}
        return {
            "seed": self.seed,
            "consistent": self.consistent.as_json(),
            "at_most": self.at_most.as_json(),
            **_counts(self.pairs),
            "missing": self.missing,
            "arms": {arm: share.as_json() | _counts(of_arms[arm]) for arm, share in self.arms.items()},
            "control": self.repeated.as_json() | _counts(self.control),
            "single_asking": None if self.single_asking is None else self.single_asking.as_json(),
            "groups": {
                grouping: [{"group": name, **share.as_json()} for name, share in shares.items()]
                for grouping, shares in self.groups.items()
            },
            "alike": self.yardstick.alike,
            "inconsistent": [self._described(pair) for pair in self.inconsistent],
        }

    @cached_property
    def _in_arms(self) -> BoolArray:
        in_arms: BoolArray = self.judgements.askings != "control"
        return in_arms

    def _consistent(self, chosen: BoolArray, *, min_rows: int = 1, min_pairs: int = 1) -> Share:
        return self.judgements.share(self.judgements.follows, chosen, chosen, min_rows=min_rows, min_pairs=min_pairs)

    def _single_asking(self, arm: Arm) -> SingleAsking | None:
        of_arm = self.judgements.askings == arm
        agreement = self.judgements.share(self.judgements.follows, self.judgements.decided, of_arm)
        regions = [
            len(self.rows[pair.row].bbox) for pair in self.pairs if pair.arm == arm and pair.verdict != "undecided"
        ]
        return single_asking(agreement, regions, arm)

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


def _counts(pairs: Sequence[Pair]) -> dict[str, int]:
    counts = Counter(pair.verdict for pair in pairs)
    return {verdict: counts[verdict] for verdict in VERDICTS}


def measure(rows: Iterable[AuditedRow], *, seed: int) -> Audit:
    """How far captions follow their boxes. Rows with fewer than two boxes have nothing to confuse and do not count."""
    audited = [row for row in rows if len(row.bbox) > 1]
    askings = [asked for row in audited for asked in (row.first, *map(row.of, AGAIN))]
    wording = Wording(caption for asked in askings for caption in asked if is_caption(caption))
    likeness = [likeness_of(row, wording) for row in audited]
    bootstrap = Bootstrap(len(audited), Wordings(likeness), seed)
    yardstick = Yardstick(float(bootstrap.nodes[bootstrap.own]))
    pairs = {
        asking: [pair for index, row in enumerate(likeness) for pair in pairs_of(index, asking, row, yardstick)]
        for asking in AGAIN
    }
    of_arms = [pair for arm in ARMS for pair in pairs[arm]]
    asked_arms = [arm for arm in ARMS if any(is_caption(caption) for row in audited for caption in row.of(arm))]
    missing = len(asked_arms) * sum(len(row.bbox) for row in audited) - len(of_arms)
    judgements = Judgements.of(likeness, bootstrap)
    return Audit(audited, of_arms, pairs["control"], missing, yardstick, seed, judgements)
