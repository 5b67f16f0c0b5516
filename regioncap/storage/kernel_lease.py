"""A lease on a local disk: a kernel lock on a hidden file.

The file is removed when the lease ends; after kill -9 it stays, without a lock, for the next holder.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from regioncap.storage.holders import MAX_RECORD_BYTES, Holder, LeaseHeld
from regioncap.storage.kernel_lock import is_at, lock, unlock
from regioncap.storage.storage_errors import translated


class KernelLease:
    """A lease that this process holds; see `regioncap.storage.leases.Lease`."""

    def __init__(self, path: Path, holder: Holder) -> None:
        """Raises LeaseHeld, LocksUnsupported, and StorageError when the file cannot be written."""
        self._path = path
        self._holder = holder
        self._mutex = threading.Lock()
        self._file: int | None = self._take()

    def _take(self) -> int:
        with translated(str(self._path), "write"):
            file = lock(self._path)
            if file is None:
                raise LeaseHeld(self._holder_on_record())
            try:
                os.ftruncate(file, 0)
                os.pwrite(file, self._holder.record(), 0)
            except OSError:
                self._give_up(file)
                raise
        return file

    def _holder_on_record(self) -> Holder | None:
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            return Holder.read(file.read(MAX_RECORD_BYTES))
        return None

    def renew(self) -> bool:
        """See `Lease`. Where the file was removed by hand, the lease is taken again unless another was faster."""
        with self._mutex:
            if self._file is None or is_at(self._file, self._path):
                return self._file is not None
            self._give_up(self._file)
            self._file = None
            with contextlib.suppress(LeaseHeld):
                self._file = self._take()
            return self._file is not None

    def release(self) -> None:
        """See `Lease`."""
        if self._holder.pid != os.getpid():
            return
        with self._mutex:
            if self._file is not None:
                self._give_up(self._file)
            self._file = None

    def _give_up(self, file: int) -> None:
        with contextlib.suppress(OSError):
            if is_at(file, self._path):
                self._path.unlink()
        unlock(file)
