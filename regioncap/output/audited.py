"""What a run's own audit found, as its summary has it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from regioncap.records import Row


class AuditFigures(BaseModel):
    """How far the captions of a sample of the run's rows follow their regions; see `docs/audit.md`.

    `rows`: those that were asked again; `pairs`: captions of theirs that were compared. `consistent`, `low`, `high`:
    share of pairs that follow their region, 0..1, and its 95 % interval; None where nothing could be compared.
    `follows_another`, `undecided`: numbers of pairs.
    """

    rows: int
    pairs: int
    consistent: float | None
    low: float | None
    high: float | None
    follows_another: int
    undecided: int

    @classmethod
    def of(cls, record: Row) -> AuditFigures:
        """The figures of a record as `out.audit.json` holds it."""
        share: dict[str, Any] = record["consistent"]
        return cls(
            rows=record["rows"], pairs=share["pairs"], consistent=share["share"], low=share["low"], high=share["high"],
            follows_another=record["follows_another"], undecided=record["undecided"],
        )  # fmt: skip

    def __str__(self) -> str:
        return f"{in_percent(self.consistent, self.low, self.high)} of {self.pairs:,} follow their regions"

    def problem(self, least: float | None) -> str:
        """Why this makes a run incomplete that allows no less than the share `least`, 0..1; "" where it does not."""
        if least is None or self.high is None or self.high >= least:
            return ""
        return (
            f"only {in_percent(self.consistent, self.low, self.high)} of the captions that were asked for again follow "
            f"their regions ({100 * self.undecided / max(self.pairs, 1):.1f} % are undecided): the whole interval is "
            f"below min_consistent={least:g}"
        )


def in_percent(share: float | None, low: float | None, high: float | None) -> str:
    """A share, 0..1, with its interval.

    >>> in_percent(0.914, 0.88, 0.9405)
    '91.4 % (88.0 to 94.0 %)'
    """
    if share is None or low is None or high is None:
        return "an unknown share"
    return f"{100 * share:.1f} % ({100 * low:.1f} to {100 * high:.1f} %)"
