"""How the fake server acts, and what it counts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from regioncap.captioners.fake_model import CaptionOf, caption_of

FAULTS = {
    "500": "an internal error",
    "429": "too many requests, with Retry-After",
    "503": "unavailable",
    "hang": "no answer until the client gives up",
    "cut": "the connection is closed in the middle of the answer",
    "truncated": "half of the JSON, as if it were all",
    "garbage": "a page of HTML with status 200",
    "missing": "one region is left out",
    "extra": "one region too many",
    "reordered": "the regions backwards",
    "length": "the answer ends at max_tokens",
    "refusal": "the model declines",
}
"""What it can do wrong, each with a share of the requests."""


@dataclass
class Stats:
    """What was asked. Times in seconds."""

    requests: int = 0
    answered: int = 0
    sent_again: int = 0
    sent_again_after_answer: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    running: int = 0
    waiting: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    seen: dict[str, bool] = field(default_factory=dict, repr=False)
    """Digest of each request, and whether it was answered."""
    first_at: float | None = None
    """When the first request came."""
    first_regions_at: float | None = None
    """When the first request came that asks for regions: before it come those that try the server out."""
    last_at: float = 0.0
    busy_seconds: float = 0.0
    """Summed over slots, from `first_regions_at` on."""

    def record_request(self, digest: str) -> None:
        """A request came."""
        self.first_at = time.time() if self.first_at is None else self.first_at
        self.requests += 1
        if digest in self.seen:
            self.sent_again += 1
            self.sent_again_after_answer += self.seen[digest]
        self.seen.setdefault(digest, False)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)

    def record_answer(self, digest: str) -> None:
        """A request is answered as it should be, or with a fault that changes only the text."""
        self.answered += 1
        self.seen[digest] = True

    def public(self, slots: int) -> dict[str, Any]:
        """The numbers, for `GET /stats`. `busy_share`: of the slots, between the first request for regions and the
        last answer, which are `seconds` apart. `first_at`, `first_regions_at`: seconds since 1970."""
        span = self.last_at - self.first_regions_at if self.first_regions_at is not None else 0.0
        share = self.busy_seconds / (span * slots) if span > 0 else 0.0
        names = ("requests", "answered", "sent_again", "sent_again_after_answer", "peak_in_flight")
        return {
            **{name: getattr(self, name) for name in names},
            "distinct": len(self.seen),
            "faults": dict(self.faults),
            "first_at": self.first_at,
            "first_regions_at": self.first_regions_at,
            "seconds": round(span, 3),
            "busy_share": round(share, 4),
        }


@dataclass(frozen=True)
class ScriptedResponse:
    """What the server answers in place of its own answer: `body` as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Script = Callable[[Mapping[str, Any]], ScriptedResponse | None]
"""Given the body of a request, the response to it; None for the usual one."""


@dataclass(frozen=True)
class Behaviour:
    """How the server acts.

    `latency`: seconds a request takes in a slot. `faults`: share of the requests by name, see `FAULTS`. `structure`:
    which of `regex` and `json_schema` it enforces; `none` for none. `max_model_len`: tokens of picture, prompt and
    answer, more are refused. `max_waiting`: answer 429 when this many requests are queued. `retry_after`: what a 429
    asks for, seconds. `key`: required of clients. `metrics`: whether it reports its queue. `caption`: what the model
    says. `script`: see `Script`; its responses are not counted as answers.
    """

    model: str = "fake-vlm"
    slots: int = 32
    latency: float = 0.8
    faults: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    structure: tuple[str, ...] = ("regex", "json_schema")
    max_model_len: int = 32_768
    max_waiting: int | None = None
    retry_after: float = 1.0
    key: str | None = None
    metrics: bool = True
    caption: CaptionOf = caption_of
    script: Script | None = None


def draw_fault(faults: Mapping[str, float], drawn: float) -> str:
    """The fault that a number from 0 to 1 stands for, by the shares in `faults`; "" for none.

    >>> draw_fault({"500": 0.1, "429": 0.1}, 0.15), draw_fault({"500": 0.1}, 0.9)
    ('429', '')
    """
    for name, share in faults.items():
        drawn -= share
        if drawn < 0:
            return name
    return ""
