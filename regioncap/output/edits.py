"""Which of people's corrections an output has, and which fit none of its rows."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from regioncap.inputs.edits import MARKS, Edit, Edits
from regioncap.records import Row, Step
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Place
from regioncap.storage.steps import STEP_NAMES, digest

DRAWN = STEP_NAMES.index("visualize")


@dataclass(frozen=True)
class ShardEdits:
    """What of the edits concerns one shard. `key`: a digest of what they do to its rows, "" for nothing; `fitting`: the
    lines of those that fit a region; `any_rejected`: whether captions are to be asked for because of them."""

    key: str = ""
    fitting: frozenset[int] = frozenset()
    any_rejected: bool = False


_known: WeakKeyDictionary[Edits, dict[str, ShardEdits]] = WeakKeyDictionary()
_lock = threading.Lock()


def edits_of_shard(drawn: Step, context: RunContext) -> ShardEdits:
    """What of the edits concerns the rows of a shard, given its step `visualize`; they are read once a process.

    Raises StepDamaged, StorageError, and UsageError for a wrong file of edits.
    """
    edits = context.edits
    if not len(edits):
        return ShardEdits()
    with _lock:
        known = _known.setdefault(edits, {})
    if drawn.data not in known:
        known[drawn.data] = _concerning(context.storage.read(drawn), edits)
    return known[drawn.data]


def _concerning(rows: Iterable[Row], edits: Edits) -> ShardEdits:
    applied: list[tuple[int, int, str, str]] = []
    fitting: set[int] = set()
    for place, row in enumerate(rows):
        if "reject" not in row:
            fitting.update(edit.line for _, edit in edits.fitting(row))
            applied += [(place, n, edit.action, edit.caption) for n, edit in sorted(edits.of_row(row).items())]
    any_rejected = any(action == "reject" for _, _, action, _ in applied)
    return ShardEdits(digest(applied) if applied else "", frozenset(fitting), any_rejected)


def unused_edits(shards: Sequence[Sequence[Step]], context: RunContext) -> list[Edit]:
    """The edits that fit no row of the shards, in the order of their file. Raises as `edits_of_shard`."""
    if not len(context.edits):
        return []
    fitting = frozenset[int]().union(*(edits_of_shard(steps[DRAWN], context).fitting for steps in shards))
    return sorted((edit for edit in context.edits if edit.line not in fitting), key=lambda edit: edit.line)


def edit_counts(counts: Mapping[str, int], unused: int) -> dict[str, int]:
    """The counts of a summary: of regions by mark, of rows, and of the edits that fit no row."""
    return {name: counts.get(name, 0) for name in (*MARKS.values(), "rows")} | {"unused": unused}


def list_unused(shards: Sequence[Sequence[Step]], context: RunContext, place: Place) -> tuple[int, str]:
    """Write the edits that fit no row, as they were given, to `place`; without any there is no such file.

    Returns (how many there are, the file's URL, "" for none). Raises as `edits_of_shard`.
    """
    unused = unused_edits(shards, context)
    if not unused:
        if place.size() is not None:
            place.remove()
        return 0, ""
    place.write(b"".join(edit.text + b"\n" for edit in unused))
    return len(unused), place.url
