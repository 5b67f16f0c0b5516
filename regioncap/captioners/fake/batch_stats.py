"""What the fake server's batches were asked, and what they cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from regioncap.captioners.fake.bill import Bill


@dataclass
class BatchStats:
    """Lines are counted by custom_id, and by the digest of their body: that of the same request sent online.

    `billed`: what answers cost, at a batch's price; it is in the server's bill too.
    """

    files: int = 0
    bytes: int = 0
    deleted: int = 0
    batches: int = 0
    cancelled: int = 0
    submitted: Counter[str] = field(default_factory=Counter, repr=False)
    """By custom_id: in how many batches that were taken on."""
    submitted_bodies: Counter[str] = field(default_factory=Counter, repr=False)
    answered: Counter[str] = field(default_factory=Counter, repr=False)
    """By custom_id: how often it was answered, and billed."""
    failed: Counter[str] = field(default_factory=Counter)
    """By status or code: lines in error files."""
    calls: Counter[str] = field(default_factory=Counter)
    """By call: see `batch_behaviour.CALLS`."""
    billed: Bill = field(default_factory=Bill)

    def public(self) -> dict[str, Any]:
        """The numbers. `submitted_twice`: custom_ids, and `bodies_twice`: bodies, that came more than once."""
        return {
            **{name: getattr(self, name) for name in ("files", "bytes", "deleted", "batches", "cancelled")},
            "submitted": self.submitted.total(),
            "submitted_twice": _more_than_once(self.submitted),
            "bodies_twice": _more_than_once(self.submitted_bodies),
            "answered": self.answered.total(),
            "answered_twice": _more_than_once(self.answered),
            "failed": dict(self.failed),
            "calls": dict(self.calls),
            "billed": asdict(self.billed),
        }


def _more_than_once(counts: Counter[str]) -> int:
    return sum(count > 1 for count in counts.values())
