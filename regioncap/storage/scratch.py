"""Local copies of remote images, in a temporary folder of bounded size, for as long as a shard needs them."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 4_000_000_000
MAX_DISK_SHARE = 0.5
"""Share of the space that is free on the temporary disk when the first image arrives."""


@dataclass
class _Held:
    users: int
    path: Path | None = None
    size: int = 0


class Scratch:
    """Reference-counted copies of remote files. What does not fit is not copied: it is read from its source."""

    def __init__(self, most_bytes: int = MAX_BYTES) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._folder: Path | None = None
        self._closed = False
        self.bytes = 0

    @contextlib.contextmanager
    def holding(self, addresses: Sequence[str], read: Callable[[str], bytes], pool: Executor) -> Iterator[None]:
        """Hold copies of the files at `addresses` during the block; they are fetched by the threads of `pool`."""
        with self._lock:
            new = [address for address in addresses if address not in self._held]
            for address in addresses:
                self._held.setdefault(address, _Held(0)).users += 1
        try:
            for _ in pool.map(lambda address: self._fetch(address, read), new):
                pass
            yield
        finally:
            for address in addresses:
                self._let_go(address)

    def read(self, address: str) -> bytes | None:
        """The copy's bytes; None when there is none."""
        held = self._held.get(address)
        if held is None or held.path is None:
            return None
        try:
            return held.path.read_bytes()
        except FileNotFoundError:
            return None

    def _fetch(self, address: str, read: Callable[[str], bytes]) -> None:
        if self.bytes >= self._most:
            return
        try:
            data = read(address)
            path = self._place() / uuid.uuid4().hex
            with self._lock:
                if self.bytes + len(data) > self._most:
                    return
                self.bytes += len(data)
                held = self._held[address]
                held.size = len(data)
            path.write_bytes(data)
            held.path = path
        except Exception:
            # Reading the image fails in the same way, and there the failure belongs to a row.
            return

    def _let_go(self, address: str) -> None:
        with self._lock:
            held = self._held[address]
            held.users -= 1
            if held.users:
                return
            del self._held[address]
            self.bytes -= held.size
        if held.path is not None:
            held.path.unlink(missing_ok=True)

    def _place(self) -> Path:
        with self._lock:
            if self._closed:
                raise FileNotFoundError("the run is over")
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="regioncap-images-"))
                self._most = min(self._most, int(shutil.disk_usage(self._folder).free * MAX_DISK_SHARE))
            return self._folder

    def close(self) -> None:
        """Remove the folder."""
        with self._lock:
            self._closed = True
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
