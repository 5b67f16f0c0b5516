"""One row never stops another: how a step's function is applied to the rows of a shard."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future

from regioncap.errors import Stopped
from regioncap.records import Row
from regioncap.row_work import guarded
from regioncap.run.threads import result_of


def map_rows(
    step: str,
    change: Callable[[Row], Row],
    rows: Iterable[Row],
    *,
    pool: Executor | None = None,
    stop: threading.Event | None = None,
) -> list[Row]:
    """`change` applied to every row that is no reject yet, in order; with `pool`, in its threads.

    A row's own failure makes it a reject of `step`, whatever it is: see `regioncap.row_work`. Raises `Stopped` once
    `stop` is set, and other RegionCapErrors as they are: they concern more than this row.
    """

    def apply(row: Row) -> Row:
        if stop is not None and stop.is_set():
            raise Stopped
        return row if "reject" in row else guarded(step, change, row)

    if pool is None:
        return [apply(row) for row in rows]
    return list(_in_order(pool, apply, rows, stop))


def _in_order(
    pool: Executor, apply: Callable[[Row], Row], rows: Iterable[Row], stop: threading.Event | None
) -> Iterator[Row]:
    """`pool.map`, but a failure or a stop cancels all pending calls; one that is under way is not waited for then."""
    futures: deque[Future[Row]] = deque(pool.submit(apply, row) for row in rows)
    try:
        while futures:
            yield result_of(futures[0], stop)
            futures.popleft()
    finally:
        for future in futures:
            future.cancel()
