"""Groups texts by key on disk, in any order of arrival and with constant memory.

SQLite stores them in an unnamed temporary file that disappears with the process (https://sqlite.org/inmemorydb.html,
"Temporary Databases").
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter

from regioncap.errors import StorageError

BATCH = 2000
CACHE_KIB = 32_000

Head = tuple[int, bytes, bytes]
"""The head of a group: its number, key and text."""


class Groups:
    """Items grouped by key. Call `add` and `head` first, then `close_groups`, then `groups` any number of times.

    Every method raises StorageError if the temporary folder's disk is full.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[bytes, bytes]] = []
        self._count = 0
        self._has_ambiguous = False
        with _translated():
            self._db = _database()
            self._db.execute("CREATE TABLE items (place INTEGER PRIMARY KEY, key BLOB, text BLOB)")
            self._db.execute("CREATE TABLE heads (place INTEGER PRIMARY KEY, number INTEGER, key BLOB, text BLOB)")
            self._db.execute("BEGIN")

    def add(self, key: bytes, text: bytes) -> int:
        """Store `text` under `key`; return its position among all items, from 1."""
        self._waiting.append((key, text))
        self._count += 1
        if len(self._waiting) >= BATCH:
            self._flush()
        return self._count

    def head(self, number: int, key: bytes, text: bytes) -> None:
        """Declare the group of the items under `key`; groups are returned in the order of these calls."""
        with _translated():
            self._db.execute("INSERT INTO heads (number, key, text) VALUES (?, ?, ?)", (number, key, text))

    def join_alike(self, alike: Callable[[bytes], bytes]) -> None:
        """Give items whose key has no head the key of the first head that is `alike`, if there is one."""
        self._flush()
        with _translated():
            strays = "key NOT IN (SELECT key FROM heads)"
            if not self._db.execute(f"SELECT 1 FROM items WHERE {strays} LIMIT 1").fetchone():
                return
            self._db.create_function("alike", 1, alike, deterministic=True)
            self._db.execute("CREATE TABLE others (alike BLOB PRIMARY KEY, key BLOB) WITHOUT ROWID")
            self._db.execute("INSERT OR IGNORE INTO others SELECT alike(key), key FROM heads ORDER BY place")
            found = "(SELECT others.key FROM others WHERE others.alike = alike(items.key))"
            self._db.execute(f"UPDATE items SET key = {found} WHERE {strays} AND {found} IS NOT NULL")

    def find_ambiguous(self, name: Callable[[bytes], bytes]) -> None:
        """Find the keys with items and several heads whose texts have different names; see `ambiguous`."""
        self._flush()
        with _translated():
            self._db.create_function("name", 1, name, deterministic=True)
            self._db.execute("CREATE TABLE twice (key BLOB PRIMARY KEY, heads INTEGER) WITHOUT ROWID")
            self._db.execute(
                "INSERT INTO twice SELECT key, COUNT(*) FROM heads WHERE key IN (SELECT key FROM items) AND key IN "
                "(SELECT key FROM heads GROUP BY key HAVING COUNT(*) > 1) "
                "GROUP BY key HAVING COUNT(DISTINCT name(text)) > 1"
            )
            self._has_ambiguous = bool(self._db.execute("SELECT 1 FROM twice LIMIT 1").fetchone())

    def ambiguous(self, key: bytes) -> int:
        """How many heads share an ambiguous key; 0 for any other. Call `find_ambiguous` first."""
        if not self._has_ambiguous:
            return 0
        with _translated():
            found = self._db.execute("SELECT heads FROM twice WHERE key = ?", (key,)).fetchone()
        return int(found[0]) if found else 0

    def close_groups(self) -> None:
        """End the input. Keys without a head get one after the others, in the order of their first items, with the
        position of that item as its number."""
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
        """Yield every head whose number is in `first` … `behind` - 1, in order, with the texts of its items."""
        with _translated():
            # LEFT JOIN and INDEXED BY make SQLite scan the heads and look up their items, so that nothing is sorted.
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
        """The number of groups."""
        return int(self._db.execute("SELECT COUNT(*) FROM heads").fetchone()[0])

    def _flush(self) -> None:
        with _translated():
            self._db.executemany("INSERT INTO items (key, text) VALUES (?, ?)", self._waiting)
        self._waiting.clear()


def _database() -> sqlite3.Connection:
    # Rows are read from changing threads, but only one at a time, so SQLite's own check would be wrong here.
    database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KIB}"):
        database.execute(f"PRAGMA {pragma}")
    return database


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(tempfile.gettempdir(), "store temporary data in", str(error)) from error


class KeySet:
    """A set of keys on disk. Raises StorageError as `Groups` does."""

    def __init__(self) -> None:
        with _translated():
            self._db = _database()
            self._db.execute("CREATE TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID")
            self._db.execute("BEGIN")

    def first_time(self, key: bytes) -> bool:
        """Add `key`; return whether it is new."""
        with _translated():
            return self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,)).rowcount == 1


class Lookup:
    """Texts on disk under two keys each, taken out one at a time. Raises StorageError as `Groups` does."""

    def __init__(self) -> None:
        with _translated():
            self._db = _database()
            self._db.execute("CREATE TABLE items (place INTEGER PRIMARY KEY, key BLOB, exact BLOB, text BLOB)")
            self._db.execute("CREATE INDEX by_key ON items (key, exact)")
            self._db.execute("BEGIN")

    def put(self, key: bytes, exact: bytes, text: bytes) -> None:
        """Store `text` under `key` and the more specific `exact`."""
        with _translated():
            self._db.execute("INSERT INTO items (key, exact, text) VALUES (?, ?, ?)", (key, exact, text))

    def take(self, key: bytes, exact: bytes) -> bytes | None:
        """Remove and return the first text under both keys, else the first under `key`; None if there is none."""
        with _translated():
            found = self._db.execute(
                "SELECT place, text FROM items WHERE key = ? ORDER BY exact <> ?, place LIMIT 1", (key, exact)
            ).fetchone()
            if found is None:
                return None
            self._db.execute("DELETE FROM items WHERE place = ?", (found[0],))
            return bytes(found[1])

    def count(self) -> int:
        """The number of texts not yet taken."""
        return int(self._db.execute("SELECT COUNT(*) FROM items").fetchone()[0])
