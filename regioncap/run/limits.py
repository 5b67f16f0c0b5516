"""What is left of a run's limits: they hold for all captioners that a run makes, one after the other."""

from __future__ import annotations

from typing import Any

from regioncap.config.model import RegionCapConfig
from regioncap.run.progress import Bill


def left_of_limits(config: RegionCapConfig, *bills: Bill) -> RegionCapConfig:
    """`config` with what `bills` have left of `max_requests` and `max_usd`; 0 or less where nothing is."""
    left: dict[str, Any] = {}
    if config.max_requests is not None and (requests := sum(bill.requests for bill in bills)):
        left["max_requests"] = config.max_requests - requests
    if config.max_usd is not None and (usd := sum(bill.usd or 0.0 for bill in bills)):
        left["max_usd"] = config.max_usd - usd
    return config.model_copy(update=left) if left else config
