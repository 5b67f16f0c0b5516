"""The conversation about one row: regions are asked for, and asked for again, until each has its caption."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from regioncap.captioners.base import CaptionRequest, CaptionResult, Received
from regioncap.captioners.chat import ChatRequest, ChatResponse
from regioncap.captioners.prompts import label
from regioncap.captioners.reading.parsing import is_refusal
from regioncap.captioners.replies import QUOTED_CHARS, Reply, parse_response
from regioncap.captioners.row_requests import RowRequests
from regioncap.captioners.server_errors import EndpointFailed, Refused, TryAgain
from regioncap.config.model import RegionCapConfig
from regioncap.records import Counts

P = ParamSpec("P")
T = TypeVar("T")

Send = Callable[[ChatRequest], Awaitable[ChatResponse]]
"""Has a request answered by some endpoint. Raises Refused, TryAgain when tries are used up, RunStopped."""

LONG_REPLY_CHARS = 1_000
"""Longer replies are read in a thread, so that they do not hold up the event loop: this one takes about 0.5 ms."""

RECORDED_AT_ONCE_CHARS = 4_000
"""Longer replies are brought into the form in which they are stored in a thread, too: this one takes about 0.3 ms."""


def warnings_of(captions: Mapping[int, str], config: RegionCapConfig) -> list[str]:
    """Sentences for the output row, on captions by region number that have just come."""
    most = config.max_caption_chars
    ended = [number for number, text in captions.items() if most is not None and len(text) >= most]
    return [f"caption of {label(number)} ends at max_caption_chars={most}" for number in ended]


class Keeping:
    """The tasks that keep something. They go on when their row is given up: what they keep was paid for."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turn = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until a reply that is on record may be read: one after the other, with what has arrived meanwhile put on
        record between them."""
        async with self._turn:
            await asyncio.sleep(0)

    async def run(self, keeping: Coroutine[Any, Any, T]) -> T:
        """The result of `keeping`, which goes on when the caller is cancelled."""
        task = asyncio.create_task(keeping)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def finished(self) -> None:
        """Returns when all is kept, of rows that were given up too."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


