"""Local copies of images that lie far or in containers, in a temporary folder of bounded size, for as long as a shard
needs them.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import uuid
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from regioncap.storage.temporary import TemporaryFolder

K = TypeVar("K", bound=Hashable)

MAX_BYTES = 4_000_000_000
MAX_DISK_SHARE = 0.5
"""Share of the space that is free on the temporary disk when the first image arrives."""


@dataclass
class _Held:
    users: int
    path: Path | None = None
    size: int = 0


class Scratch(Generic[K]):
    """Reference-counted copies, by any key. What does not fit is not copied: it is read from its source."""

    def __init__(self, most_bytes: int = MAX_BYTES) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._held: dict[K, _Held] = {}
        self._folder: TemporaryFolder | None = None
        self._closed = False
        self.bytes = 0

    @contextlib.contextmanager
    def holding(self, keys: Sequence[K]) -> Iterator[list[K]]:
        """Hold the copies of these files during the block; gives the keys whose copies are not there yet, to `put`."""
        with self._lock:
            new = [key for key in keys if key not in self._held]
            for key in keys:
                self._held.setdefault(key, _Held(0)).users += 1
        try:
            yield new
        finally:
            for key in keys:
                self._let_go(key)

    @property
    def is_full(self) -> bool:
        """Whether nothing more will be held for now."""
        return self.bytes >= self._most

    def put(self, key: K, data: bytes) -> None:
        """Hold `data` as the copy of `key` as long as somebody needs it, if there is room. Raises OSError."""
        path = self._place() / uuid.uuid4().hex
        with self._lock:
            held = self._held.get(key)
            if held is None or held.size or self.bytes + len(data) > self._most:
                return
            self.bytes += len(data)
            held.size = len(data)
        path.write_bytes(data)
        held.path = path

    def read(self, key: K) -> bytes | None:
        """The copy's bytes; None when there is none."""
        held = self._held.get(key)
        if held is None or held.path is None:
            return None
        try:
            return held.path.read_bytes()
        except FileNotFoundError:
            return None

    def _let_go(self, key: K) -> None:
        with self._lock:
            held = self._held[key]
            held.users -= 1
            if held.users:
                return
            del self._held[key]
            self.bytes -= held.size
        if held.path is not None:
            held.path.unlink(missing_ok=True)

    def _place(self) -> Path:
        with self._lock:
            if self._closed:
                raise FileNotFoundError("the run is over")
            if self._folder is None:
                self._folder = TemporaryFolder("images")
                self._most = min(self._most, int(shutil.disk_usage(self._folder.path).free * MAX_DISK_SHARE))
            return self._folder.path

    def close(self) -> None:
        """Remove the folder."""
        with self._lock:
            self._closed = True
            if self._folder is not None:
                self._folder.remove()
            self._folder = None
