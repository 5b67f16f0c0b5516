"""What batches may cost: known only when they are done, so it is estimated before they are submitted."""

from __future__ import annotations

from collections.abc import Sequence

from regioncap.captioners.budget import TOKENS_PER_CAPTION, estimated_tokens
from regioncap.captioners.chat import ChatRequest
from regioncap.run.context import RunContext


class BatchLimits:
    """The run's `max_requests` and `max_usd`, against what it has used and what its batches will use, by estimate:
    tokens as `regioncap plan` counts them."""

    def __init__(self, context: RunContext, *, used: bool = True) -> None:
        """`used`: count what the run has used so far."""
        self._config = context.config
        bill = context.progress.bill()
        self._requests = bill.requests if used else 0
        self._usd = (bill.usd or 0.0) if used else 0.0
        self.reached = ""
        """Which limit the next requests would exceed, in words; "" for none."""

    def take(self, requests: Sequence[ChatRequest]) -> bool:
        """Count the requests of a row, if there is room for them. After one that there is none for, none is taken."""
        config = self._config
        wanted = self._requests + len(requests)
        usd = self._usd + (self._price_of(requests) if config.max_usd is not None else 0.0)
        if config.max_requests is not None and wanted > config.max_requests:
            self.reached = self.reached or f"max_requests={config.max_requests:,} is reached"
        if config.max_usd is not None and usd > config.max_usd:
            self.reached = self.reached or (
                f"max_usd={config.max_usd:g} is reached, by estimate: {self._usd:.4f} US dollars with what is submitted"
            )
        if self.reached:
            return False
        self._requests, self._usd = wanted, usd
        return True

    def _price_of(self, requests: Sequence[ChatRequest]) -> float:
        price_in, price_out = self._config.prices or (0.0, 0.0)
        prompt = sum(map(estimated_tokens, requests))
        completion = TOKENS_PER_CAPTION * sum(len(request.wanted) for request in requests)
        return self._config.batch_price * (prompt * price_in + completion * price_out) / 1e6
