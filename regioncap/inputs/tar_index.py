"""The rows of a tar, kept in the cache: only the first run reads the tar to find them."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack, suppress
from typing import Any

from regioncap.errors import StorageError
from regioncap.inputs.sharding import Lines
from regioncap.inputs.streams import RawFile, ReadProgress
from regioncap.records import dumps, loads
from regioncap.storage.filesystem import Place

HELD_BYTES = 8_000_000
"""Of rows that are collected; beyond, they wait on disk until they are complete."""


class TarIndex:
    """A file with a line of JSON, `{rows, bytes, left_out}`, and a line `number TAB text` for each row.

    `folder`: of all indexes. `identity`: as JSON, what tells the tar in its present state from all others.
    """

    def __init__(self, folder: Place, identity: list[Any]) -> None:
        self.name = hashlib.sha256(dumps(identity)).hexdigest()
        self._place = folder.child(self.name[:2], f"{self.name}.rows")

    def rows(self, gauge: ReadProgress) -> tuple[Counter[str], Lines] | None:
        """What was left out of the tar, by kind, and its rows; None where they are not kept, or not completely.

        Raises StorageError.
        """
        size = self._place.size()
        if not size:
            return None
        with ExitStack() as closed, suppress(ValueError, TypeError, KeyError):
            file = closed.enter_context(io.BufferedReader(RawFile(self._place)))
            head = file.readline()
            about = loads(head)
            if len(head) + about["bytes"] == size:
                closed.pop_all()
                return Counter(about["left_out"]), _lines(file, about["rows"], gauge)
        return None

    def keeping(self, rows: Lines, left_out: Counter[str]) -> Lines:
        """`rows`, which are kept once all of them were read; `left_out` is complete then, too."""
        count = 0
        with tempfile.SpooledTemporaryFile(HELD_BYTES, prefix="regioncap-") as file:
            for count, text in rows:
                file.write(b"%d\t%s\n" % (count, text))
                yield count, text
            head = dumps({"rows": count, "bytes": file.tell(), "left_out": left_out})
            file.seek(0)
            with suppress(StorageError), self._place.writer() as kept:  # without it, the tar is read once more
                kept.write(head + b"\n")
                shutil.copyfileobj(file, kept)


def _lines(file: io.BufferedReader[Any], rows: int, gauge: ReadProgress) -> Lines:
    number = 0
    gauge.done = lambda: number / rows if rows else 1.0
    with file:
        for line in file:
            count, _, text = line.partition(b"\t")
            number = int(count)
            yield number, text.removesuffix(b"\n")
