"""The first rows of an input: read once, when a check needs them, and shared by all checks of a run."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from regioncap.errors import InputDamaged
from regioncap.image_ref import without_place
from regioncap.records import Row, Shard, loads_given
from regioncap.run.context import RunContext
from regioncap.storage.runs import entry_place, registered

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

    def objects(self) -> Iterator[Row]:
        """Those of the first rows that are objects, whatever else is wrong with them."""
        for _, _, text in self.lines():
            with contextlib.suppress(ValueError):
                row = loads_given(without_place(text)[0])
                if isinstance(row, dict):
                    yield row

    def are_known(self) -> bool:
        """Whether the output's last run had the same input and box settings: what is odd about them was said then."""
        config = self.context.config
        entry = entry_place(self.context.cache, config.file_name_prefix, config.output)
        before = registered(entry).config
        # A setting that did not exist then had its default.
        now = config.fields(config.fields_read_by("box_form"))
        defaults = type(config).model_fields
        return bool(before) and all(before.get(name, defaults[name].default) == value for name, value in now.items())

    def whole_input(self) -> list[Shard] | None:
        """All shards of the input, if it was read and has at most `MAX_ROWS` rows."""
        return self._shards if self._complete else None

    def _read_once(self) -> None:
        if self._read:
            return
        rows = 0
        # The run itself reports damage, after it has done the rows before it.
        with contextlib.suppress(InputDamaged), contextlib.closing(self.context.shards()) as shards:
            for shard in shards:
                self.context.images.keep(shard.images)
                self._shards.append(replace(shard, images={}))
                rows += len(shard.lines)
                if rows > MAX_ROWS:
                    break
            else:
                self._complete = True
        self._read = True
