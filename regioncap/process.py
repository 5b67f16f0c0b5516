"""What RegionCap changes in the whole process: only while something needs it, and never by being imported.

Environment, warning filters, log filters and OpenCV's threads belong to whoever's process this is. Runs in several
threads may need the same change at once, so the first makes it and the last undoes it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ContextDecorator, contextmanager


class SharedChange(ContextDecorator):
    """A change of the process's state, shared by all blocks `with change:` that overlap, in any thread.

    Also a decorator: `@change` makes it for the time of each call. `make` gives the change as a context manager:
    entered with the first block, left with the last.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._users = 0
        self._made: AbstractContextManager[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._made is None:
                made = self._make()
                made.__enter__()
                self._made = made
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._made is not None:
                made, self._made = self._made, None
                made.__exit__(None, None, None)


class NamedChange(SharedChange):
    """A change that a module defines under the name of the function that makes it."""

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__(make)
        self._name, self.__module__ = make.__name__, make.__module__

    def __reduce__(self) -> str:
        # A cluster gets flow and tasks by value, with all that they name; there they must change that process.
        return self._name


def shared(change: Callable[[], Iterator[None]]) -> NamedChange:
    """Decorator: a generator that makes a change, yields and undoes it becomes a `SharedChange`."""
    return NamedChange(contextmanager(change))


LOOPBACK = ("localhost", "127.0.0.1", "::1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def no_proxy_for_loopback() -> dict[str, str]:
    """What the environment must say so that no proxy of its gets requests to this machine itself; empty if it does.

    A proxy elsewhere cannot reach servers of this machine: Prefect's own, and vLLM.
    """
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in PROXIES):
        return {}
    given = [name for name in ("no_proxy", "NO_PROXY") if name in os.environ] or ["NO_PROXY"]
    changes = {}
    for name in given:
        hosts = [host.strip() for host in os.environ.get(name, "").split(",") if host.strip()]
        missing = [host for host in LOOPBACK if host not in hosts]
        if missing and hosts != ["*"]:
            changes[name] = ",".join([*hosts, *missing])
    return changes


@shared
def loopback_without_proxy() -> Iterator[None]:
    """Prefect's client sends requests to its own server through the environment's proxy, unless that excepts it."""
    changes = no_proxy_for_loopback()
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@shared
def no_telemetry() -> Iterator[None]:
    """Prefect's client reports its first import, flow and run to its makers unless the environment says no.

    It looks at the environment each time, so this holds for Prefect's import and for runs alike.
    """
    if "DO_NOT_TRACK" in os.environ:  # the user has decided
        yield
        return
    os.environ["DO_NOT_TRACK"] = "1"
    try:
        yield
    finally:
        os.environ.pop("DO_NOT_TRACK", None)


@contextmanager
def environment_kept() -> Iterator[None]:
    """Undo what the block changes in the environment. OpenCV's import sets LD_LIBRARY_PATH, for every program that is
    started later."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
