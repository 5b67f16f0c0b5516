"""The first rows of an input: read once, when a check needs them, and shared by all checks of a run."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from regioncap.errors import InputDamaged
from regioncap.records import Shard
from regioncap.run.context import RunContext

MAX_ROWS = 1000


@dataclass
class FirstRows:
    """The first `MAX_ROWS` rows of `context`'s input. Methods raise what `regioncap.inputs.readers` raises."""

    context: RunContext
    _shards: list[Shard] = field(default_factory=list, init=False)
    _read: bool = field(default=False, init=False)
    _complete: bool = field(default=False, init=False)

    def lines(self, limit: int = MAX_ROWS) -> Iterator[tuple[str, int, bytes]]:
        """(source, number, text) of the first `limit` rows; as many as there are before the input's first damage."""
        self._read_once()
        every = ((shard.source, *line) for shard in self._shards for line in shard.lines)
        return itertools.islice(every, limit)

    def whole_input(self) -> list[Shard] | None:
        """All shards of the input, if it was read and has no more rows than these."""
        return self._shards if self._complete else None

    def _read_once(self) -> None:
        if self._read:
            return
        rows = 0
        # The run itself reports damage, after it has done the rows before it.
        with contextlib.suppress(InputDamaged), contextlib.closing(self.context.shards()) as shards:
            for shard in shards:
                self._shards.append(shard)
                rows += len(shard.lines)
                if rows > MAX_ROWS:
                    break
            else:
                self._complete = True
        self._read = True
