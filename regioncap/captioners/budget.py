"""What a run may spend, and what it has spent."""

from __future__ import annotations

from collections.abc import Callable

from regioncap.captioners.chat import ChatResponse
from regioncap.config.model import RegionCapConfig
from regioncap.records import Counts


class Budget:
    """Counts requests and tokens against the run's limits. Used on the session's event loop only.

    `max_requests`, `max_usd`: None for no limit. `prices`: US dollars for a million prompt and completion tokens.
    `count`: adds to the run's counts, by name.
    """

    def __init__(
        self,
        count: Callable[[Counts], None],
        *,
        max_requests: int | None = None,
        max_usd: float | None = None,
        prices: tuple[float, float] | None = None,
    ) -> None:
        self._count = count
        self._max_requests = max_requests
        self._max_usd = max_usd
        self._prices = prices or (0.0, 0.0)
        self._spent = Counts()
        self.reserved = 0
        """Requests that were given a slot, or sent to try an endpoint out."""
        self.answered = 0

    @classmethod
    def of(cls, config: RegionCapConfig, count: Callable[[Counts], None]) -> Budget:
        """The budget of `config`."""
        return cls(count, max_requests=config.max_requests, max_usd=config.max_usd, prices=config.prices)

    @property
    def usd(self) -> float:
        """What the answers so far cost, in US dollars."""
        price_in, price_out = self._prices
        return (self._spent.prompt_tokens * price_in + self._spent.completion_tokens * price_out) / 1e6

    def exceeded_by(self, in_flight: int) -> str | None:
        """Which limit one more request beside `in_flight` others would exceed; None when there is room.

        Requests in flight are taken to cost what those answered did on average.
        """
        if self._max_requests is not None and self.reserved >= self._max_requests:
            return f"max_requests={self._max_requests:,} is reached"
        if self._max_usd is not None:
            spent = self.usd
            if spent + (in_flight + 1) * spent / max(1, self.answered) > self._max_usd:
                return f"max_usd={self._max_usd:g} is reached: {spent:.4f} US dollars were spent"
        return None

    def reserve(self) -> None:
        """A request is about to be made."""
        self.reserved += 1

    def record_request(self) -> None:
        """A request is sent."""
        self._count(Counts(requests=1))

    def record_retry(self) -> None:
        """A request failed and will be sent again."""
        self._count(Counts(requests_retried=1))

    def record_response(self, response: ChatResponse) -> None:
        """A request was answered."""
        counts = Counts(
            prompt_tokens=response.prompt_tokens,
            completion_tokens=response.completion_tokens,
            finish_reasons={response.finish_reason or "unknown": 1},
        )
        self._spent.add(counts)
        self.answered += 1
        self._count(counts)
