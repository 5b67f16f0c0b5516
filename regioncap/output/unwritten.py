"""The rows of a run as its output will have them, before it is written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from regioncap.errors import RowReject
from regioncap.output.caption_flags import flags_of
from regioncap.output.join import ShardSteps, joined, row_format
from regioncap.output.reading import Captioned, captioned, sound
from regioncap.records import Row
from regioncap.row_work import row_work
from regioncap.run.context import RunContext


def rows_to_write(shards: Sequence[ShardSteps], context: RunContext) -> Iterator[Captioned]:
    """The captioned rows in the order of the output, one at a time; those that `write` will reject are left out.

    Raises StepDamaged, StorageError.
    """
    number = 0
    for steps in shards:
        for loaded, drawn, result in joined(context, steps):
            if "reject" not in result:
                with contextlib.suppress(RowReject):
                    yield as_in_output(loaded, drawn, result, number + 1, context)
                    number += 1


def as_in_output(loaded: Row, drawn: Row, result: Row, number: int, context: RunContext) -> Captioned:
    """A row of the output, from its `load`, `visualize` and `caption` versions. Raises RowReject for one that cannot be
    written."""
    with row_work("write", loaded.get("image", "")):
        line = row_format(context).captioned(loaded, drawn, result, flags_of(result["captions"]))
        return captioned(sound(line), number, context.config)
