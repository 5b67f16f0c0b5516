"""Where tasks find their run: the one piece of state that RegionCap keeps in a module."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from typing import ClassVar

from regioncap.config.model import RegionCapConfig
from regioncap.errors import Stopped
from regioncap.run.context import RunContext


class Runs:
    """The contexts of the runs in this process, by run and config.

    A task is given a `Step` and the config, since these travel between processes. Threads, the captioner and open files
    do not, so each process needs one place where its tasks find those of their run. A run has a name, carried by a
    context variable that Prefect copies into its threads: two runs with the same config in one process share nothing,
    and a run that has ended stays so for threads of it that are still under way.
    """

    _name: ClassVar[ContextVar[str]] = ContextVar("run", default="")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contexts: dict[tuple[str, str], RunContext] = {}
        self._closed: set[str] = set()
        self._joined: set[str] = set()
        """Runs that began in other processes."""

    @contextlib.contextmanager
    def enter(self, name: str = "") -> Iterator[None]:
        """In this block the caller is in the run `name`, which began in another process; without a name in the run that
        it is in already, else in a new one."""
        if name:
            self._joined.add(name)
        token = self._name.set(name or self._name.get() or uuid.uuid4().hex)
        try:
            yield
        finally:
            self._name.reset(token)

    @property
    def current(self) -> str:
        """The name of the run that the caller is in; "" outside of any."""
        return self._name.get()

    def context(self, config: RegionCapConfig) -> RunContext:
        """The run's context for `config`, the same for all of its tasks in this process; made when first needed.

        Raises Stopped in a run that was closed.
        """
        key = self._key(config)
        with self._lock:
            if key[0] in self._closed:
                raise Stopped
            if key not in self._contexts:
                self._contexts[key] = RunContext(config, key[0], joined=key[0] in self._joined)
            return self._contexts[key]

    def find(self, config: RegionCapConfig) -> RunContext | None:
        """What `context` gave before; None when it was not needed yet, or is closed."""
        with self._lock:
            return self._contexts.get(self._key(config))

    def close(self, config: RegionCapConfig) -> None:
        """Close the run and what its context holds, for good."""
        key = self._key(config)
        with self._lock:
            self._closed.add(key[0])
            context = self._contexts.pop(key, None)
        if context is not None:
            context.close()

    def __reduce__(self) -> str:
        # A cluster gets flow and tasks by value, with all that they name; there they need the runs of that process.
        return "RUNS"

    def __len__(self) -> int:
        """How many contexts are open."""
        return len(self._contexts)

    def _key(self, config: RegionCapConfig) -> tuple[str, str]:
        return self._name.get(), config.model_dump_json()


RUNS = Runs()
