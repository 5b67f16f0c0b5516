"""A lease in a store without kernel locks: a small object that is made only where there is none.

    {place}/1      holder and count of renewals; written again every few seconds
    {place}/2      of whoever took over, since 1 was not renewed; the highest number holds the lease

Only a conditional write is needed (S3's `If-None-Match`), since nobody ever replaces what another has written. Ages are
by the store's clock. Where conditional writes are unknown the last writer wins.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from regioncap.errors import StorageError
from regioncap.storage.conditional_writes import content_of, create_record, replaces_silently
from regioncap.storage.filesystem import Place, path_of
from regioncap.storage.holders import Holder, LeaseHeld

TTL_SECONDS = 60.0
RENEWALS = 6
"""How often a lease is renewed before it would be over."""

NUMBER = re.compile(r"[1-9][0-9]{0,14}")
UNKNOWN = "a process that left no name"

LOOKS = 4
"""How often another's lease is looked at between two renewals of it."""

logger = logging.getLogger("regioncap")


class Clock:
    """Time on this machine, of which only differences count."""

    def now(self) -> float:
        """Seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(frozen=True)
class Entry:
    """A lease as it was found: its number and content. `holder`: None where the content is no record."""

    number: int
    data: bytes
    holder: Holder | None


class StoreLease:
    """See the module's docstring, and `regioncap.storage.leases.Lease`."""

    def __init__(self, place: Place, holder: Holder, ttl: float, clock: Clock) -> None:
        self._place = place
        self._holder = holder
        self._ttl = ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._number = 0
        self._renewals = 0

    # --- taking it

    def take(self) -> None:
        """Raises LeaseHeld when another holds the lease, StorageError."""
        while True:
            found = self._newest()
            if found is not None:
                self._wait_until_over(found)
            number = found.number + 1 if found is not None else 1
            if self._create(self._place.child(str(number))):
                self._number = number
                self._remove_up_to(number - 1)
                return

    def _newest(self) -> Entry | None:
        for number in reversed(self._numbers()):
            data = content_of(self._place.child(str(number)))
            if data is not None:  # else it was removed since it was listed
                return Entry(number, data, Holder.read(data))
        return None

    def _numbers(self) -> list[int]:
        return sorted(int(name) for name in self._place.names() if NUMBER.fullmatch(name))

    def _create(self, place: Place) -> bool:
        """Write our record where there is none. Returns whether it is ours that is there now."""
        record = self._record()
        created = create_record(place, record)
        if created is None:
            place.write(record)
        if created is None or (created and replaces_silently(place, record)):
            self._say_last_one_wins()
        return created is not False

    def _say_last_one_wins(self) -> None:
        logger.warning(
            "%s: this store has no conditional writes, so two runs that start at the same moment may both go on; the "
            "last one to write wins",
            self._place.parent.url,
        )

    # --- another's lease

    def _wait_until_over(self, found: Entry) -> None:
        """Return when the lease that was found is over: at once where that is known; else it is watched until it is
        renewed, or should have been. Raises LeaseHeld."""
        if found.holder is not None and found.holder.is_near:
            if found.holder.is_dead:
                return
            raise LeaseHeld(found.holder)
        age = self._age(found)
        until = self._clock.now() + self._ttl - age
        if age < self._ttl:
            logger.warning(
                "in use by %s, which was last heard of %.0f s ago: waiting up to %.0f s to see whether it still runs",
                found.holder or UNKNOWN, age, self._ttl - age,
            )  # fmt: skip
        while (left := until - self._clock.now()) > 0:
            self._clock.sleep(min(left, self._ttl / RENEWALS / LOOKS))
            latest = self._newest()
            if latest is None:
                return
            if latest != found:
                raise LeaseHeld(latest.holder)

    def _age(self, found: Entry) -> float:
        """Seconds since the lease was renewed, by the store's clock; 0 where that is not known, or yet to come."""
        probe = self._place.child(f"clock-{self._holder.token}")
        probe.write(b"")
        try:
            changed = {file.place.name: file.changed_at for file in self._place.listed()}
        finally:
            probe.remove()
        now = changed.get(probe.name, 0.0)
        return max(0.0, now - changed.get(str(found.number), now))

    # --- holding it

    def keep(self, on_lost: Callable[[], None]) -> None:
        """Renew the lease from a thread until it ends; `on_lost` is called when another has taken it."""
        threading.Thread(target=self._keep, args=(on_lost,), name="lease", daemon=True).start()

    def _keep(self, on_lost: Callable[[], None]) -> None:
        while not self._ended.wait(self._ttl / RENEWALS):
            with contextlib.suppress(StorageError):  # the next one may succeed, in time
                if not self.renew():
                    if not self._ended.is_set():
                        on_lost()
                    return

    def renew(self) -> bool:
        """See `Lease`."""
        with self._lock:
            if self._ended.is_set():
                return False
            found = self._newest()
            if found is not None and (found.number > self._number or not self._is_ours(found)):
                return False
            self._renewals += 1
            self._place.child(str(self._number)).write(self._record())
            return True

    def _is_ours(self, found: Entry) -> bool:
        return found.number < self._number or (found.holder is not None and found.holder.token == self._holder.token)

    def _record(self) -> bytes:
        return self._holder.record(renewals=self._renewals)

    def release(self) -> None:
        """See `Lease`."""
        with self._lock:
            if self._ended.is_set() or self._holder.pid != os.getpid():
                return
            self._ended.set()
            try:
                self._remove_up_to(self._number)
                if self._place.is_local:
                    with contextlib.suppress(OSError):
                        Path(path_of(self._place)).rmdir()
            except StorageError as error:
                logger.warning("the lease stays until it is over, in %.0f s: %s", self._ttl, error)

    def _remove_up_to(self, number: int) -> None:
        for older in self._numbers():
            if older <= number:
                self._place.child(str(older)).remove()
