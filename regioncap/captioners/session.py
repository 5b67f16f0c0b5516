"""The one conversation of a process with its model servers: who is asked, when, how often, and when to stop.

A row's coroutine asks for what is missing until every region has its caption. Requests wait for a slot at the least
loaded server; what fails is sent again; when nothing can succeed any more, everything stops with one error.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from regioncap.captioners.asking import Asking
from regioncap.captioners.base import CaptionRequest, CaptionResult
from regioncap.captioners.endpoint import Ask, Endpoint, Refused, Reply, Sampling, TryAgain
from regioncap.captioners.gate import Gate
from regioncap.captioners.limits import InFlightLimit
from regioncap.captioners.prompts import Prompts
from regioncap.captioners.tryout import MOST_TRIES, TryOut
from regioncap.config.model import RegionCapConfig
from regioncap.errors import BudgetReached, CaptionerError, RowReject, RunStopped, Stopped
from regioncap.records import Counts

FAILURES_IN_ROW = 20
GIVE_UP_SECONDS = 30.0
GIVE_UP_OVERLOADED_SECONDS = 300.0
"""So many failures with no answer between them and for so long end the run: its rows would all be rejected."""

OVERLOADS_IN_ROW = 3
"""So many 429 or 503 without an answer between them, and the server is given a rest."""

LONGEST_PAUSE = 60.0
SAY_SECONDS = 60.0
READY_ROWS = 32
"""So many rows beyond the limit have their pictures read, so that a free slot never waits for one."""

IO_THREADS = 32
"""Pictures read and answers kept at once: in an object store each may take a tenth of a second."""

QUEUE_LOOK_SECONDS = 0.5
NEXT_LOOK_SECONDS = 0.1
"""After the limit was doubled: by then the further requests have arrived."""

LOOKS_IN_VAIN = 5
"""So many in a row at the queue of a server that used to tell it, and its limit follows its speed instead."""

ROW = "row"
"""Name of the loop's tasks that see to a row each."""

logger = logging.getLogger("regioncap")


@dataclass(frozen=True)
class Server:
    """Where a server is, and the key it wants. `revive`: called when it does not answer; may start it again, and
    raises CaptionerError when it is gone for good."""

    url: str
    key: str | None = None
    revive: Callable[[], None] | None = None


