"""The one conversation of a process with its model servers.

Rows come in from any thread and are asked about on one event loop: a row is admitted (`dispatch`), asked about until
every region has its caption (`asking`), each request sent until it is answered (`sending`). When nothing can succeed
any more, everything stops with one error.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp

from regioncap.captioners.access import Access
from regioncap.captioners.allowance import HeldAllowance
from regioncap.captioners.asking import Keeping, RowConversation
from regioncap.captioners.base import CaptionRequest, CaptionResult
from regioncap.captioners.budget import Budget
from regioncap.captioners.chat import ChatRequest, Sampling
from regioncap.captioners.dialect import Dialect
from regioncap.captioners.dispatch import Dispatcher
from regioncap.captioners.early_rows import EarlyRows
from regioncap.captioners.endpoint import Endpoint
from regioncap.captioners.health import EndpointHealth, RetryPolicy
from regioncap.captioners.limits import InFlightLimit, split_limit
from regioncap.captioners.loop import LoopThread
from regioncap.captioners.probe import Probe
from regioncap.captioners.prompts import Prompts
from regioncap.captioners.queue_watch import QueueWatcher
from regioncap.captioners.remembered import RememberedFindings
from regioncap.captioners.retrying import Retrying
from regioncap.captioners.row_requests import RowRequests
from regioncap.captioners.sending import OnResponse, Sender
from regioncap.captioners.server_errors import EndpointFailed, NotThere
from regioncap.captioners.transport import Transport, open_client
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject, RunStopped, Stopped
from regioncap.masking import outside_text
from regioncap.records import Counts

IO_THREADS = 32
"""Pictures read and answers kept at once: in an object store each may take a tenth of a second."""

T = TypeVar("T")

logger = logging.getLogger("regioncap")


@dataclass(frozen=True)
class Server:
    """Where a server is, and what gives access to it. `revive`: called when it does not answer; may restart it, and
    raises CaptionerError when it is gone for good. One that has it is our own, and another one in every run: nothing
    that is found out about it is remembered."""

    url: str
    access: Access = field(default_factory=Access)
    revive: Callable[[], None] | None = None


class CaptionSession:
    """See the module's text. Made once a process; `submit` may be called from any thread.

    `connect`: gives the servers, may take its time (starts them) and is called once, for the first row.
    `count`: adds to the run's counts, by name. `policy`: how failures are met. `remembered`: what earlier runs found
    out about servers. `allowance`: what this process may send of what the run may; None for all of it. `beside`:
    another conversation of the process, with other servers: both run on one loop, and share the run's limits.
    """

    def __init__(
        self,
        config: RegionCapConfig,
        connect: Callable[[], Sequence[Server]],
        count: Callable[[Counts], None],
        policy: RetryPolicy | None = None,
        remembered: RememberedFindings | None = None,
        allowance: HeldAllowance | None = None,
        beside: CaptionSession | None = None,
    ) -> None:
        self._config = config
        self._connect = connect
        self._count = count
        self._policy = policy = policy or RetryPolicy(patience=config.server_patience)
        self._prompts = Prompts.of(config)
        self._requests = RowRequests(config, self._prompts)
        self._keeping = Keeping()
        if beside is None:
            allowance = allowance or HeldAllowance()
            self._loop = LoopThread("caption-session", IO_THREADS, self._wind_down)
            self.budget = Budget.of(config, count, allowance)
        else:
            self._loop, self.budget = beside._loop, beside.budget
            self._loop.also_on_close(self._wind_down)
        self._dispatcher = Dispatcher(self.budget)
        if allowance is not None and beside is None:
            allowance.wanted = lambda: self._dispatcher.wanted
            allowance.width = lambda: self._dispatcher.width
        self._early = EarlyRows()
        self._probe = Probe(
            config, self._prompts, self.budget,
            dispatcher=self._dispatcher, retrying=Retrying(self.budget, policy, self._dispatcher.pause),
            remembered=remembered or RememberedFindings(None), spawn=self._loop.spawn,
            on_reached=self._early.record_reached,
        )  # fmt: skip
        self._sender = Sender(self._dispatcher, self._probe, self.budget, policy, self._loop.spawn, self._try_out_again)
        self._watcher = QueueWatcher(self._dispatcher)
        self._order = itertools.count()
        self._rows: set[Future[CaptionResult]] = set()
        self._preparing: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        """An endpoint became ready, or is left out."""
        self._client: aiohttp.ClientSession | None = None

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The servers with what is known of them; none before the first row."""
        return self._dispatcher.endpoints

    # --- from any thread

    def on_response(self, callback: OnResponse) -> None:
        """Have `callback` called with every answer to a row's request, on the loop's thread."""
        self._sender.on_response = callback

    def submit(self, request: CaptionRequest) -> Future[CaptionResult]:
        """The captions of a row, some time. The future raises RunStopped when there will be none for any row."""
        future = self._loop.submit(self._row, request, next(self._order))
        self._rows.add(future)
        future.add_done_callback(self._rows.discard)
        return future

    def get_ready(self) -> None:
        """Try the servers out now: a request will come. Errors are raised to the rows that come; the first of these
        need not wait until it is over."""
        self._loop.submit(self._get_ready)

    def ready_endpoint(self) -> Future[Endpoint]:
        """An endpoint that was tried out, so that it is known which form of requests it takes. The future raises
        RunStopped when there will be none."""
        return self._loop.submit(self._ready_endpoint)

    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> Future[T]:
        """Run `function(*args)` on the session's loop, whose connections it may use."""
        return self._loop.submit(function, *args)

    def compose(self, request: CaptionRequest, repair: int) -> list[ChatRequest]:
        """The requests that ask for `request.wanted`; see `RowRequests.compose`."""
        return self._requests.compose(request, request.wanted, repair)

    def stop_sending(self) -> None:
        """Send no more requests, and do not wait for those in flight. Rows that wait get `Stopped` when these have
        come back."""
        self._loop.call_soon(self._dispatcher.stop, Stopped())

    def drain(self) -> None:
        """Send no more requests; returns when what is in flight has come back and is kept. Rows that wait get
        `Stopped`."""
        self.stop_sending()
        concurrent.futures.wait(list(self._rows))

    def close(self) -> None:
        """End the conversation; what is in flight is given up. May be called twice."""
        self._loop.close()

    # --- on the loop's thread

    async def _wind_down(self) -> None:
        await self._keeping.finished()  # what came was paid for
        if self._client is not None:
            await self._client.close()

    async def _row(self, request: CaptionRequest, order: int) -> CaptionResult:
        conversation = RowConversation(
            request,
            lambda asked: self._sender.send(asked, order),
            config=self._config,
            requests=self._requests,
            keeping=self._keeping,
            count=self._count,
        )
        try:
            await self._ask_early(conversation, order)
            await self._ready()
            return await self._captions(conversation, order)
        except RowReject as reject:
            return CaptionResult({}, code=reject.code, message=reject.message)

    async def _captions(self, conversation: RowConversation, order: int) -> CaptionResult:
        await self._dispatcher.admit(order)
        try:
            return await conversation.captions()
        finally:
            self._dispatcher.leave()

    async def _ask_early(self, conversation: RowConversation, order: int) -> None:
        """Ask about a row while the servers are being tried out, if it is one of the first."""
        endpoint = await self._early.endpoint(self._preparing)
        if endpoint is not None:
            await conversation.ask_early(lambda asked: self._sender.send_early(endpoint, asked, order))

    # --- getting ready

    async def _ready_endpoint(self) -> Endpoint:
        await self._ready()
        return next(endpoint for endpoint in self._dispatcher.endpoints if endpoint.health.ready)

    async def _get_ready(self) -> None:
        if self._preparing is None:
            self._early.allow()
        await self._ready()

    async def _ready(self) -> None:
        """Servers are there, and a largest picture went through. Once; raises the same CaptionerError to all."""
        if self._preparing is None:
            self._preparing = self._loop.spawn(self._prepare())
        await asyncio.shield(self._preparing)

    async def _prepare(self) -> None:
        servers = await asyncio.to_thread(self._connect)
        self._client = open_client(self._config.ca_file)
        for server, limit in zip(servers, split_limit(self._config.max_in_flight, len(servers)), strict=True):
            self._dispatcher.endpoints.append(self._endpoint(server, limit, self._client))
        for endpoint in self._dispatcher.endpoints:
            self._loop.spawn(self._try_out(endpoint))
        await self._first_ready()
        if self._config.max_in_flight is None:
            self._loop.spawn(self._watcher.run())

    def _endpoint(self, server: Server, limit: int | None, client: aiohttp.ClientSession) -> Endpoint:
        config = self._config
        return Endpoint(
            server.url, config.model or "", Sampling.of(config), config.request_timeout,
            InFlightLimit(limit, shared=self.budget.shared),
            Transport(client, server.access), max_caption_chars=config.max_caption_chars, revive=server.revive,
            given_url=server.url if server.revive is None else "", health=EndpointHealth(ready=False),
            dialect=Dialect(Sampling.of(config).temperature),
            accepted_words=frozenset(config.accept_finish_reasons), on_resend=self.budget.record_resend,
            request_body=config.request_body,
        )  # fmt: skip

    def _try_out_again(self, endpoint: Endpoint) -> asyncio.Task[None]:
        """Nothing is sent to the endpoint until it was tried out, whatever is remembered of it."""
        endpoint.remembered = endpoint.health.ready = False
        endpoint.structure, endpoint.dialect = None, Dialect(endpoint.sampling.temperature)
        return self._loop.spawn(self._try_out(endpoint, again=True))

    async def _try_out(self, endpoint: Endpoint, *, again: bool = False) -> None:
        """Have the endpoint take part if it is tried out with success, else leave it out; one that is not there takes
        part when it is started. `again`: do not believe what is remembered of it."""
        with contextlib.suppress(RunStopped):
            try:
                await self._probe(endpoint, again=again)
                endpoint.health.ready = True
                self._dispatcher.dispatch()
            except EndpointFailed as error:
                self._dispatcher.leave_out(endpoint, error)
                if isinstance(error, NotThere):
                    self._loop.spawn(self._wait_for(endpoint, again=again))
            except RunStopped:
                raise
            except Exception as error:  # a bug, and nobody awaits this: rows would wait for ever
                logger.debug("%s was tried out", endpoint.url, exc_info=True)
                self._dispatcher.leave_out(endpoint, _bug(endpoint, error))
        self._changed.set()

    async def _wait_for(self, endpoint: Endpoint, *, again: bool) -> None:
        """Try the endpoint out when it is there. Another one may be at work."""
        with contextlib.suppress(RunStopped):
            await self._probe.wait_until_there(endpoint, self._policy.max_pause)
            endpoint.health.left_out = None
            await self._try_out(endpoint, again=again)

    async def _first_ready(self) -> None:
        """Returns when one endpoint is ready; the others may load their model for as long as they need.

        Raises RunStopped when none will be.
        """
        while not any(endpoint.health.ready for endpoint in self._dispatcher.endpoints):
            if self._dispatcher.error is not None:
                raise self._dispatcher.error
            self._changed.clear()
            await self._changed.wait()


def _bug(endpoint: Endpoint, error: Exception) -> EndpointFailed:
    """The error of an endpoint that something unforeseen happened with."""
    words = outside_text(f"{type(error).__name__}: {error}", endpoint.http.secrets)
    return EndpointFailed(
        f"{endpoint.url} could not be tried out because of a bug in RegionCap: {words}. Please report it."
    )
