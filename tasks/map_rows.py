"""One row never stops another: how a step's function is applied to the rows of a shard."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future

from regioncap.errors import RegionCapError, RowReject, Stopped
from regioncap.records import Row, rejected

logger = logging.getLogger("regioncap")


def map_rows(
    step: str,
    change: Callable[[Row], Row],
    rows: Iterable[Row],
    *,
    pool: Executor | None = None,
    stop: threading.Event | None = None,
) -> list[Row]:
    """`change` applied to every row that is no reject yet, in order; with `pool`, in its threads.

    A `RowReject` makes the row a reject of `step`; any other exception is a bug that this row hit: it is logged and
    the row is rejected as `internal_error`. Raises `Stopped` once `stop` is set, and other RegionCapErrors as
    they are: they concern more than this row.
    """

    def apply(row: Row) -> Row:
        if stop is not None and stop.is_set():
            raise Stopped
        return row if "reject" in row else guarded(step, change, row)

    if pool is None:
        return [apply(row) for row in rows]
    return list(_in_order(pool, apply, rows))


def guarded(step: str, change: Callable[[Row], Row], row: Row) -> Row:
    """`change(row)`, or the row's place as a reject of `step`."""
    try:
        return change(row)
    except RowReject as reject:
        return rejected(step, reject.code, reject.message)
    except RegionCapError:
        raise
    except Exception as error:
        logger.exception("%s hit a bug with the row of %s", step, row.get("image") or f"line {row.get('line')}")
        return rejected(step, "internal_error", f"{type(error).__name__}: {error}; please report this")


def _in_order(pool: Executor, apply: Callable[[Row], Row], rows: Iterable[Row]) -> Iterator[Row]:
    """`pool.map`, but a failure or a stop cancels all pending calls."""
    futures: deque[Future[Row]] = deque(pool.submit(apply, row) for row in rows)
    try:
        while futures:
            yield futures[0].result()
            futures.popleft()
    finally:
        for future in futures:
            future.cancel()
