"""Trying an endpoint out before the rows: what it can be held to, and whether the largest request fits it."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from regioncap.captioners.advice import advice_for
from regioncap.captioners.budget import Budget
from regioncap.captioners.chat import ABSENT, ChatRequest, ChatResponse, Ending
from regioncap.captioners.endpoint import Endpoint
from regioncap.captioners.health import RetryPolicy
from regioncap.captioners.pictures import typical_picture
from regioncap.captioners.prompts import Prompts
from regioncap.captioners.row_requests import largest_request
from regioncap.captioners.server_errors import RESUMES, EndpointFailed, NotThere, Refused, TryAgain
from regioncap.captioners.structure import FORM_QUESTION, PROBE_WORD, STRUCTURES, holds_to_form, regex_of
from regioncap.config.model import RegionCapConfig
from regioncap.masking import outside_text

PROBE_CHARS = 24
"""Characters of a caption in a request that only tries an endpoint out."""

PROBE_PIXELS = 4096
"""Of the picture that goes with a question whose answer is its form."""

T = TypeVar("T")

logger = logging.getLogger("regioncap")


class Probe:
    """See the module's text. All methods run on the session's event loop; what they send is in the budget.

    `pause`: waits for some seconds; raises RunStopped when the run ends meanwhile.
    """

    def __init__(
        self,
        config: RegionCapConfig,
        prompts: Prompts,
        budget: Budget,
        policy: RetryPolicy,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._config = config
        self._prompts = prompts
        self._budget = budget
        self._policy = policy
        self._pause = pause
        self._largest: ChatRequest | None = None

    async def __call__(self, endpoint: Endpoint) -> None:
        """Find out how the endpoint is held to a form, and send it the largest request that the config allows.

        Mostly one request does both. Raises EndpointFailed for a server that is not there or refuses.
        """
        known = await self._retry(endpoint, endpoint.resolve_base_url)
        names = [outside_text(name, endpoint.http.secrets, max_chars=80) for name in known[:8]]
        listed = f" It lists: {', '.join(names)}." if known and endpoint.model not in known else ""
        request = await self._largest_request()
        try:
            if not await self._retry(endpoint, lambda: self._takes_best(endpoint, request)):
                await self._retry(endpoint, lambda: self._find_structure(endpoint))
                await self._retry(endpoint, lambda: self._send_largest(endpoint, request))
        except Refused as refused:
            if refused.status in (403, 404):
                raise EndpointFailed(f"{endpoint.failed(refused)}{listed}") from None
            advice = advice_for(refused.reason)
            raise EndpointFailed(
                f"{endpoint.url} refused the largest request that these settings allow ({refused.reason}). "
                f"{advice if advice and '--max-' not in advice else self._sizes(advice)}{listed} {RESUMES}"
            ) from None
        except EndpointFailed as error:
            raise EndpointFailed(f"{error}{listed}") from None
        logger.info("%s: structure %s", endpoint.url, endpoint.structure)

    def _sizes(self, advice: str) -> str:
        config = self._config
        return (
            f"{advice}{' ' if advice else ''}The picture has max_pixels={config.max_pixels:,}, the answer "
            f"max_tokens={config.max_tokens:,}, the prompt max_boxes={config.max_boxes} regions."
        )

    async def send_known_good(self, endpoint: Endpoint) -> None:
        """Send the request that the endpoint answered when it was tried out. Raises TryAgain, Refused,
        EndpointFailed."""
        await self._send(endpoint, await self._largest_request())

    async def wait_until_there(self, endpoint: Endpoint) -> None:
        """Returns when something answers at the endpoint. Raises RunStopped when the run ends before."""
        while True:
            await self._pause(self._policy.max_pause)
            if await endpoint.is_there():
                return

    async def _largest_request(self) -> ChatRequest:
        if self._largest is None:
            self._largest = await asyncio.to_thread(largest_request, self._config, self._prompts)
        return self._largest

    async def _takes_best(self, endpoint: Endpoint, request: ChatRequest) -> bool:
        """Whether the largest request goes through and its answer is held to the best form: then no more need be
        tried. Sets `structure` if so. Raises TryAgain, EndpointFailed."""
        if self._config.structure not in ("auto", STRUCTURES[0]):
            return False
        enforced = False
        endpoint.structure = STRUCTURES[0]
        try:
            response = await self._send(endpoint, request, PROBE_WORD)
            enforced = re.fullmatch(regex_of(request.wanted, PROBE_CHARS, PROBE_WORD), response.text) is not None
            if enforced:
                self._check_ending(endpoint, response)
        except Refused:
            pass  # for its size or its form: the next requests tell which
        finally:
            endpoint.structure = STRUCTURES[0] if enforced else None
        return enforced

    async def _find_structure(self, endpoint: Endpoint) -> None:
        """Find out how the endpoint is held to a form: sets `structure`. Raises TryAgain, EndpointFailed."""
        if self._config.structure != "auto":
            endpoint.structure = self._config.structure
            return
        picture = await asyncio.to_thread(typical_picture, PROBE_PIXELS)
        question = ChatRequest("", FORM_QUESTION, (picture,), (1,))
        for way in STRUCTURES:
            try:
                response = await self._ask(endpoint, endpoint.form_question(way, question), question)
            except Refused:
                continue
            if holds_to_form(way, response.text):
                endpoint.structure = way
                return
        endpoint.structure = "none"

    async def _send_largest(self, endpoint: Endpoint, request: ChatRequest) -> None:
        self._check_ending(endpoint, await self._send(endpoint, request))

    async def _send(self, endpoint: Endpoint, request: ChatRequest, word: str = "") -> ChatResponse:
        """Send `request` with short captions, the first beginning with `word`. Raises as `Endpoint.send` does."""
        return await self._ask(endpoint, endpoint.body(request, max_chars=PROBE_CHARS, word=word), request)

    async def _ask(self, endpoint: Endpoint, body: dict[str, Any], request: ChatRequest) -> ChatResponse:
        """The answer to `body`, made of `request`. Raises TryAgain, Refused, EndpointFailed."""
        await self._pause_for_rates()
        self._budget.reserve(time.monotonic())
        self._budget.record_request()
        response = await endpoint.ask(body)
        self._budget.record_response(response, request)
        endpoint.check(response)
        return response

    async def _pause_for_rates(self) -> None:
        while (wait := self._budget.wait(time.monotonic())) > 0:
            await self._pause(wait)

    def _check_ending(self, endpoint: Endpoint, response: ChatResponse) -> None:
        """Raises EndpointFailed when the server's answers do not say whether they are complete."""
        if response.ending is Ending.UNKNOWN or (
            response.ending is Ending.ABSENT and not closed_by_structure(endpoint)
        ):
            given = "no finish_reason" if response.word == ABSENT else f"the finish_reason {response.word[:40]!r}"
            raise EndpointFailed(
                f"{endpoint.url} ends its answers with {given}, which does not say whether they are complete: half a "
                f"caption would look like a whole one. If it stands for complete answers, set --accept-finish-reasons "
                f"{response.word[:40]} and rerun."
            )

    async def _retry(self, endpoint: Endpoint, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """`call()`, again as long as the patience allows. Raises EndpointFailed when the server is not there."""
        attempt, begun, said = 0, time.monotonic(), False
        while True:
            try:
                return await call()
            except TryAgain as error:
                attempt += 1
                waited = time.monotonic() - begun
                if self._gives_up(error, attempt, waited):
                    raise _no_answer(endpoint, error, waited) from None
                if not error.unreachable and not said:
                    said = True
                    logger.warning("waiting for %s (%s), up to server_patience=%g s", endpoint.url, error.reason,
                                   self._policy.patience)  # fmt: skip
                self._budget.record_retry()
                await self._pause(self._policy.pause(error, attempt - 1))

    def _gives_up(self, error: TryAgain, attempt: int, waited: float) -> bool:
        if waited + (error.after or 0.0) >= self._policy.patience:
            return True
        if error.unreachable:
            return attempt >= self._policy.unreachable_tries
        return error.senseless and attempt >= self._policy.max_tries


def closed_by_structure(endpoint: Endpoint) -> bool:
    """Whether the form of an answer shows that it is complete: JSON does by its last brace, lines do not."""
    return endpoint.structure == "json_schema"


def _no_answer(endpoint: Endpoint, error: TryAgain, waited: float) -> EndpointFailed:
    """Why an endpoint is given up while it is tried out."""
    if error.unreachable:
        return NotThere(
            f"{endpoint.url} does not answer ({error.reason}). Start the server, or correct --endpoint, and rerun; "
            "it resumes."
        )
    if error.senseless:
        advice = advice_for(error.reason) or "Correct --endpoint: its base URL, mostly ending in /v1."
        return EndpointFailed(f"{endpoint.url}: {error.reason}. {advice} {RESUMES}")
    asks = f" and asks to wait {error.after:.0f} s" if error.after else ""
    advice = advice_for(error.reason) or "Rerun when it is ready, or raise server_patience; it resumes."
    return EndpointFailed(f"{endpoint.url} gave no answer for {waited:.0f} s ({error.reason}){asks}. {advice}")
