"""Texts put under keys, in any order, and given back key by key: on disk, so that memory stays as it is.

SQLite keeps them in a file of its own without a name, which is gone with the process (https://sqlite.org/inmemorydb.html,
"Temporary Databases").
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter

from regioncap.errors import StorageError

BATCH = 2000
CACHE_KIB = 32_000

Head = tuple[int, bytes, bytes]
"""What a group goes by: a number, its key, and a text."""


class Groups:
    """Items under keys. First `add` and `head`, then `close_groups`, then `groups` as often as wanted.

    Raises StorageError from every method when the temporary folder's disk is full.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[bytes, bytes]] = []
        self._count = 0
        with _translated():
            self._db = _database()
            self._db.execute("CREATE TABLE items (place INTEGER PRIMARY KEY, key BLOB, text BLOB)")
            self._db.execute("CREATE TABLE heads (place INTEGER PRIMARY KEY, number INTEGER, key BLOB, text BLOB)")
            self._db.execute("BEGIN")

    def add(self, key: bytes, text: bytes) -> int:
        """Put `text` under `key`; gives its place among all items, from 1."""
        self._waiting.append((key, text))
        self._count += 1
        if len(self._waiting) >= BATCH:
            self._flush()
        return self._count

    def head(self, number: int, key: bytes, text: bytes) -> None:
        """Add a group: the items under `key`, in the order of the heads."""
        with _translated():
            self._db.execute("INSERT INTO heads (number, key, text) VALUES (?, ?, ?)", (number, key, text))

    def close_groups(self) -> None:
        """No more items or heads come. Keys without a head get one now, after the others, in the order in which they
        came first; its number is the place of its first item."""
        self._flush()
        with _translated():
            self._db.execute("CREATE INDEX by_key ON items (key)")
            self._db.execute(
                "INSERT INTO heads (number, key, text) SELECT first, key, x'' FROM "
                "(SELECT MIN(place) AS first, key FROM items GROUP BY key) "
                "WHERE key NOT IN (SELECT key FROM heads) ORDER BY first"
            )
            self._db.execute("COMMIT")

    def groups(self, first: int = 0, behind: int = 1 << 62) -> Iterator[tuple[Head, list[bytes]]]:
        """Every head with the texts of its items, in order; only heads whose number is in `first` … `behind` - 1."""
        with _translated():
            # CROSS JOIN has SQLite walk the heads and look the items up, so that nothing is sorted.
            found = self._db.execute(
                "SELECT heads.place, number, heads.key, heads.text, items.text FROM heads "
                "LEFT JOIN items INDEXED BY by_key ON items.key = heads.key "
                "WHERE number >= ? AND number < ? ORDER BY heads.place, items.place",
                (first, behind),
            )
            for _, rows in groupby(found, itemgetter(0)):
                texts = list(rows)
                _, number, key, text, _ = texts[0]
                yield (number, key, text), [item for *_, item in texts if item is not None]

    def count(self) -> int:
        """How many groups there are."""
        return int(self._db.execute("SELECT COUNT(*) FROM heads").fetchone()[0])

    def _flush(self) -> None:
        with _translated():
            self._db.executemany("INSERT INTO items (key, text) VALUES (?, ?)", self._waiting)
        self._waiting.clear()


def _database() -> sqlite3.Connection:
    # Used by whichever thread wants the next rows, one at a time.
    database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KIB}"):
        database.execute(f"PRAGMA {pragma}")
    return database


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(tempfile.gettempdir(), "keep a table's rows in", str(error)) from error


class Seen:
    """Which keys have been met, on disk. Raises StorageError as `Groups` does."""

    def __init__(self) -> None:
        with _translated():
            self._db = _database()
            self._db.execute("CREATE TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID")
            self._db.execute("BEGIN")

    def first_time(self, key: bytes) -> bool:
        """Whether `key` was not met before; it is met now."""
        with _translated():
            return self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,)).rowcount == 1


class Lookup:
    """Texts by two keys, taken out again one by one, on disk. Raises StorageError as `Groups` does."""

    def __init__(self) -> None:
        with _translated():
            self._db = _database()
            self._db.execute("CREATE TABLE items (place INTEGER PRIMARY KEY, key BLOB, exact BLOB, text BLOB)")
            self._db.execute("CREATE INDEX by_key ON items (key, exact)")
            self._db.execute("BEGIN")

    def put(self, key: bytes, exact: bytes, text: bytes) -> None:
        """Keep `text` under `key`, and within it under `exact`."""
        with _translated():
            self._db.execute("INSERT INTO items (key, exact, text) VALUES (?, ?, ?)", (key, exact, text))

    def take(self, key: bytes, exact: bytes) -> bytes | None:
        """The first text under both keys, else the first under `key`; it is gone then. None when there is none."""
        with _translated():
            found = self._db.execute(
                "SELECT place, text FROM items WHERE key = ? ORDER BY exact <> ?, place LIMIT 1", (key, exact)
            ).fetchone()
            if found is None:
                return None
            self._db.execute("DELETE FROM items WHERE place = ?", (found[0],))
            return bytes(found[1])

    def count(self) -> int:
        """How many are left."""
        return int(self._db.execute("SELECT COUNT(*) FROM items").fetchone()[0])
