"""A flow that a Python call can run where Prefect was never set up, with nothing changed in the process afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import prefect.settings
from prefect import Flow

from regioncap.process import loopback_without_proxy, no_telemetry
from regioncap.run.plain_errors import plain_errors
from regioncap.run.prefect_defaults import OWN_SERVER

P = ParamSpec("P")
R = TypeVar("R")


class SelfContainedFlow(Flow[P, R]):
    """Calls of this flow bring the settings that a server of Prefect's own needs, reach it past any proxy, and send no
    telemetry.

    Runs of a deployment are not calls: their process and its environment are the worker's.
    """

    if not TYPE_CHECKING:  # typed as Flow's, whose overloads keep parameters and result

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with no_telemetry, loopback_without_proxy, plain_errors, _own_server_settings():
                return super().__call__(*args, **kwargs)


@contextlib.contextmanager
def _own_server_settings() -> Iterator[None]:
    defaults: dict[Any, Any] = {getattr(prefect.settings, name): value for name, value in OWN_SERVER.items()}
    with prefect.settings.temporary_settings(set_defaults=defaults):
        yield


def self_contained_flow(**options: Any) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Prefect's `@flow(**options)`, for a flow of this class."""

    def decorate(function: Callable[P, R]) -> Flow[P, R]:
        with no_telemetry:  # Prefect reports the first flow that is defined
            return SelfContainedFlow(function, **options)

    return decorate
