"""Leases: one at a time may do something at a place, such as write an output.

On a local disk a lease is a kernel lock (`kernel_lease.py`); elsewhere, and on disks without locks, an object that is
made only where there is none, and renewed by a thread (`store_lease.py`). Whoever holds a lease asks `renew` before
doing what cannot be undone.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from regioncap.storage.filesystem import Place, path_of
from regioncap.storage.holders import Holder
from regioncap.storage.kernel_lease import KernelLease
from regioncap.storage.kernel_lock import LocksUnsupported
from regioncap.storage.store_lease import TTL_SECONDS, Clock, StoreLease

COMMITTING = ("hf://",)
"""Stores that keep every write for good: they are not for a record that is written again and again."""

logger = logging.getLogger("regioncap")


class Lease(Protocol):
    """What this process holds until `release`, or until it ends. For any thread."""

    def renew(self) -> bool:
        """Show that the holder lives. Returns whether the lease is still ours. Raises StorageError."""

    def release(self) -> None:
        """Let the lease go. Does nothing the second time, nor in a forked process."""


class NoLease:
    """Stands for a lease where there can be none."""

    def renew(self) -> bool:
        """See `Lease`."""
        return True

    def release(self) -> None:
        """See `Lease`."""


def acquire(
    place: Place,
    holder: Holder,
    *,
    ttl: float = TTL_SECONDS,
    on_lost: Callable[[], None] = lambda: None,
    clock: Clock | None = None,
) -> Lease:
    """Take the lease at `place`, a name that nothing else has.

    `ttl`: seconds after which a lease that is not renewed is over, where no kernel ends it; a lease whose holder may
    live is watched for at most as long. `on_lost` is called, from a thread, when another has taken the lease.

    Raises LeaseHeld when another holds it, StorageError.
    """
    if place.address.startswith(COMMITTING):
        logger.warning(
            "%s: every write is a commit there, so runs do not see each other: start one at a time", place.url
        )
        return NoLease()
    if place.is_local:
        with contextlib.suppress(LocksUnsupported):
            return KernelLease(Path(path_of(place)), holder)
    lease = StoreLease(place, holder, ttl, clock or Clock())
    lease.take()
    lease.keep(on_lost)
    return lease
