"""What a run has read, requested and used up to now, counted from many threads."""

from __future__ import annotations

import copy
import datetime as dt
import threading
import time
from dataclasses import asdict

from pydantic import BaseModel, ConfigDict, Field

from regioncap.records import Counts


class Bill(BaseModel):
    """What one run requested and used; added to `out.runs.jsonl` by every run, stopped ones too."""

    model_config = ConfigDict(extra="ignore")

    regions_asked: int = 0
    """Pictures that a model was asked for the regions of; in no count of captions."""
    captions_asked: int = 0
    """Regions that were sent to the captioner in this run."""
    captions_new: int = 0
    """Of those, the ones that came back with a caption."""
    captions_repaired: int = 0
    """Of the new ones, those that came only when requested again."""
    captions_audited: int = 0
    """Captions that came for an audit, which requests them once more in several ways; they are in no count above."""
    requests: int = 0
    """Requests sent to model servers, including failed ones and probes."""
    requests_retried: int = 0
    """Requests sent again because the server failed or was overloaded."""
    finish_reasons: dict[str, int] = Field(default_factory=dict)
    """Answers by their finish reason, in the server's word: `stop`, `length`, …"""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    batch_prompt_tokens: int = 0
    """Of the prompt tokens, those of a provider's batches."""
    batch_completion_tokens: int = 0
    """Of the completion tokens, those of a provider's batches."""
    answers_without_usage: int = 0
    """Answers whose tokens the server did not count: they are estimated."""
    usd: float | None = None
    """Cost of the tokens, where the config has prices."""
    step_seconds: dict[str, float] = Field(default_factory=dict)
    """Wall seconds inside each step's body, summed over shards; cached steps take none."""
    wall_seconds: float = 0.0
    started_at: str = ""
    finished_at: str = ""


class Progress:
    """How far a run is and what it has used, added to from many threads."""

    def __init__(self, prices: tuple[float, float] | None = None, batch_price: float = 1.0) -> None:
        self._prices = prices
        """US dollars per million prompt tokens, and per million completion tokens."""
        self._batch_price = batch_price
        """What a token costs in a batch, as a share of its price."""
        self.waiting_for: tuple[float, str] | None = None
        """What the run waits for before it goes on: how far that is, percent 0..100, and in words."""
        self._lock = threading.Lock()
        self._begun = time.perf_counter()
        self.started_at = _now()
        self.counts = Counts()
        self._rows_read = 0
        """Rows of the shards that were read from the input."""
        self._share_read = 0.0
        """Share of the input, 0..1, that those shards make up."""

    def read(self, rows: int, share: float) -> None:
        """A shard was read: `rows`, and the share of the input, 0..1, that they make up."""
        with self._lock:
            self._rows_read += rows
            self._share_read = min(1.0, self._share_read + share)

    def add(self, counts: Counts) -> None:
        """Add to the run's counts."""
        with self._lock:
            self.counts.add(counts)

    def snapshot(self) -> Counts:
        """A copy of the counts up to now, for another process to add to its own."""
        with self._lock:
            return copy.deepcopy(self.counts)

    def rows_expected(self) -> int:
        """Estimate of the rows in the whole input, from what was read of it; 0 before anything was."""
        return round(self._rows_read / self._share_read) if self._share_read else 0

    def bill(self) -> Bill:
        """What the run has requested and used up to now."""
        bill = Bill.model_validate(asdict(self.snapshot()))
        bill.finish_reasons = dict(sorted(bill.finish_reasons.items()))
        bill.step_seconds = {step: round(seconds, 3) for step, seconds in bill.step_seconds.items()}
        bill.wall_seconds = round(time.perf_counter() - self._begun, 3)
        bill.started_at, bill.finished_at = self.started_at, _now()
        if self._prices is not None:
            less = 1 - self._batch_price
            prompt = bill.prompt_tokens - less * bill.batch_prompt_tokens
            completion = bill.completion_tokens - less * bill.batch_completion_tokens
            bill.usd = round((prompt * self._prices[0] + completion * self._prices[1]) / 1e6, 6)
        return bill


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
