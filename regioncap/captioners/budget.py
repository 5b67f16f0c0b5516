"""What a run may spend and how fast, and what it has spent."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from regioncap.captioners.allowance import CHECK_SECONDS, HeldAllowance
from regioncap.captioners.chat import ChatRequest, ChatResponse
from regioncap.captioners.rates import RateLimit
from regioncap.config.model import RegionCapConfig
from regioncap.records import Counts
from regioncap.vision.images import Picture

PATCH = 28
"""Side of one visual token in pixels: Qwen2.5-VL's."""

CHARS_PER_TOKEN = 4
"""Of ASCII text; other scripts have about one character a token."""

MAX_PICTURE_PIXELS = 1 << 32
"""Pictures here are our own, and only their headers are read."""

TOKENS_PER_CAPTION = 45
"""Assumed as long as no answer is known: a sentence or two."""

ASSUMED_TOKENS = 1000
"""Of a request and its answer, as long as nothing was answered."""

logger = logging.getLogger("regioncap")


class Budget:
    """Counts requests and tokens against the run's limits. Used on the session's event loop only.

    `max_requests`, `max_usd`: None for no limit. `prices`: US dollars for a million prompt and completion tokens.
    `requests_per_minute`, `tokens_per_minute`: over all endpoints; None for no limit. `count`: adds to the run's
    counts, by name. `allowance`: this process's; where other processes send for the same run, it stands for all limits.
    """

    def __init__(
        self,
        count: Callable[[Counts], None],
        *,
        max_requests: int | None = None,
        max_usd: float | None = None,
        prices: tuple[float, float] | None = None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        allowance: HeldAllowance | None = None,
    ) -> None:
        self._count = count
        self._max_requests = max_requests
        self._max_usd = max_usd
        self._prices = prices or (0.0, 0.0)
        self._request_rate = RateLimit(requests_per_minute)
        self._token_rate = RateLimit(tokens_per_minute)
        self._spent = Counts()
        self._allowance = allowance or HeldAllowance()
        self.reserved = 0
        """Requests that were given a slot, or sent to try an endpoint out."""
        self.answered = 0

    @classmethod
    def of(
        cls, config: RegionCapConfig, count: Callable[[Counts], None], allowance: HeldAllowance | None = None
    ) -> Budget:
        """The budget of `config`."""
        return cls(
            count,
            max_requests=config.max_requests,
            max_usd=config.max_usd,
            prices=config.prices,
            requests_per_minute=config.requests_per_minute,
            tokens_per_minute=config.tokens_per_minute,
            allowance=allowance,
        )

    @property
    def shared(self) -> bool:
        """Whether other processes send for the same run."""
        return self._allowance.shared

    @property
    def in_flight(self) -> int:
        """Requests in flight that hold a slot, of all conversations of this process."""
        return self._allowance.in_flight

    @property
    def usd(self) -> float:
        """What the answers so far cost, in US dollars."""
        price_in, price_out = self._prices
        return (self._spent.prompt_tokens * price_in + self._spent.completion_tokens * price_out) / 1e6

    def exceeded_by(self, in_flight: int) -> str | None:
        """Which limit one more request beside `in_flight` others would exceed; None when there is room.

        Requests in flight are taken to cost what those answered did on average.
        """
        if self._allowance.shared:
            return self._allowance.over or None
        if self._max_requests is not None and self.reserved >= self._max_requests:
            return f"max_requests={self._max_requests:,} is reached"
        if self._max_usd is not None:
            spent = self.usd
            if spent + (in_flight + 1) * spent / max(1, self.answered) > self._max_usd:
                return f"max_usd={self._max_usd:g} is reached: {spent:.4f} US dollars were spent"
        return None

    def take(self, now: float, *, slot: bool = True) -> float:
        """Reserve a request at `now`, if it may be made: 0 then, else seconds until it is worth trying again.

        `slot`: whether it is in flight until `end`.
        """
        wait = self.wait(now)
        if wait <= 0 and not self._allowance.take(slot=slot):
            wait = CHECK_SECONDS
        if wait <= 0:
            self.reserve(now)
        return wait

    def end(self, *, sent: bool = True) -> None:
        """A request that was reserved came back, in whatever way; or it was not `sent` after all."""
        self._allowance.end(sent=sent)
        self.reserved -= not sent

    def wait(self, now: float) -> float:
        """Seconds until the rates allow one more request; 0 for at once. `now`: in seconds."""
        if self._allowance.shared:
            return 0.0
        return max(self._request_rate.wait(now, 1), self._token_rate.wait(now, self._expected_tokens))

    def reserve(self, now: float) -> None:
        """A request is about to be made at `now`, in seconds."""
        self.reserved += 1
        self._request_rate.record(now, 1)
        self._token_rate.record(now, self._expected_tokens)

    @property
    def _expected_tokens(self) -> float:
        """Of a request with its answer: as many as those so far had on average."""
        tokens = self._spent.prompt_tokens + self._spent.completion_tokens
        return tokens / self.answered if self.answered else ASSUMED_TOKENS

    def record_request(self) -> None:
        """A request is sent."""
        self._count(Counts(requests=1))

    def record_retry(self) -> None:
        """A request failed and will be sent again."""
        self._count(Counts(requests_retried=1))

    def record_resend(self) -> None:
        """A request was refused for its form and is sent again at once in another."""
        self._count(Counts(requests=1, requests_retried=1))

    def record_response(self, response: ChatResponse, request: ChatRequest | None = None) -> None:
        """A request was answered. `request`: which, for an estimate where the server does not count tokens."""
        prompt, completion = response.prompt_tokens, response.completion_tokens
        estimated = not response.usage_given and request is not None and response.error is None
        if estimated and request is not None:
            prompt, completion = estimated_tokens(request), text_tokens(response.text)
            self._say_that_tokens_are_estimated()
        counts = Counts(
            prompt_tokens=prompt,
            completion_tokens=completion,
            answers_without_usage=int(estimated),
            finish_reasons={response.finish_reason: 1},
        )
        self._spent.add(counts)
        self.answered += 1
        self._count(counts)

    def record_elsewhere(self, counts: Counts) -> None:
        """Another process of the run has received answers: count what they cost."""
        self._spent.add(counts)
        self.answered += sum(counts.finish_reasons.values())

    def _say_that_tokens_are_estimated(self) -> None:
        if not self._spent.answers_without_usage:
            limit = "; max_usd is kept by this estimate" if self._max_usd is not None else ""
            logger.warning(
                "the server does not count tokens (no usage in its answers): they are estimated from texts and picture "
                "sizes%s",
                limit,
            )


def estimated_tokens(request: ChatRequest) -> int:
    """About how many tokens a request has: of its texts, and one for each patch of its pictures."""
    pictures = 0
    for jpeg in request.images:
        info = Picture(jpeg, max_image_pixels=MAX_PICTURE_PIXELS).info
        pictures += math.ceil(info.width / PATCH) * math.ceil(info.height / PATCH)
    return pictures + text_tokens(request.system + request.text)


def text_tokens(text: str) -> int:
    """About how many tokens a text has.

    >>> text_tokens("A dog."), text_tokens("一只狗。")
    (2, 4)
    """
    others = sum(char > "\x7f" for char in text)
    return others + math.ceil((len(text) - others) / CHARS_PER_TOKEN)
