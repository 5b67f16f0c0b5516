"""A flow that a Python call can run where Prefect was never set up, with nothing changed in the process afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import httpx
import prefect.settings
from prefect import Flow
from prefect.exceptions import TerminationSignal

from regioncap.config.model import RegionCapConfig
from regioncap.errors import PrefectLost, RegionCapError
from regioncap.flows.caller import stopped_by
from regioncap.flows.own_server import ensure_server
from regioncap.flows.parameters import config_of_call, taking_unknown
from regioncap.flows.undelivered import drop_undelivered
from regioncap.process import loopback_without_proxy, no_telemetry
from regioncap.run.plain_errors import plain_errors
from regioncap.run.prefect_defaults import OWN_SERVER
from regioncap.tasks.run_log import brief_console

P = ParamSpec("P")
R = TypeVar("R")


class SelfContainedFlow(Flow[P, R]):
    """A call takes a config, or the settings themselves. It brings what a server of Prefect's own needs, reaches that
    past any proxy, and sends no telemetry.

    Runs of a deployment are not calls: their process and its environment are the worker's.
    """

    if TYPE_CHECKING:

        def __call__(  # type: ignore[override]
            self, config: RegionCapConfig | Mapping[str, Any] | None = None, **settings: Any
        ) -> R: ...

        def with_options(self, **options: Any) -> SelfContainedFlow[P, R]:
            """As of any flow: a new one, with other options."""

    else:

        def __call__(self, config=None, *, return_state=False, wait_for=None, **settings):
            with no_telemetry, loopback_without_proxy, plain_errors, brief_console, settings_of_calls():
                try:
                    config = config_of_call(config, settings)
                    ensure_server()
                    return super().__call__(config, return_state=return_state, wait_for=wait_for)
                except (PrefectLost, httpx.TransportError) as error:  # Prefect's, when it puts the run's end on record
                    drop_undelivered()
                    if _is_sigterm(error):
                        signal.raise_signal(signal.SIGTERM)  # as Prefect does, where its server is still there
                    raise PrefectLost from None
                except (RegionCapError, KeyboardInterrupt) as error:  # the frames of Prefect's engine say nothing more
                    raise error.with_traceback(None) from None

        def with_options(self, **options):
            made = super().with_options(**options)
            made.__class__ = type(self)  # Prefect makes a plain flow
            made.fn = taking_unknown(made.fn, made.name)
            return made

    async def aio(self, config: RegionCapConfig | Mapping[str, Any] | None = None, **settings: Any) -> R:
        """A call beside which other asyncio tasks go on: it works in a thread of its own, since the loop's few are
        for short work. When what awaits it is cancelled, by a Ctrl-C too, the run stops; what is done is kept."""
        cancelled = threading.Event()
        with stopped_by(cancelled.is_set):
            call = functools.partial(contextvars.copy_context().run, self, config, **settings)
        thread = ThreadPoolExecutor(1, thread_name_prefix="region-caption")
        running = asyncio.get_running_loop().run_in_executor(thread, call)
        thread.shutdown(wait=False)  # it ends after the call
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            cancelled.set()
            await asyncio.wait([running])  # the run ends in order
            raise


def _is_sigterm(error: BaseException) -> bool:
    """Whether the error arose while a SIGTERM ended the run: systemd and `timeout` send it to the server as well."""
    while error.__context__ is not None and not isinstance(error, TerminationSignal):
        error = error.__context__
    return isinstance(error, TerminationSignal)


@contextlib.contextmanager
def settings_of_calls() -> Iterator[None]:
    """Prefect's settings in a call; what the user's environment or profile says stays."""
    defaults: dict[Any, Any] = {getattr(prefect.settings, name): value for name, value in OWN_SERVER.items()}
    # Whoever calls sees that a run is alive; at its end Prefect would wait for its heartbeat, which sleeps a second.
    defaults["flows.heartbeat_frequency"] = None
    with prefect.settings.temporary_settings(set_defaults=defaults):
        yield


def self_contained_flow(**options: Any) -> Callable[[Callable[P, R]], SelfContainedFlow[P, R]]:
    """Prefect's `@flow(**options)`, for a flow of this class."""

    def decorate(function: Callable[P, R]) -> SelfContainedFlow[P, R]:
        with no_telemetry:  # Prefect reports the first flow that is defined
            return SelfContainedFlow(function, **options)

    return decorate
