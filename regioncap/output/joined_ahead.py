"""Shards joined as they finish, while others are captioned: their lines wait in a nameless file for the output.

What is not there when the output is written is joined then.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from regioncap.errors import RegionCapError
from regioncap.output.join import ShardSteps, Sink, Tally, key_of, row_format, write_rows
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Place, path_of

MAX_BYTES = 256 << 20
"""At most so much waits; of a larger output the rest is joined at the end."""

MIN_FREE_BYTES = 4 * MAX_BYTES
"""On a disk with less than this, room is left for answers and the output."""


@dataclass(frozen=True)
class _Place:
    """Where a shard's lines are in the file: those of the output, then those of the rejects. `tally`: their counts."""

    start: int
    out_bytes: int
    rejects_bytes: int
    tally: Tally


class JoinedShards:
    """Lines of joined shards, by write key, in a file that is gone with the process, however it ends.

    It lies where the cache is, if that is a local disk: the folder for temporary files may be in memory.
    """

    def __init__(self, cache: Place) -> None:
        self._folder = path_of(cache) if cache.is_local else tempfile.gettempdir()
        self._file: io.FileIO | None = None
        self._places: dict[str, _Place] = {}

    @classmethod
    def of_run(cls, context: RunContext) -> JoinedShards:
        """Those of a run; their file is closed with it."""
        joined = cls(context.cache)
        context.when_closed(joined.close)
        return joined

    def leave_room(self) -> bool:
        """Whether the disk has room for waiting lines; if it has not, drop those that wait already."""
        if shutil.disk_usage(self._folder).free >= MIN_FREE_BYTES:
            return True
        self._places.clear()
        if self._file is not None:
            self._file.truncate(0)
        return False

    def put(self, key: str, out: bytes, rejects: bytes, tally: Tally) -> None:
        """Keep a shard's lines, if there is room. Raises OSError where they cannot be kept."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115 - closed with the run
        start, lines = self._file.seek(0, io.SEEK_END), out + rejects
        if start + len(lines) > MAX_BYTES or not self.leave_room():
            return
        if self._file.write(lines) == len(lines):  # else the disk is full
            self._places[key] = _Place(start, len(out), len(rejects), tally)

    def get(self, key: str) -> tuple[bytes, bytes, Tally] | None:
        """What was put under a key; None if nothing was, or if it cannot be read."""
        place = self._places.get(key)
        if place is None or self._file is None:
            return None
        with contextlib.suppress(OSError):
            self._file.seek(place.start)
            lines = self._file.read(place.out_bytes + place.rejects_bytes)
            if len(lines) == place.out_bytes + place.rejects_bytes:
                return lines[: place.out_bytes], lines[place.out_bytes :], place.tally
        return None

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()


def join_ahead(steps: ShardSteps, context: RunContext) -> None:
    """Join a shard that is done. What fails is left to the end, where it is met again."""
    with contextlib.suppress(RegionCapError, OSError):
        form, out, rejects = row_format(context), io.BytesIO(), io.BytesIO()
        tally = write_rows([steps], context, form, out, rejects)
        context.once(JoinedShards.of_run).put(key_of([steps], context, form), out.getvalue(), rejects.getvalue(), tally)


def write_joined(shards: Sequence[ShardSteps], context: RunContext, out: Sink, rejects: Sink) -> Tally:
    """As `write_rows`, with the lines that `join_ahead` has ready."""
    form, ready, tally = row_format(context), context.once(JoinedShards.of_run), Tally()
    with contextlib.suppress(OSError):
        ready.leave_room()
    for steps in shards:
        joined = ready.get(key_of([steps], context, form))
        if joined is None:
            tally.add(write_rows([steps], context, form, out, rejects))
        else:
            out.write(joined[0])
            rejects.write(joined[1])
            tally.add(joined[2])
    return tally
