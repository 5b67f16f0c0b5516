"""Where a run has its marked pictures."""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import CancelledError, Executor, Future

from regioncap.errors import Stopped
from regioncap.records import Row
from regioncap.run.threads import result_of
from regioncap.storage.filesystem import Place

MAX_BYTES_ON_THEIR_WAY = 32_000_000
"""Pictures that wait for a thread that stores them; beyond that, who draws them stores them."""


class MarkedPictures:
    """The marked pictures (JPEG) of a run: stored in the cache (`keep`), or only held in memory for the model to see.

    At most `most_bytes` are in memory, also where the cache is an object store; a picture that is gone must be drawn
    again by the caller. `pool`: stores pictures in an object store, so that who draws them need not wait for it.
    """

    def __init__(
        self, folder: Place, keep: bool, most_bytes: int = 128_000_000, *, pool: Executor | None = None
    ) -> None:
        self.folder = folder
        self._keep = keep
        self._most_bytes = most_bytes
        self._pool = pool
        self._on_their_way: dict[str, Future[None]] = {}
        self._bytes_on_their_way = 0
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._stored = array("Q")
        """Of an object store, the first 64 bits of the names that this process stored there: 8 bytes a picture."""
        self._sorted = array("Q")
        self._bytes = 0
        self._lock = threading.Lock()

    def place(self, sha256: str) -> Place:
        """Where the picture with this sha256 is stored."""
        return self.folder.child(sha256[:2], f"{sha256}.jpg")

    def put(self, sha256: str, jpeg: bytes) -> None:
        """Store, or hold, a picture that was just drawn. In an object store it may still be on its way: `wait_for`."""
        if self._keep and self.folder.is_local:
            place = self.place(sha256)
            if place.size() != len(jpeg):
                place.write(jpeg, durable=False)
            return
        with self._lock:
            self._bytes += len(jpeg) - len(self._held.pop(sha256, b""))
            self._held[sha256] = jpeg
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._held.popitem(last=False)[1])
        if self._keep:
            self._send(sha256, jpeg)

    def _send(self, sha256: str, jpeg: bytes) -> None:
        with self._lock:
            before = self._on_their_way.get(sha256)
            if before is not None and not before.done():
                return
            if self._pool is not None and self._bytes_on_their_way < MAX_BYTES_ON_THEIR_WAY:
                with contextlib.suppress(RuntimeError):  # the run is over, and its threads take nothing on
                    self._on_their_way[sha256] = self._pool.submit(self._store_apart, sha256, jpeg)
                    self._bytes_on_their_way += len(jpeg)
                    return
        self._store(sha256, jpeg)

    def _store_apart(self, sha256: str, jpeg: bytes) -> None:
        try:
            self._store(sha256, jpeg)
            with self._lock:
                del self._on_their_way[sha256]  # one that failed stays, for all who wait for it
        finally:
            with self._lock:
                self._bytes_on_their_way -= len(jpeg)

    def _store(self, sha256: str, jpeg: bytes) -> None:
        self.place(sha256).write(jpeg, durable=False)
        with self._lock:
            self._stored.append(_bits(sha256))

    def wait_for(self, names: Iterable[str], stop: threading.Event) -> None:
        """Return when these pictures are stored, as far as they were put here. Raises StorageError; Stopped once `stop`
        is set."""
        for name in names:
            if (storing := self._on_their_way.get(name)) is not None:
                try:
                    result_of(storing, stop)
                except CancelledError:
                    raise Stopped from None

    def not_stored_here(self, names: Iterable[str]) -> set[str]:
        """Those of the pictures that this process did not store itself, for a store where looking costs a request."""
        with self._lock:
            if len(self._stored) > len(self._sorted):
                self._sorted = array("Q", sorted(self._stored))
        return {name for name in names if not _has(self._sorted, _bits(name))}

    def get(self, sha256: str) -> bytes | None:
        """The picture's bytes, or None when it must be drawn again."""
        with self._lock:
            held = self._held.get(sha256)
        return held if held is not None else self.read(sha256)

    def read(self, sha256: str) -> bytes | None:
        """The bytes of a stored picture; None when it is not there, or damaged."""
        try:
            jpeg = self.place(sha256).read()
        except FileNotFoundError:
            return None
        return jpeg if hashlib.sha256(jpeg).hexdigest() == sha256 else None

    def replace(self, sha256: str, jpeg: bytes) -> None:
        """Store a picture in place of a damaged one."""
        self.place(sha256).write(jpeg, durable=False)

    def put_all(self, drawn: Row, jpegs: list[bytes]) -> None:
        """Store, or hold, the pictures of a row as `regioncap.tasks.draw_row` draws them."""
        for name, jpeg in zip(names_of(drawn), jpegs, strict=True):
            self.put(name, jpeg)


def names_of(drawn: Row) -> list[str]:
    """The sha256 of the marked pictures of a row that was drawn: the whole one, then those of its parts."""
    return [picture["sha256"] for picture in (drawn["marked"], *drawn.get("parts", []))]


def _bits(sha256: str) -> int:
    return int(sha256[:16], 16)


def _has(ordered: array[int], bits: int) -> bool:
    at = bisect.bisect_left(ordered, bits)
    return at < len(ordered) and ordered[at] == bits
