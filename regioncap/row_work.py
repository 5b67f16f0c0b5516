"""One row never stops another: the one guard of all work that depends on a row's own data.

Steps, the checks before a run, commands, reports and exports do a row's work inside `row_work`: whatever it makes raise
is a reject of that row. What concerns more than the row (a full disk, a refused key, a stop) is not held back.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable, Iterator

from regioncap.errors import RegionCapError, RowReject
from regioncap.masking import outside_text
from regioncap.records import QUOTED_CHARS, Row, rejected

logger = logging.getLogger("regioncap")

MAX_FRAMES = 12
"""Frames of the log, from where an error arose upwards: one of many calls within each other has thousands."""

LOOKED_AT = 4000
"""Characters of a foreign error's message that are looked at: it may quote all of a row."""


@contextlib.contextmanager
def row_work(doing: str, row: object = "") -> Iterator[None]:
    """In this block whatever is no RegionCapError becomes the row's RowReject `internal_error`, with its type named.

    `doing`: the step or command, for the log. `row`: what the row is known by. Where the error arose is logged, without
    the error's own text in full: it may hold a row's data, or a secret.
    """
    try:
        yield
    except RegionCapError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {words_of(error)}"
        frames = "".join(traceback.format_tb(error.__traceback__, -MAX_FRAMES))
        known_by = outside_text(str(row)[:LOOKED_AT], max_chars=QUOTED_CHARS)
        logger.error("%s hit a bug on the row of %s: %s\n%s", doing, known_by, what, frames)
        raise RowReject("internal_error", f"{what}; please report this") from None


def words_of(error: BaseException) -> str:
    """What a foreign error says, short, on one line, without secrets."""
    return outside_text(str(error)[:LOOKED_AT], max_chars=QUOTED_CHARS)


def guarded(step: str, change: Callable[[Row], Row], row: Row) -> Row:
    """`change(row)`, or the row's place as a reject of `step`. Raises RegionCapErrors other than RowReject."""
    try:
        with row_work(step, row.get("image") or f"line {row.get('line')}"):
            return change(row)
    except RowReject as reject:
        return rejected(step, reject.code, reject.message)