class CaptionSession:
    """See the module's text. Made once a process; `submit` may be called from any thread.

    `connect`: gives the servers, may take its time (starts them) and is called once, for the first row.
    `count`: adds to the run's counts.
    """

    def __init__(
        self, config: RegionCapConfig, connect: Callable[[], Sequence[Server]], count: Callable[[Counts], None]
    ) -> None:
        self._config = config
        self._connect = connect
        self._count = count
        self._prompts = Prompts.of(config)
        self._asking = Asking(config, self._prompts, count)
        self._try_out = TryOut(config, self._prompts, self)
        self._sampling = Sampling.of(config)
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._error: RunStopped | None = None
        self.endpoints: list[Endpoint] = []
        self.trace: Callable[[Endpoint, Ask, Reply], None] | None = None
        """Called with every answer to a row's request, on the loop's thread."""
        self.sent = 0
        self._cost: Counter[str] = Counter()
        self._answered = 0
        self._failures = 0
        self._last_good = 0.0
        self._admitted = 0
        self._reviving: dict[str, asyncio.Task[None]] = {}
        self._revivers: dict[int, Callable[[], None]] = {}

    # --- from any thread

    def submit(self, request: CaptionRequest) -> Future[CaptionResult]:
        """The captions of a row, some time. The future raises RunStopped when there will be none for any row."""
        future: Future[CaptionResult] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(Stopped())
                return future
            self._run_loop()
            self._loop.call_soon_threadsafe(self._spawn, request, next(self._order), future)
        return future

    def get_ready(self) -> None:
        """Have the servers tried out now: a request will come. What fails is told when it does."""
        with self._lock:
            if not self._closed:
                self._run_loop()
                self._loop.call_soon_threadsafe(self._prepare_soon)

    def stop_sending(self) -> None:
        """Send no more requests, and do not wait for those that are under way. Rows that wait are told `Stopped` when
        these have come back."""
        with self._lock:
            if self._thread is not None and not self._closed:
                self._loop.call_soon_threadsafe(self._stop, Stopped(), True)

    def drain(self) -> None:
        """Send no more requests; returns when what is under way has come back and is kept. Rows that wait are told
        `Stopped`."""
        with self._lock:
            if self._thread is None or self._closed:
                return
            drained = asyncio.run_coroutine_threadsafe(self._drained(), self._loop)
        drained.result()

    def close(self) -> None:
        """End the conversation; what is under way is given up."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is not None and thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            thread.join()

    def _run_loop(self) -> None:
        if self._thread is not None:
            return
        begun: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(begun,), name="caption-session", daemon=True)
        self._thread.start()
        begun.result()

    def _run(self, begun: Future[None]) -> None:
        try:
            asyncio.run(self._main(begun))
        except BaseException as error:
            if begun.done():
                raise
            begun.set_exception(error)

    # --- on the loop's thread

    async def _main(self, begun: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(IO_THREADS, thread_name_prefix="caption-io"))
        self._over = asyncio.Event()
        self._slots, self._doors = Gate(), Gate()
        self._tasks: set[asyncio.Task[None]] = set()
        self._preparing: asyncio.Task[None] | None = None
        self._random = random.Random()
        # aiohttp, not httpx: that one looks at every open connection for every request, which at some hundred in
        # flight takes all of a core. Servers on uvicorn, such as vLLM, close idle connections after 5 s.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0)
        no_limit = aiohttp.ClientTimeout(total=None)  # ours are for the whole request
        # Without a proxy in the environment aiohttp would look for one, and for a .netrc, with every request.
        proxied = bool(urllib.request.getproxies())
        async with aiohttp.ClientSession(connector=connector, timeout=no_limit, trust_env=proxied) as self._client:
            begun.set_result(None)
            await self._over.wait()
            tasks = [*self._tasks, *filter(None, [self._preparing])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._asking.all_kept()  # what came was paid for

    async def _drained(self) -> None:
        self._stop(Stopped(), True)
        rows = [task for task in self._tasks if task.get_name() == ROW]
        if rows:
            await asyncio.wait(rows)

    def _background(self, work: Coroutine[Any, Any, None], name: str | None = None) -> asyncio.Task[None]:
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _spawn(self, request: CaptionRequest, order: int, future: Future[CaptionResult]) -> None:
        async def work() -> None:
            try:
                result = await self._row(request, order)
            except asyncio.CancelledError:
                future.set_exception(Stopped())
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self._background(work(), ROW)

    # --- getting ready

    async def _ready(self) -> None:
        """Servers are there, and a largest picture went through. Once; raises the same CaptionerError to all."""
        await asyncio.shield(self._prepare_soon())

    def _prepare_soon(self) -> asyncio.Task[None]:
        if self._preparing is None:
            self._preparing = self._loop.create_task(self._prepare())
            # Looked at, so that asyncio does not complain where no row comes to be told.
            self._preparing.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._preparing

    async def _prepare(self) -> None:
        servers = await self._loop.run_in_executor(None, self._connect)
        shares = _shares(self._config.max_in_flight, len(servers))
        for server, share in zip(servers, shares, strict=True):
            endpoint = Endpoint(
                server.url, self._config.model or "", self._sampling, self._config.request_timeout,
                InFlightLimit(share), self._client, server.key, longest=self._config.max_caption_chars,
            )  # fmt: skip
            self.endpoints.append(endpoint)
            if server.revive is not None:
                self._revivers[id(endpoint)] = server.revive
        results = await asyncio.gather(*map(self._try_out, self.endpoints), return_exceptions=True)
        errors = [error for error in results if isinstance(error, BaseException)]
        if len(errors) == len(self.endpoints):
            raise errors[0]
        for endpoint, error in zip(self.endpoints, results, strict=True):
            if isinstance(error, BaseException):
                logger.warning("%s; going on with the others", error)
                endpoint.alive = False
                endpoint.paused_until = time.monotonic() + LONGEST_PAUSE
        self._last_good = time.monotonic()
        if self._config.max_in_flight is None:
            self._background(self._watch_queues())

    def pause(self, error: TryAgain, attempt: int) -> float:
        """Seconds to wait: what the server asks for, else a back-off."""
        return min(LONGEST_PAUSE, error.after if error.after is not None else self._backoff(attempt))

    def _backoff(self, attempt: int) -> float:
        """Seconds to wait before another try: exponential, with full jitter."""
        return self._random.uniform(0.1, min(30.0, 0.5 * 2 ** min(attempt, 10)))

    async def _watch_queues(self) -> None:
        """Let limits that are to be found out follow what the servers tell of their queues."""
        deaf: set[int] = set()
        misses: Counter[int] = Counter()
        pause = NEXT_LOOK_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = QUEUE_LOOK_SECONDS
            for endpoint in self.endpoints:
                if id(endpoint) in deaf or not endpoint.alive:
                    continue
                queue = await endpoint.queue()
                if queue is None:
                    if endpoint.alive and endpoint.limit.in_flight:
                        misses[id(endpoint)] += 1
                        # One that told it before may be too busy for a moment.
                        if not endpoint.limit.told or misses[id(endpoint)] >= LOOKS_IN_VAIN:
                            deaf.add(id(endpoint))
                            endpoint.limit.told = False
                else:
                    del misses[id(endpoint)]
                    if endpoint.limit.queue_told(*queue):
                        pause = NEXT_LOOK_SECONDS
                    self._hand_out()

    # --- slots

    async def _through(self, gate: Gate, order: int) -> Any:
        """Wait at a gate. Raises RunStopped when there is no way on."""
        if self._error is not None and not self._under_way():
            raise self._error
        waiting = gate.enter(order)
        self._hand_out()
        return await waiting

    def _under_way(self) -> int:
        return sum(endpoint.limit.in_flight for endpoint in self.endpoints)

    def _hand_out(self) -> None:
        """Give free slots to those that wait, least loaded server first; and let further rows in."""
        while self._slots and self._error is None:
            if self._over_budget():
                return
            endpoint = self._least_loaded()
            if endpoint is None:
                break
            endpoint.limit.begin()
            self.sent += 1
            self._slots.open(endpoint)
        room = sum(int(endpoint.limit.limit) for endpoint in self.endpoints) * 5 // 4 + READY_ROWS
        while self._doors and self._admitted < room and self._error is None:
            self._admitted += 1
            self._doors.open(None)

    def _least_loaded(self) -> Endpoint | None:
        now = time.monotonic()
        free = [
            endpoint
            for endpoint in self.endpoints
            if endpoint.limit.free
            and endpoint.paused_until <= now
            and endpoint.url not in self._reviving
            and (endpoint.alive or endpoint.limit.in_flight == 0)  # one try for a server that did not answer
        ]
        return min(free, key=lambda endpoint: (not endpoint.alive, endpoint.limit.load), default=None)

    def _over_budget(self) -> bool:
        config = self._config
        problem = ""
        if config.max_requests is not None and self.sent >= config.max_requests:
            problem = f"max_requests={config.max_requests:,} is reached"
        elif config.max_usd is not None:
            spent = self.usd()
            if spent + (self._under_way() + 1) * spent / max(1, self._answered) > config.max_usd:
                problem = f"max_usd={config.max_usd:g} is reached: {spent:.4f} US dollars were spent"
        if problem:
            self._stop(
                BudgetReached(f"{problem}. What was answered is kept; raise it to go on from there."), drain=True
            )
        return bool(problem)

    def usd(self) -> float:
        """What the answers so far cost at the config's prices."""
        cost, prices = self._cost, self._config.prices or (0.0, 0.0)
        return (cost["prompt_tokens"] * prices[0] + cost["completion_tokens"] * prices[1]) / 1e6

    def _stop(self, error: RunStopped, drain: bool = False) -> None:
        """No more requests; all that wait are told why. `drain`: but only when what is under way has come back."""
        if self._error is None:
            self._error = error
        if not drain or not self._under_way():
            self._slots.fail(self._error)
            self._doors.fail(self._error)

    # --- one request

    def charge(self) -> None:
        """Count a request that tries a server out."""
        self._count(Counts(requests=1))
        self.sent += 1

    async def send_trial(self, endpoint: Endpoint, ask: Ask, longest: int, word: str = "") -> Reply:
        """Send a request that tries a server out; see `Endpoint.body`. Raises TryAgain, Refused, CaptionerError."""
        self.charge()
        return self._counted(await endpoint.post(orjson.dumps(endpoint.body(ask, longest=longest, word=word))))

    def _counted(self, reply: Reply) -> Reply:
        tokens = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens}
        self._cost.update(tokens)
        self._answered += 1
        self._count(
            Counts(
                prompt_tokens=reply.prompt_tokens,
                completion_tokens=reply.completion_tokens,
                finish_reasons={reply.finish_reason or "unknown": 1},
            )
        )
        return reply

    async def _ask(self, ask: Ask, order: int) -> Reply:
        """An answer from any server. Raises Refused, TryAgain when tries are used up, RunStopped."""
        tries = 0
        while True:
            endpoint: Endpoint = await self._through(self._slots, order)
            sent_at = time.monotonic()
            try:
                if endpoint.structure is None:  # it was not there when the others were tried out
                    await endpoint.find_base()
                    await self._try_out.find_structure(endpoint)
                self._count(Counts(requests=1))
                reply = self._counted(await endpoint.ask(ask))
            except TryAgain as error:
                self._failed(endpoint, error, sent_at)
                if not (error.overloaded or error.unreachable):
                    tries += 1
                if tries >= MOST_TRIES:
                    raise
                failure = error
            except Refused:
                self._failed(endpoint, None, sent_at)
                raise
            except RunStopped as error:
                self._stop(error)
                raise
            else:
                self._succeeded(endpoint)
                if self.trace is not None:
                    self.trace(endpoint, ask, reply)
                return reply
            finally:
                endpoint.limit.end()
                if self._error is not None:
                    self._stop(self._error, drain=isinstance(self._error, BudgetReached | Stopped))
                self._hand_out()
            self._count(Counts(requests_retried=1))
            if failure.unreachable:
                await self._revive(endpoint)
            else:
                await asyncio.sleep(self.pause(failure, tries))

    def _succeeded(self, endpoint: Endpoint) -> None:
        now = time.monotonic()
        if not endpoint.alive:
            logger.info("%s answers again", endpoint.url)
        endpoint.alive, endpoint.failures = True, 0
        self._failures, self._last_good = 0, now
        endpoint.limit.answered(now)

    def _failed(self, endpoint: Endpoint, error: TryAgain | None, sent_at: float) -> None:
        """Take note of a failure; stop everything when there were too many."""
        now = time.monotonic()
        self._failures += 1
        silent = now - self._last_good
        overloaded = error is not None and error.overloaded
        if error is not None and (error.overloaded or error.unreachable):
            endpoint.failures += 1
            if error.overloaded and endpoint.limit.overloaded(sent_at, now) and now > endpoint.say_after:
                endpoint.say_after = now + SAY_SECONDS
                logger.info("%s: %s; in flight now %d", endpoint.url, error.reason, int(endpoint.limit.limit))
            if error.unreachable and endpoint.alive:
                endpoint.alive = False
                logger.warning("%s does not answer (%s); it is tried again later", endpoint.url, error.reason)
            # One 429 among answers is this request's matter, which waits; several in a row are the server's.
            if error.unreachable or endpoint.failures >= OVERLOADS_IN_ROW:
                pause = self.pause(error, endpoint.failures)
                endpoint.paused_until = max(endpoint.paused_until, now + pause)
                self._loop.call_at(self._loop.time() + endpoint.paused_until - now + 0.001, self._hand_out)
        patience = GIVE_UP_OVERLOADED_SECONDS if overloaded else GIVE_UP_SECONDS
        all_dead = not any(endpoint.alive for endpoint in self.endpoints)
        # A server that is being started again has not failed yet: whoever starts it says so if it does.
        if not self._reviving and silent >= patience and (self._failures >= FAILURES_IN_ROW or all_dead):
            reason = error.reason if error is not None else "requests are refused"
            self._stop(
                CaptionerError(
                    f"{endpoint.url} has answered nothing for {silent:.0f} s, {self._failures} requests failed; the "
                    f"last: {reason}. What was answered is kept; mend the server and run the same command again."
                )
            )

    async def _revive(self, endpoint: Endpoint) -> None:
        """Wait until whoever started the server has seen to it; it is given no requests meanwhile."""
        revive = self._revivers.get(id(endpoint))
        if revive is None:
            return
        if endpoint.url not in self._reviving:
            self._reviving[endpoint.url] = self._background(self._start_again(endpoint, revive))
        await asyncio.shield(self._reviving[endpoint.url])

    async def _start_again(self, endpoint: Endpoint, revive: Callable[[], None]) -> None:
        try:
            await self._loop.run_in_executor(None, revive)
        except RunStopped as error:
            self._stop(error)
            return
        finally:
            del self._reviving[endpoint.url]
        endpoint.paused_until = 0.0
        self._failures, self._last_good = 0, time.monotonic()
        self._hand_out()

    # --- one row

    async def _row(self, request: CaptionRequest, order: int) -> CaptionResult:
        await self._ready()
        await self._through(self._doors, order)
        try:
            return await self._asking.captions(request, lambda ask: self._ask(ask, order))
        except RowReject as reject:
            return CaptionResult({}, code=reject.code, message=reject.message)
        finally:
            self._admitted -= 1
            self._hand_out()


def _shares(most: int | None, count: int) -> list[int | None]:
    """`most` split over `count` servers; the first get what is left over."""
    if most is None:
        return [None] * count
    return [max(1, most // count + (place < most % count)) for place in range(count)]
