"""One row never stops another: the one guard of all work that depends on a row's own data.

Steps, the checks before a run, commands, reports and exports do a row's work inside `row_work`: whatever it makes raise
is a reject of that row. What concerns more than the row (a full disk, a refused key, a stop) is not held back.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from types import FrameType
from typing import get_args

from regioncap.errors import FinalCode, RegionCapError, RetryableCode, RowReject
from regioncap.masking import outside_text
from regioncap.records import QUOTED_CHARS, Row, cut_text, rejected

logger = logging.getLogger("regioncap")

MAX_FRAMES = 12
"""Frames of the log, from where an error arose upwards: one of many calls within each other has thousands."""

CODES = (*get_args(FinalCode), *get_args(RetryableCode))

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
    try:
        text = str(error)
    except Exception:  # a foreign class may fail at that, too
        return ""
    return outside_text(text[:LOOKED_AT], max_chars=QUOTED_CHARS)


_at_work: list[str] = []


def plugins_at_work() -> Sequence[str]:
    """The plugins that are at work on a row in this process, once for each row."""
    return tuple(_at_work)


@contextlib.contextmanager
def plugin_work(plugin: str, module: str) -> Iterator[None]:
    """In this block a plugin works on one row: whatever it raises is the row's RowReject, which names the plugin.

    `plugin`: its kind and name; `module`: where it is defined, for the line to be named. A RowReject of the plugin's
    own stays as it is, and so do other RegionCapErrors, which concern more than the row.
    """
    _at_work.append(plugin)
    try:
        yield
    except RowReject as reject:
        if reject.code not in CODES:
            code = cut_text(repr(reject.code))
            raise RowReject("internal_error", f"{plugin} rejected the row with an unknown code, {code}") from None
        raise RowReject(reject.code, outside_text(str(reject.message)[:LOOKED_AT], max_chars=QUOTED_CHARS)) from None
    except RegionCapError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception | SystemExit) and threading.current_thread() is threading.main_thread():
            raise  # Ctrl-C, and what ends the process
        frames = "".join(traceback.format_tb(error.__traceback__, -MAX_FRAMES))
        what = raised_by(plugin, error, module)
        logger.error("%s\n%s", what, frames)
        raise RowReject("internal_error", what) from None
    finally:
        _at_work.remove(plugin)


def raised_by(plugin: str, error: BaseException, module: str) -> str:
    """What a plugin raised, in words: its type and text, and the last line of the plugin's own package."""
    text = words_of(error)
    where = _line_in(error, module.partition(".")[0])
    return f"{plugin} raised {type(error).__name__}{f': {text}' if text else ''}{f' ({where})' if where else ''}"


def _line_in(error: BaseException, package: str) -> str:
    """`file.py, line 3`: the last line of `package` before the error; "" if none of it was running."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{PurePath(error.filename).name}, line {error.lineno}"
    frames = list(traceback.walk_tb(error.__traceback__))
    own = [(frame, line) for frame, line in frames if _package_of(frame) == package]
    return f"{PurePath(own[-1][0].f_code.co_filename).name}, line {own[-1][1]}" if own else ""


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def guarded(step: str, change: Callable[[Row], Row], row: Row) -> Row:
    """`change(row)`, or the row's place as a reject of `step`. Raises RegionCapErrors other than RowReject."""
    try:
        with row_work(step, row.get("image") or f"line {row.get('line')}"):
            return change(row)
    except RowReject as reject:
        return rejected(step, reject.code, reject.message)