class RowConversation:
    """The conversation about one row.

    `count`: adds to the run's counts, by name.
    """

    def __init__(
        self,
        request: CaptionRequest,
        send: Send,
        *,
        config: RegionCapConfig,
        requests: RowRequests,
        keeping: Keeping,
        count: Callable[[Counts], None],
    ) -> None:
        self._request = request
        self._send = send
        self._config = config
        self._requests = requests
        self._keeping = keeping
        self._count = count
        self._result = CaptionResult({})
        self._usage: Counter[str] = Counter()
        self._asked = 0
        self._asked_early = False
        self._claimed = False
        self._replies: dict[int, Reply] = {}
        """By when they were asked for."""
        self._one_at_a_time = asyncio.Lock()
        self._kept = 0

    async def ask_early(self, send: Send) -> None:
        """Ask once while the servers are still being tried out, by way of `send`. What does not come is asked for by
        `captions`, as if nothing had been: no failure counts. Raises RowReject, and RunStopped from `send`."""
        for outcome in await self._ask_missing(0, send) or ():
            if isinstance(outcome, str):
                self._asked_early = True
            elif not isinstance(outcome, TryAgain | Refused | EndpointFailed):
                raise outcome

    async def captions(self) -> CaptionResult:
        """Ask until no region is missing, or repairs are used up. Raises RowReject, and RunStopped from `send`."""
        result, problem, most = self._result, "", self._config.max_repairs
        # The same question would get the same answer: after an early one it is asked as a repair, if there is any.
        for repair in range(min(self._asked_early, most), most + 1):
            if not self._missing():
                break
            outcomes = await self._ask_missing(repair, self._send)
            if outcomes is None:
                return CaptionResult({}, elsewhere=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    self._record_failure(outcome)
                elif outcome:
                    problem = outcome
            if result.code is not None:
                break
        self._conclude(problem)
        if result.model_failure:
            await self._keeping.run(self._keep_now(failed=True))
        return result

    def _missing(self) -> tuple[int, ...]:
        return tuple(number for number in self._request.wanted if number not in self._result.captions)

    async def _ask_missing(self, repair: int, send: Send) -> list[str | BaseException] | None:
        """Ask once for all that is missing; for each request what `_ask` gives, or raises. None when nothing was sent,
        since another run requests it."""
        apart = not self._request.on_disk or self._requests.look_closer(self._request, repair)
        asked = await _in_thread_if(apart, self._composed, repair)
        if asked is None:
            return None
        return await asyncio.gather(*(self._ask(each, repair, send) for each in asked), return_exceptions=True)

    def _composed(self, repair: int) -> list[ChatRequest] | None:
        """The requests for what is missing; None when nothing may be sent."""
        claim = self._request.claim
        self._claimed = self._claimed or claim is None or claim()
        return self._requests.compose(self._request, self._missing(), repair) if self._claimed else None

    async def _ask(self, asked: ChatRequest, repair: int, send: Send) -> str:
        """One request: its reply and what it yields are kept at once. Gives what was wrong with it; "" for nothing."""
        self._asked += 1
        order = self._asked
        response = await send(asked)
        reply = None
        if len(response.text) <= RECORDED_AT_ONCE_CHARS:
            reply = self._record(Reply.of(asked, response), response, order)
        # From here on it is kept, also when the row is given up meanwhile.
        return await self._keeping.run(self._take(asked, repair, response, reply, order))

    def _record(self, reply: Reply, response: ChatResponse, order: int) -> Reply:
        """Put a reply on record, before anything else is done with it."""
        if self._request.record is not None:
            self._request.record(Received(reply, order, response.prompt_tokens, response.completion_tokens))
        return reply

    async def _take(
        self, asked: ChatRequest, repair: int, response: ChatResponse, reply: Reply | None, order: int
    ) -> str:
        """Read and keep a response; `reply`: as it is on record, None when it is not yet."""
        if reply is None:
            reply = self._record(await asyncio.to_thread(Reply.of, asked, response), response, order)
        if self._request.record is not None:
            await self._keeping.turn()
        result, usage = self._result, self._usage
        usage.update(requests=1, prompt_tokens=response.prompt_tokens, completion_tokens=response.completion_tokens)
        read = await _in_thread_if(
            len(response.text) > LONG_REPLY_CHARS, parse_response, response, asked.wanted, asked.mode
        )
        self._replies[order] = reply
        found = read.captions
        if found:
            if (repair or self._request.again) and not asked.free:
                usage["repaired"] += len(found)
                self._count(Counts(captions_repaired=len(found)))
            result.captions.update(found)
            if not asked.free:
                result.warnings += warnings_of(found, self._config)
            elif response.cut:
                result.cut = True
                result.warnings.append(f"the answer about its regions was cut at max_tokens={self._config.max_tokens}")
        await self._keep_now(failed=False)
        return "" if len(found) == len(asked.wanted) else self._problem_of(response, read.reason)

    def _problem_of(self, response: ChatResponse, reason: str) -> str:
        begin = " ".join(response.text[:QUOTED_CHARS].split())
        if response.refused or is_refusal(response.text):
            return f"the model refused: {begin!r}"
        if response.cut:
            began = f"it began {begin!r}" if begin else "it had no text: thinking used up the tokens"
            return f"the answer was cut at max_tokens={self._config.max_tokens}; {began}"
        return f"the last answer began {begin!r}{reason and f': {reason}'}"

    def _record_failure(self, error: BaseException) -> None:
        """A request was not answered. Raises what concerns more than this row."""
        result = self._result
        if isinstance(error, TryAgain):
            advice = "; raise request_timeout, or lower max_in_flight" if error.timed_out else ""
            message = f"sent several times, without an answer: {error.reason}{advice}"
            result.code, result.message = "caption_failed", message
        elif isinstance(error, Refused):
            result.code, result.message = "caption_failed", f"the server refused it: {error.reason}"
            result.model_failure = True
        else:
            raise error

    def _conclude(self, problem: str) -> None:
        """Say why regions are missing, if any are. `problem`: with the last answer that lacked some."""
        result, missing = self._result, self._missing()
        if not missing:
            result.code, result.message, result.model_failure = None, "", False
        elif result.code is None:
            names = ", ".join(map(label, missing))
            lacks = f"no caption for {names}" if self._request.question is None else "no answer"
            result.code, result.model_failure = "captions_incomplete", True
            result.message = f"{lacks} after {self._usage['requests']} requests; {problem}"
        result.usage = dict(self._usage)

    async def _keep_now(self, *, failed: bool) -> None:
        """Returns when all replies and captions that are there now are kept. `failed`: and that the rest does not
        come, by the row's own fault."""
        keep = self._request.keep
        # One at a time, each with all that is there by then: what is kept first must not replace what came later.
        async with self._one_at_a_time:
            result, count = self._result, len(self._replies)
            if keep is not None and (count > self._kept or failed):
                so_far = replace(
                    result, captions=dict(result.captions), usage=dict(self._usage), warnings=list(result.warnings),
                    replies=[self._replies[order] for order in sorted(self._replies)],
                )  # fmt: skip
                # In a thread even where it is quick: a disk that others are writing to may take a tenth of a second.
                await asyncio.to_thread(keep, so_far)
                self._kept = count


async def _in_thread_if(long: bool, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """`function(*args)`, in a thread if it takes `long`: else handing it over would take longer than itself."""
    return await asyncio.to_thread(function, *args, **kwargs) if long else function(*args, **kwargs)
