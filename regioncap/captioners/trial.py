"""The requests that try one endpoint out, all at once as far as its limits allow: the whole takes one latency.

Three questions go out together: the largest request that the config allows, which is held to the best form; and, with a
tiny picture, whether the server holds its model to each of the other forms. Where the largest request is refused, it
may be for its form: it is sent in others, until one shows whether its size is allowed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol

from regioncap.captioners.chat import ChatRequest, ChatResponse
from regioncap.captioners.dispatch import Dispatcher
from regioncap.captioners.endpoint import Endpoint
from regioncap.captioners.retrying import Retrying
from regioncap.captioners.server_errors import Refused
from regioncap.captioners.structure import PROBE_WORD, STRUCTURES, holds_to_form, shows_word

PROBE_CHARS = 24
"""Characters of a caption in a request that only tries an endpoint out, where the server holds to a form."""

BEFORE_ROWS = -1
"""The order of these requests among those of rows."""

BEST, *OTHERS = STRUCTURES
SIZED = (BEST, "json_schema")
"""Forms in which the largest request is tried before it is sent without one."""

Strand = Coroutine[Any, Any, None]
Judge = Callable[[ChatResponse], None]


class AskEndpoint(Protocol):
    """Sends one request, and counts what it costs."""

    async def __call__(self, endpoint: Endpoint, body: dict[str, Any], request: ChatRequest, form: str) -> ChatResponse:
        """The answer to `body`, made of `request` and held to `form`. Raises TryAgain, Refused, EndpointFailed."""


class Trial:
    """See the module's text; used once. `largest`: the largest request; `question`: the one about a tiny picture.

    `ask`: sends a request that has its slot; `retrying`: has it sent again; `spawn`: runs a coroutine beside others.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        largest: ChatRequest,
        question: ChatRequest,
        *,
        ask: AskEndpoint,
        retrying: Retrying,
        dispatcher: Dispatcher,
        spawn: Callable[[Strand], asyncio.Task[None]],
    ) -> None:
        self._endpoint = endpoint
        self._largest = largest
        self._question = question
        self._ask = ask
        self._retrying = retrying
        self._dispatcher = dispatcher
        self._spawn = spawn
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight: set[asyncio.Task[Any] | None] = set()
        self._over = False
        self._holds: dict[str, bool] = {}
        """By form, as far as it is known."""
        self.answer: ChatResponse | None = None
        """To the largest request."""

    @property
    def structure(self) -> str | None:
        """The best form that the server holds to, or `none`; None as long as that is not known."""
        for form in STRUCTURES:
            if self._holds.get(form, True):
                return form if form in self._holds else None
        return "none"

    async def run(self, *, at_once: bool) -> None:
        """Ask all that must be asked: `structure` and `answer` are known then. `at_once`: do not wait for one answer
        before the next question. Raises EndpointFailed, RunStopped, and Refused for the size of the largest request."""
        strands: list[Callable[[], Strand]] = [self._try_largest]
        strands += [partial(self._try_form, form) for form in OTHERS]
        try:
            await (self._together if at_once else self._in_turn)(strands)
        finally:
            self._stop()

    async def fits(self, form: str) -> None:
        """Ask only whether the largest request is answered in this form. Raises as `run` does."""
        await self._send(self._largest, self._endpoint.body(self._largest, form=form, max_chars=PROBE_CHARS), form)

    async def _together(self, strands: Sequence[Callable[[], Strand]]) -> None:
        self._tasks = {self._spawn(strand()) for strand in strands}
        running = self._tasks
        while running and not self._decided:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled():  # needless by then
                    task.result()

    async def _in_turn(self, strands: Sequence[Callable[[], Strand]]) -> None:
        for strand in strands:
            if not self._decided:
                await strand()

    # --- questions

    async def _try_largest(self) -> None:
        for form in SIZED:
            body = self._endpoint.body(self._largest, form=form, max_chars=PROBE_CHARS, word=PROBE_WORD)
            try:
                await self._send(self._largest, body, form, partial(self._judge_largest, form))
            except Refused:  # for its size or its form: the next tells which
                if form == BEST:
                    self._holds[form] = False
            else:
                return
        await self.fits("none")

    async def _try_form(self, form: str) -> None:
        body = self._endpoint.form_question(form, self._question)
        try:
            await self._send(self._question, body, form, partial(self._judge_form, form))
        except Refused:
            self._holds[form] = False

    def _judge_largest(self, form: str, response: ChatResponse) -> None:
        shown = shows_word(form, self._largest.wanted, response.text)
        if shown or form == BEST:
            self._holds[form] = shown

    def _judge_form(self, form: str, response: ChatResponse) -> None:
        self._holds[form] = holds_to_form(form, response.text)

    # --- sending

    async def _send(
        self, request: ChatRequest, body: dict[str, Any], form: str, judge: Judge = lambda response: None
    ) -> None:
        await self._retrying(self._endpoint, lambda: self._send_once(request, body, form, judge))

    async def _send_once(self, request: ChatRequest, body: dict[str, Any], form: str, judge: Judge) -> None:
        await self._dispatcher.acquire_at(self._endpoint, BEFORE_ROWS)
        task = asyncio.current_task()
        self._in_flight.add(task)
        try:
            response = await self._ask(self._endpoint, body, request, form)
            if request is self._largest:
                self.answer = response
            judge(response)
            if self._decided:  # before the slot goes to a question that nobody needs any more
                self._stop()
        finally:
            self._in_flight.discard(task)
            self._dispatcher.release(self._endpoint)
            if self._over and task in self._tasks and task is not None:
                task.cancel()  # nothing is to follow

    @property
    def _decided(self) -> bool:
        return self.answer is not None and self.structure is not None

    def _stop(self) -> None:
        """Send nothing more. What is in flight comes back: it is paid for, and must be counted."""
        self._over = True
        for task in self._tasks - self._in_flight:
            task.cancel()
        for task in self._tasks:
            task.add_done_callback(_retrieve)


def _retrieve(task: asyncio.Task[None]) -> None:
    """Retrieve the exception, else asyncio logs 'never retrieved'."""
    if not task.cancelled():
        task.exception()
