"""Replies on this machine's disk until their answers are stored, so that a kill loses none that came.

One file for each run and process, `{folder}/{32 hex digits}.journal`, locked by the kernel for as long as its process
lives; the next run on the cache recovers what a dead one's holds. Each entry is one line, written by one system call:

    {CRC-32 of the entry, 8 hex digits} {entry, a JSON object}

The line that a kill cut off is ignored. Nothing is fsynced: a power cut may lose the latest entries.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import threading
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regioncap.records import dumps, loads
from regioncap.storage.filesystem import Place, path_of
from regioncap.storage.kernel_lock import LocksUnsupported, lock, unlock
from regioncap.storage.steps import digest

JOURNAL = "journal"
"""The folder of journals, in a cache on disk."""

NAME = re.compile(r"[0-9a-f]{32}\.journal")
_KEY = re.compile(r"[0-9a-f]{32}")

MAX_GROWTH_BYTES = 256 * 1024
"""A journal that has grown by this much is replaced by one with the entries whose answers are not stored yet."""

RECOVERY = ".recovery"
"""Locked by the process that recovers what the folder's journals hold: others that start wait for it."""

LOOK_SECONDS = 0.1

logger = logging.getLogger("regioncap")


def journal_folder(cache: Place) -> Path | None:
    """Where the journals of runs on `cache` lie: in it where it is on disk, else in the user's folder for caches; None
    where the user has none."""
    if cache.is_local:
        return Path(path_of(cache.child(JOURNAL)))
    of_user = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    with contextlib.suppress(RuntimeError):  # no home
        return of_user.expanduser() / "regioncap" / JOURNAL / digest(cache.url.rstrip("/"))
    return None


@dataclass(frozen=True)
class Entry:
    """A reply that came, and what is needed to store it with its answer.

    `key`: the answer's. `wanted`: all of the row's regions, from 1. `order`: of the request among the row's, from 1.
    `reply`: as it is stored with an answer.
    """

    key: str
    wanted: tuple[int, ...]
    model: str
    order: int
    reply: dict[str, Any]
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> Entry:
        """The entry that a journal has. Raises KeyError, TypeError, ValueError when it is another object."""
        known = {name: value[name] for name in cls.__dataclass_fields__}
        if not _KEY.fullmatch(known["key"]):
            raise ValueError("no key of an answer")
        numbers = {name: int(known[name]) for name in ("order", "prompt_tokens", "completion_tokens")}
        return cls(**{**known, **numbers, "wanted": tuple(map(int, known["wanted"]))})

    def line(self) -> bytes:
        """The entry as a journal has it."""
        data = dumps(vars(self))
        return b"%08x %s\n" % (zlib.crc32(data), data)


class _File:
    """A journal that this process writes."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError, LocksUnsupported."""
        file: int | None = None
        while file is None:  # who looks for what dead runs left may have it locked for a moment
            self.path = folder / f"{uuid.uuid4().hex}.journal"
            file = lock(self.path, append=True)
        self._file = file
        self.grown = 0

    def write(self, data: bytes) -> None:
        """Append `data`. Raises OSError."""
        written = os.write(self._file, data)
        self.grown += written
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self, *, remove: bool) -> None:
        """Let go of the file; without `remove` it is left for the next run."""
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink()
        unlock(self._file)


class Journal:
    """The journal of a run in this process; its file is made for its first entry. For any thread.

    `folder`: None for a run that keeps no journal.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._file: _File | None = None
        self._pending: dict[str, list[tuple[dict[str, Any], bytes]]] = {}
        """By key of the answer, the replies that are not stored yet and their lines."""

    def append(self, entry: Entry) -> None:
        """Write an entry. If that fails it is logged, once, and nothing more is written."""
        line = entry.line()
        with self._lock:
            if self._folder is None:
                return
            try:
                if self._file is None or self._file.grown > MAX_GROWTH_BYTES:
                    self._file = self._next_file(self._folder)
                self._file.write(line)
            except (OSError, LocksUnsupported) as error:
                self._give_up(error)
            else:
                self._pending.setdefault(entry.key, []).append((entry.reply, line))

    def stored(self, key: str, replies: Sequence[dict[str, Any]]) -> None:
        """These replies are stored with the answer `key`: they need no longer be in the journal."""
        with self._lock:
            left = [(reply, line) for reply, line in self._pending.pop(key, ()) if reply not in replies]
            if left:
                self._pending[key] = left

    def close(self) -> None:
        """The run ends. The file is removed, unless something in it is not stored."""
        with self._lock:
            self._folder = None
            if self._file is not None:
                self._file.close(remove=not self._pending)
            self._file = None

    def _next_file(self, folder: Path) -> _File:
        """A new file with what is pending; the old one goes when that is written."""
        file = _File(folder)
        for lines in self._pending.values():
            file.write(b"".join(line for _, line in lines))
        file.grown = 0
        if self._file is not None:
            self._file.close(remove=True)
        return file

    def _give_up(self, error: Exception) -> None:
        logger.warning(
            "%s: no journal can be written (%s): if this run is killed, the last replies may be requested again",
            self._folder, str(error) or "no kernel locks",
        )  # fmt: skip
        self._folder = None


# --- what dead processes left


@dataclass(frozen=True)
class DeadJournal:
    """A journal whose process has ended. `damaged`: how many entries cannot be read."""

    path: Path
    entries: list[Entry]
    damaged: int


@contextlib.contextmanager
def dead_journals(folder: Path) -> Iterator[list[DeadJournal]]:
    """The journals in `folder` that dead processes left. They are removed when the block ends without an error: by then
    all entries are stored. Other processes that look for them wait meanwhile. Raises OSError."""
    if not any(_journals_in(folder)):
        yield []
        return
    with contextlib.ExitStack() as locks:
        try:
            while (alone := lock(folder / RECOVERY)) is None:
                time.sleep(LOOK_SECONDS)
            locks.callback(unlock, alone)
            dead = [path for path in _journals_in(folder) if _lock_dead(path, locks)]
        except LocksUnsupported:  # then none was ever written
            dead = []
        yield [_read(path) for path in dead]
        for path in [*dead, folder / RECOVERY]:
            path.unlink(missing_ok=True)


def _journals_in(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        yield from (path for path in sorted(folder.iterdir()) if NAME.fullmatch(path.name))


def _lock_dead(path: Path, locks: contextlib.ExitStack) -> bool:
    """Lock a journal whose process has ended; False when it lives."""
    file = lock(path)
    if file is not None:
        locks.callback(unlock, file)
    return file is not None


def _read(path: Path) -> DeadJournal:
    *lines, _cut_off = path.read_bytes().split(b"\n")
    entries = [_entry_in(line) for line in lines]
    whole = [entry for entry in entries if entry is not None]
    return DeadJournal(path, whole, len(entries) - len(whole))


def _entry_in(line: bytes) -> Entry | None:
    """The entry in a line; None for one that is damaged."""
    checksum, _, data = line.partition(b" ")
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        if int(checksum, 16) == zlib.crc32(data):
            return Entry.of_json(loads(data))
    return None
