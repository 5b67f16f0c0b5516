"""What a run has read, asked for and spent up to now, counted from many threads."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import Counter, defaultdict

from pydantic import BaseModel, ConfigDict, Field

FINISH = "finish_"
"""Counts with this prefix are ends of answers: `finish_stop`, `finish_length`."""


class Bill(BaseModel):
    """What one run asked for and spent; added to `out.runs.jsonl` by every run, stopped ones too."""

    model_config = ConfigDict(extra="ignore")

    captions_asked: int = 0
    """Regions that were sent to the captioner in this run."""
    captions_new: int = 0
    """Of those, the ones that came back with a caption."""
    captions_repaired: int = 0
    """Of the new ones, those that came only when asked for again."""
    requests: int = 0
    """Requests sent to model servers, those that failed and those that tried a server out among them."""
    requests_retried: int = 0
    """Requests that had to be sent again, because the server failed or was overloaded."""
    finish_reasons: dict[str, int] = Field(default_factory=dict)
    """How answers ended, as the server says: `stop`, `length`, …"""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None
    """What the tokens cost, where the config has prices."""
    step_seconds: dict[str, float] = Field(default_factory=dict)
    """Wall seconds inside each step's body, added over shards; steps that were reused took none."""
    wall_seconds: float = 0.0
    started_at: str = ""
    finished_at: str = ""


class Progress:
    """Counts of a run, added to from many threads: `rows` and `rejects` that are done, and the fields of `Bill`."""

    def __init__(self, prices: tuple[float, float] | None = None) -> None:
        self._prices = prices
        """US dollars for a million tokens of prompts, and of answers."""
        self._lock = threading.Lock()
        self._begun = time.perf_counter()
        self.started_at = _now()
        self.counts: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.rows_read = 0
        """Rows of the shards that were taken up."""
        self.share_read = 0.0
        """Share of the input, 0..1, that those shards make up."""

    def read(self, rows: int, share: float) -> None:
        """A shard was taken up."""
        with self._lock:
            self.rows_read += rows
            self.share_read = min(1.0, self.share_read + share)

    def add(self, **numbers: int) -> None:
        """Add to counts by name: `rows`, `rejects`, `captions_asked`, …"""
        with self._lock:
            self.counts.update(numbers)

    def spent(self, step: str, seconds: float) -> None:
        """Add wall seconds that a step's body took."""
        with self._lock:
            self.seconds[step] += seconds

    def spent_on(self) -> tuple[dict[str, int], dict[str, float]]:
        """(counts by name, wall seconds by step) up to now, for another process to add to its own."""
        with self._lock:
            return dict(self.counts), dict(self.seconds)

    def rows_expected(self) -> int:
        """How many rows the input seems to have, from what was read of it."""
        return round(self.rows_read / self.share_read) if self.share_read else 0

    def bill(self) -> Bill:
        """What the run has asked for and spent up to now."""
        with self._lock:
            counts = {name: self.counts[name] for name in Bill.model_fields if name in self.counts}
            ends = {name.removeprefix(FINISH): n for name, n in sorted(self.counts.items()) if name.startswith(FINISH)}
            seconds = {name: round(spent, 3) for name, spent in self.seconds.items()}
        wall = round(time.perf_counter() - self._begun, 3)
        bill = Bill(
            **counts,
            finish_reasons=ends,
            step_seconds=seconds,
            wall_seconds=wall,
            started_at=self.started_at,
            finished_at=_now(),
        )
        if self._prices is not None:
            bill.usd = round((bill.prompt_tokens * self._prices[0] + bill.completion_tokens * self._prices[1]) / 1e6, 6)
        return bill


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
