"""Trying an endpoint out before the rows: what it can be held to, and whether the largest request fits it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import orjson

from regioncap.captioners.budget import Budget
from regioncap.captioners.chat import ChatRequest, ChatResponse
from regioncap.captioners.endpoint import Endpoint
from regioncap.captioners.health import RetryPolicy
from regioncap.captioners.pictures import plain_picture
from regioncap.captioners.prompts import Prompts
from regioncap.captioners.row_requests import largest_request
from regioncap.captioners.server_errors import Refused, TryAgain
from regioncap.captioners.structure import PROBE_WORD, STRUCTURES, regex_of
from regioncap.config.model import RegionCapConfig
from regioncap.errors import CaptionerError

PROBE_CHARS = 24
"""Characters of a caption in a request that only tries an endpoint out."""

PROBE_PIXELS = 4096
"""Of the picture that goes with a question whose answer is its form."""

UNREACHABLE_TRIES = 3

T = TypeVar("T")

logger = logging.getLogger("regioncap")


class Probe:
    """See the module's text. All methods run on the session's event loop; what they send is in the budget."""

    def __init__(self, config: RegionCapConfig, prompts: Prompts, budget: Budget, policy: RetryPolicy) -> None:
        self._config = config
        self._prompts = prompts
        self._budget = budget
        self._policy = policy

    async def __call__(self, endpoint: Endpoint) -> None:
        """Find out how the endpoint is held to a form, and send it the largest request that the config allows.

        Mostly one request does both. Raises CaptionerError for a server that is not there or refuses.
        """
        config = self._config
        known = await self._retry(endpoint, endpoint.resolve_base_url)
        listed = f" It lists: {', '.join(known[:8])}." if known and endpoint.model not in known else ""
        request = await asyncio.to_thread(largest_request, config, self._prompts)
        try:
            if not await self._retry(endpoint, lambda: self._takes_best(endpoint, request)):
                await self._retry(endpoint, lambda: self.find_structure(endpoint))
                await self._retry(endpoint, lambda: self._send(endpoint, request))
        except Refused as refused:
            raise CaptionerError(
                f"{endpoint.url} refused the largest request that these settings allow ({refused.reason}). The picture "
                f"has max_pixels={config.max_pixels:,}, the answer max_tokens={config.max_tokens:,}, the prompt "
                f"max_boxes={config.max_boxes} regions: lower what the message names (temperature=-1 sends none), or "
                "give the server a longer context."
            ) from None
        except CaptionerError as error:
            raise CaptionerError(f"{error}{listed}") from None
        logger.info("%s: structure %s", endpoint.url, endpoint.structure)

    async def _takes_best(self, endpoint: Endpoint, request: ChatRequest) -> bool:
        """Whether the largest request goes through and its answer is held to the best form: then no more need be
        tried. Sets `structure` if so. Raises TryAgain, CaptionerError."""
        if self._config.structure not in ("auto", STRUCTURES[0]):
            return False
        enforced = False
        endpoint.structure = STRUCTURES[0]
        try:
            response = await self._send(endpoint, request, PROBE_WORD)
            enforced = re.fullmatch(regex_of(request.wanted, PROBE_CHARS, PROBE_WORD), response.text) is not None
        except Refused:
            pass  # for its size or its form: the next requests tell which
        finally:
            endpoint.structure = STRUCTURES[0] if enforced else None
        return enforced

    async def find_structure(self, endpoint: Endpoint) -> None:
        """Find out how the endpoint is held to a form: sets `structure`. Raises TryAgain, CaptionerError."""
        if self._config.structure != "auto":
            endpoint.structure = self._config.structure
            return
        picture = await asyncio.to_thread(plain_picture, PROBE_PIXELS)
        for way in STRUCTURES:
            self._charge()
            if await endpoint.enforces(way, picture):
                endpoint.structure = way
                return
        endpoint.structure = "none"

    async def _send(self, endpoint: Endpoint, request: ChatRequest, word: str = "") -> ChatResponse:
        """Send `request` with short captions, the first beginning with `word`. Raises as `Endpoint.send` does."""
        self._charge()
        response = await endpoint.post(orjson.dumps(endpoint.body(request, max_chars=PROBE_CHARS, word=word)))
        self._budget.record_response(response)
        return response

    def _charge(self) -> None:
        self._budget.reserve()
        self._budget.record_request()

    async def _retry(self, endpoint: Endpoint, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """`call()`, again a few times if need be. Raises CaptionerError when the server is not there."""
        attempt = 0
        while True:
            try:
                return await call()
            except TryAgain as error:
                attempt += 1
                if attempt >= (UNREACHABLE_TRIES if error.unreachable else self._policy.max_tries):
                    raise CaptionerError(
                        f"{endpoint.url} does not answer ({error.reason}). Start the server, or correct --endpoint, "
                        "and run the same command again."
                    ) from None
                await asyncio.sleep(self._policy.pause(error, attempt - 1))
