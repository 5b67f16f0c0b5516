"""What the fake server counts: what it was asked, and what its answers cost."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from regioncap.captioners.fake.batch_stats import BatchStats
from regioncap.captioners.fake.bill import Bill


class Repeat(NamedTuple):
    """A request that was answered before and came again. `digest`: which it is. Seconds since 1970."""

    digest: str
    answered_at: float
    repeated_at: float


@dataclass
class Stats:
    """What was asked. Times in seconds.

    `billed`: every answer that the model made, whatever became of it. `unseen`: those of them whose tokens the client
    could not read: the connection was closed before, or what came was no whole answer.
    """

    requests: int = 0
    for_regions: int = 0
    """Of those, all that ask for regions and do not try the server out."""
    for_boxes: int = 0
    """Those that ask for boxes."""
    answered: int = 0
    sent_again: int = 0
    sent_again_after_answer: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    running: int = 0
    waiting: int = 0
    billed: Bill = field(default_factory=Bill)
    unseen: Bill = field(default_factory=Bill)
    faults: Counter[str] = field(default_factory=Counter)
    batches: BatchStats = field(default_factory=BatchStats)
    answered_at: dict[str, float | None] = field(default_factory=dict, repr=False)
    """Digest of each request, and when it was answered last, to a client that was still there; None if never."""
    repeats: list[Repeat] = field(default_factory=list, repr=False)
    paid: Counter[str] = field(default_factory=Counter, repr=False)
    """By digest: how often a request was answered and billed, online and in batches."""
    trials: set[str] = field(default_factory=set, repr=False)
    """Digests of the requests that tried the server out."""
    first_at: float | None = None
    """When the first request came."""
    first_regions_at: float | None = None
    """When the first request came that asks for regions or boxes: before it come those that try the server out."""
    last_at: float = 0.0
    busy_seconds: float = 0.0
    """Summed over slots, from `first_regions_at` on."""

    def record_request(self, digest: str) -> None:
        """A request came."""
        self.first_at = time.time() if self.first_at is None else self.first_at
        self.requests += 1
        if digest in self.answered_at:
            self.sent_again += 1
            answered_at = self.answered_at[digest]
            if answered_at is not None:
                self.sent_again_after_answer += 1
                self.repeats.append(Repeat(digest, answered_at, time.time()))
        self.answered_at.setdefault(digest, None)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)

    def record_regions(self) -> None:
        """The request asks for regions."""
        self.for_regions += 1
        self.first_regions_at = time.time() if self.first_regions_at is None else self.first_regions_at

    def record_boxes(self) -> None:
        """The request asks for boxes."""
        self.for_boxes += 1
        self.first_regions_at = time.time() if self.first_regions_at is None else self.first_regions_at

    def record_answer(self, digest: str, *, seen: bool) -> None:
        """A request is answered as it should be, or with a fault that changes only the text. `seen`: its client is
        there."""
        self.answered += 1
        if seen:
            self.answered_at[digest] = time.time()

    def record_cost(self, digest: str, prompt_tokens: int, completion_tokens: int, *, seen: bool) -> None:
        """An answer was made. `seen`: the client can read what it cost."""
        self.paid[digest] += 1
        for bill in (self.billed, *([] if seen else [self.unseen])):
            bill.add(prompt_tokens, completion_tokens)

    def public(self, slots: int) -> dict[str, Any]:
        """The numbers, for `GET /stats`. `busy_share`: of the slots, between the first request for regions or boxes and
        the last answer, which are `seconds` apart. `paid_twice`: requests billed more than once, online or in batches.
        `first_at`, `first_regions_at`: seconds since 1970."""
        span = self.last_at - self.first_regions_at if self.first_regions_at is not None else 0.0
        share = self.busy_seconds / (span * slots) if span > 0 else 0.0
        names = (
            "requests",
            "for_regions",
            "for_boxes",
            "answered",
            "sent_again",
            "sent_again_after_answer",
            "peak_in_flight",
        )
        return {
            **{name: getattr(self, name) for name in names},
            "distinct": len(self.answered_at),
            "paid_twice": sum(count > 1 for count in self.paid.values()),
            "faults": dict(self.faults),
            "billed": asdict(self.billed),
            "unseen": asdict(self.unseen),
            "batches": self.batches.public(),
            "first_at": self.first_at,
            "first_regions_at": self.first_regions_at,
            "seconds": round(span, 3),
            "busy_share": round(share, 4),
        }
