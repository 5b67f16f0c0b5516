"""The register of live runs on a cache, so that runs at the same time know of each other.

    {cache}/live/{token}          a run in one process: who it is
    {cache}/live/{token}.claims   it claims each answer before it requests it

On a local disk a record is locked by the kernel for as long as its process lives. Elsewhere it is written again every
few seconds, and its age is told by the store's clock. The record of a run that
was killed is removed by the first run that finds it.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regioncap.errors import StorageError
from regioncap.records import loads
from regioncap.storage.conditional_writes import content_of, create_record, replaces_silently
from regioncap.storage.filesystem import Place, path_of
from regioncap.storage.holders import Holder
from regioncap.storage.kernel_lock import LocksUnsupported, lock, unlock
from regioncap.storage.storage_errors import translated
from regioncap.storage.store_lease import RENEWALS, TTL_SECONDS, Clock

LIVE = "live"
NAME = re.compile(r"[0-9a-f]{32}(?:\.claims)?")
RETRY_SECONDS = 0.01


@dataclass(frozen=True)
class LiveRun:
    """A run that lives, in one process. `group`: the same for all processes of a run. `holder`: None where the record
    does not tell. `claims`: whether it claims answers before it requests them."""

    token: str
    group: str
    holder: Holder | None
    claims: bool


class LiveRuns(ABC):
    """The register as one process sees it that is in it from `register` to `withdraw`. For any thread.

    `group`: names the run; "" for a run in one process.
    """

    look_every: float
    """Seconds between two looks at the register: one costs as much as listing a small folder."""
    look_every_alone: float
    """The same when a run has been alone for long: one that comes waits for the next look."""

    def __init__(self, cache: Place, holder: Holder, group: str) -> None:
        self.holder = holder
        self._folder = cache.child(LIVE)
        self._place = self._folder.child(holder.token)
        self.group = group or holder.token
        self._record = holder.record(group=self.group)
        self._claims = False
        self._known: dict[str, tuple[str, Holder | None]] = {}
        """(group, holder) of others, by token: a record says the same for as long as it is there."""

    @abstractmethod
    def register(self) -> None:
        """Be in the register from now on. Raises StorageError."""

    @abstractmethod
    def _tokens_of_living(self, changed_at: dict[str, float]) -> Iterator[str]:
        """Those whose processes live; records of others are removed. `changed_at`: when each record was written."""

    @abstractmethod
    def _withdraw_record(self) -> None:
        """Remove our record."""

    def others(self) -> list[LiveRun]:
        """The other runs that live; processes of our own run are left out. Raises StorageError."""
        return [run for run in self.all_living() if run.group != self.group]

    def all_living(self) -> list[LiveRun]:
        """All processes that live, ours and others of our run too, by one listing. Raises StorageError."""
        names = {item.name: item.changed_at for item in self._folder.items() if NAME.fullmatch(item.name)}
        living = self._tokens_of_living({name: at for name, at in names.items() if "." not in name})
        return [LiveRun(token, *self._who(token), f"{token}.claims" in names) for token in living]

    def announce_claims(self) -> bool:
        """Say that from now on we claim each answer first. Returns whether the store has conditional writes, without
        which there are no claims. Raises StorageError."""
        marker, self._claims = self._folder.child(f"{self.holder.token}.claims"), True
        created = create_record(marker, self._record)
        if created is None:
            marker.write(self._record)
        return created is not None and not replaces_silently(marker, self._record)

    def withdraw(self) -> None:
        """Leave the register."""
        if self._claims:  # else nothing is there, and in a store looking costs a request
            with contextlib.suppress(StorageError):
                self._folder.child(f"{self.holder.token}.claims").remove()
        self._withdraw_record()

    def _remove_ours(self) -> None:
        with contextlib.suppress(StorageError):
            self._place.remove()

    def _who(self, token: str) -> tuple[str, Holder | None]:
        if token not in self._known:
            data = content_of(self._folder.child(token)) or b""
            group = ""
            with contextlib.suppress(ValueError, TypeError, KeyError):
                group = str(loads(data)["group"])
            if not group:  # it is being written
                return token, None
            self._known[token] = group, Holder.read(data)
        return self._known[token]

    def _remove(self, token: str) -> None:
        for name in (f"{token}.claims", token):
            with contextlib.suppress(StorageError):
                self._folder.child(name).remove()


class KernelLiveRuns(LiveRuns):
    """On a local disk: whoever has a record locked lives."""

    look_every = look_every_alone = 0.2
    _file: int | None = None

    def register(self) -> None:
        """See `LiveRuns`. Raises LocksUnsupported, too."""
        path = Path(path_of(self._place))
        with translated(str(path), "write"):
            while (file := lock(path, append=True)) is None:  # who looks whether we live may have it for a moment
                time.sleep(RETRY_SECONDS)
            self._file = file
            os.write(file, self._record)

    def _tokens_of_living(self, changed_at: dict[str, float]) -> Iterator[str]:
        for token in changed_at:
            with contextlib.suppress(OSError):
                ours = token == self.holder.token
                file = None if ours else lock(Path(path_of(self._folder.child(token))))
                if file is None:
                    yield token
                else:
                    self._remove(token)
                    unlock(file)

    def _withdraw_record(self) -> None:
        self._remove_ours()
        if self._file is not None:
            unlock(self._file)
        self._file = None


class StoreLiveRuns(LiveRuns):
    """Elsewhere: whoever's record was written not long ago lives."""

    look_every = 1.0
    look_every_alone = TTL_SECONDS / RENEWALS / 2

    def __init__(self, cache: Place, holder: Holder, group: str, clock: Clock) -> None:
        super().__init__(cache, holder, group)
        self._clock = clock
        self._lock = threading.Lock()
        self._written_at: float | None = None
        """By our clock; None when we are not registered."""

    def register(self) -> None:
        """See `LiveRuns`."""
        self._written_at = self._clock.now()
        self._renew()

    def _tokens_of_living(self, changed_at: dict[str, float]) -> Iterator[str]:
        ours = changed_at.get(self.holder.token)
        written_at = self._written_at
        for token, at in changed_at.items():
            holder = self._who(token)[1]
            known_dead = holder is not None and holder.is_dead
            age = 0.0 if ours is None or written_at is None else ours - at + self._clock.now() - written_at
            if token == self.holder.token or not (known_dead or age > TTL_SECONDS):
                yield token
            else:
                self._remove(token)
        if written_at is not None and (ours is None or self._clock.now() - written_at > TTL_SECONDS / RENEWALS):
            self._renew()

    def _renew(self) -> None:
        with self._lock:
            if self._written_at is not None:
                self._place.write(self._record)
                self._written_at = self._clock.now()

    def _withdraw_record(self) -> None:
        with self._lock:
            self._written_at = None
            self._remove_ours()


def register_live(cache: Place, holder: Holder, group: str = "", clock: Clock | None = None) -> LiveRuns:
    """Register a run in this process as live. Raises StorageError."""
    if cache.is_local:
        with contextlib.suppress(LocksUnsupported):
            on_disk = KernelLiveRuns(cache, holder, group)
            on_disk.register()
            return on_disk
    elsewhere = StoreLiveRuns(cache, holder, group, clock or Clock())
    elsewhere.register()
    return elsewhere
