"""Marked pictures that an output names, and that were deleted or damaged since they were drawn: drawn again before the
output is written. Nothing is asked for because of them.
"""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from regioncap.errors import RowReject
from regioncap.output.join import ShardSteps
from regioncap.records import Row
from regioncap.row_work import row_work
from regioncap.run.context import RunContext
from regioncap.run.marks import names_of
from regioncap.run.marks_check import MarksCheck
from regioncap.run.threads import map_ahead
from regioncap.storage.runs import end_marks_check, entry_place, start_marks_check
from regioncap.storage.steps import STEP_NAMES
from regioncap.tasks.draw_row import draw_row

DRAWN = STEP_NAMES.index("visualize")

FILES_AT_ONCE = 16
"""Of an object store; each has the rows of a shard, in memory until it is looked through."""

_MARKED = re.compile(rb'"marked":\{"sha256":"([0-9a-f]{64})"')

_WORDS = {"image_missing": "the image is gone, too", "image_unavailable": "the image cannot be read, or was changed"}

logger = logging.getLogger("regioncap")


def restore_marks(shards: Sequence[ShardSteps], context: RunContext) -> None:
    """Draw those marked pictures of these shards again that are not in the cache, or not whole; log how many were, and
    how many could not be. Raises StepDamaged, StorageError."""
    if not context.config.draw_visualization:
        return
    entry = entry_place(context.cache, context.config.file_name_prefix, context.config.output)
    times = start_marks_check(entry)
    if context.lease is None:  # then the register tells of another run
        times = replace(times, run_began=math.inf)
    broken = MarksCheck(context.marks, times, context.threads).broken(_all_named(shards, context))
    if broken:
        _restore([steps for steps in shards if _named(steps, context) & broken], broken, context)
    end_marks_check(entry, times.now)


def _all_named(shards: Sequence[ShardSteps], context: RunContext) -> Iterator[set[str]]:
    """`_named` of each shard; in an object store their files are read several at a time."""
    if context.cache.is_local:
        return (_named(steps, context) for steps in shards)
    ahead = map_ahead(context.threads.io, lambda steps: _named(steps, context), shards, at_once=FILES_AT_ONCE)
    return (names for _, names in ahead)


def _named(steps: ShardSteps, context: RunContext) -> set[str]:
    """The sha256 of the shard's marked pictures. Raises StepDamaged."""
    # In a string of a row the quotes would be escaped.
    return {found[1].decode() for found in _MARKED.finditer(context.storage.read_bytes(steps[DRAWN]))}


def _restore(shards: Sequence[ShardSteps], broken: set[str], context: RunContext) -> None:
    rows = {row["marked"]["sha256"]: row for row in _captioned(shards, context) if row["marked"]["sha256"] in broken}
    for name in broken:  # whatever is there is no picture; gone, it is looked for by the next run, too
        context.marks.place(name).remove()
    problems = [why for why in context.threads.pixels.map(lambda row: _draw_again(row, context), rows.values()) if why]
    if restored := len(rows) - len(problems):
        logger.info("%s marked pictures were gone or damaged in the cache; they were drawn again", f"{restored:,}")
    if problems:
        logger.warning(
            "%s marked pictures that the output names are gone or damaged and cannot be drawn again (%s); its rows and "
            "captions are complete",
            f"{len(problems):,}", ", ".join(f"{count:,}: {why}" for why, count in Counter(problems).most_common(3)),
        )  # fmt: skip


def _captioned(shards: Sequence[ShardSteps], context: RunContext) -> Iterator[Row]:
    """The rows from `visualize` that are in the output."""
    for steps in shards:
        pairs = zip(context.storage.read(steps[DRAWN]), context.storage.read(steps[-1]), strict=True)
        yield from (drawn for drawn, captioned in pairs if "reject" not in captioned)


def _draw_again(row: Row, context: RunContext) -> str:
    """Draw a row's picture and store it. Returns why that cannot be done, or ""."""
    try:
        with row_work("draw again", row["image"]):
            drawn, jpegs = draw_row(row, context.images.read, context.config)
    except RowReject as reject:
        return _WORDS.get(reject.code, reject.code)
    if drawn["marked"]["sha256"] != row["marked"]["sha256"]:
        return "the installed libraries draw other pixels than those it was made with"
    context.marks.replace(drawn["marked"]["sha256"], jpegs[0])
    context.marks.put_all(drawn, jpegs)
    context.marks.wait_for(names_of(drawn), context.stop)
    return ""
