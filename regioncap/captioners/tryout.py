"""Trying a server out before the rows: what can hold it to a form, and whether the largest request fits it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from regioncap.captioners.asking import largest_ask
from regioncap.captioners.endpoint import (
    PROBE_WORD,
    STRUCTURES,
    Ask,
    Endpoint,
    Refused,
    Reply,
    TryAgain,
    regex_of,
)
from regioncap.captioners.pictures import plain_picture
from regioncap.captioners.prompts import Prompts
from regioncap.config.model import RegionCapConfig
from regioncap.errors import CaptionerError

MOST_TRIES = 5
"""How often one request is sent when the server fails at it; being told to wait does not count for a row's."""

SHORT = 24
"""Characters of a caption in a request that only tries a server out."""

SMALL_PIXELS = 4096
"""Of the picture that goes with a question whose answer is its form."""

logger = logging.getLogger("regioncap")


class Conversation(Protocol):
    """What a try needs of the session: requests are sent and counted there."""

    async def send_trial(self, endpoint: Endpoint, ask: Ask, longest: int, word: str = "") -> Reply:
        """Send the request with captions of at most `longest` characters, the first beginning with `word`."""

    def charge(self) -> None:
        """Count a request that is about to be sent."""

    def pause(self, error: TryAgain, attempt: int) -> float:
        """Seconds to wait before another try."""


class TryOut:
    """See the module's text. All methods run on the session's event loop."""

    def __init__(self, config: RegionCapConfig, prompts: Prompts, conversation: Conversation) -> None:
        self._config = config
        self._prompts = prompts
        self._conversation = conversation

    async def __call__(self, endpoint: Endpoint) -> None:
        """Find out how the server is held to a form, and send it the largest request that the config allows.

        Mostly one request does for both. Raises CaptionerError for a server that is not there or refuses.
        """
        config = self._config
        known = await self._insist(endpoint, endpoint.find_base)
        named = f" It lists: {', '.join(known[:8])}." if known and endpoint.model not in known else ""
        ask = await asyncio.to_thread(largest_ask, config, self._prompts)
        try:
            if not await self._insist(endpoint, lambda: self._takes_best(endpoint, ask)):
                await self._insist(endpoint, lambda: self.find_structure(endpoint))
                await self._insist(endpoint, lambda: self._conversation.send_trial(endpoint, ask, SHORT))
        except Refused as refused:
            raise CaptionerError(
                f"{endpoint.url} refused the largest request that these settings allow ({refused.reason}). The picture "
                f"has max_pixels={config.max_pixels:,}, the answer max_tokens={config.max_tokens:,}, the prompt "
                f"max_boxes={config.max_boxes} regions: lower what the message names (temperature=-1 sends none), or "
                "give the server a longer context."
            ) from None
        except CaptionerError as error:
            raise CaptionerError(f"{error}{named}") from None
        logger.info("%s: structure %s", endpoint.url, endpoint.structure)

    async def _takes_best(self, endpoint: Endpoint, ask: Ask) -> bool:
        """Whether the largest request goes through and its answer is held to the best form: then no more need be
        tried. Sets `structure` if so. Raises TryAgain, CaptionerError."""
        if self._config.structure not in ("auto", STRUCTURES[0]):
            return False
        held = False
        endpoint.structure = STRUCTURES[0]
        try:
            reply = await self._conversation.send_trial(endpoint, ask, SHORT, PROBE_WORD)
            held = re.fullmatch(regex_of(ask.wanted, SHORT, PROBE_WORD), reply.text) is not None
        except Refused:
            pass  # for its size or its form: the next requests tell which
        finally:
            endpoint.structure = STRUCTURES[0] if held else None
        return held

    async def find_structure(self, endpoint: Endpoint) -> None:
        """Find out how the server is held to a form: sets `structure`. Raises TryAgain, CaptionerError."""
        if self._config.structure != "auto":
            endpoint.structure = self._config.structure
            return
        picture = await asyncio.to_thread(plain_picture, SMALL_PIXELS)
        for way in STRUCTURES:
            self._conversation.charge()
            if await endpoint.keeps_to(way, picture):
                endpoint.structure = way
                return
        endpoint.structure = "none"

    async def _insist(self, endpoint: Endpoint, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """`call()`, a few times if need be. Raises CaptionerError when the server is not there."""
        for attempt in range(MOST_TRIES):
            try:
                return await call()
            except TryAgain as error:
                if attempt == MOST_TRIES - 1 or (error.unreachable and attempt >= 2):
                    raise CaptionerError(
                        f"{endpoint.url} does not answer ({error.reason}). Start the server, or correct --endpoint, "
                        "and run the same command again."
                    ) from None
                await asyncio.sleep(self._conversation.pause(error, attempt))
        raise AssertionError("unreachable")
