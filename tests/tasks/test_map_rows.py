"""One row never stops another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from regioncap.errors import CaptionerError, RowReject, Stopped
from regioncap.records import Row
from regioncap.tasks.map_rows import map_rows


@pytest.fixture(params=["alone", "threads"])
def pool(request: pytest.FixtureRequest) -> Iterator[Executor | None]:
    if request.param == "alone":
        yield None
    else:
        with ThreadPoolExecutor(4) as threads:
            yield threads


def change(row: Row) -> Row:
    match row["n"]:
        case 1:
            raise RowReject("bad_bbox", "no")
        case 2:
            raise ZeroDivisionError("oops")
        case 3:
            raise CaptionerError("all is lost")
    return {"n": 10 * row["n"]}


def test_no_rows(pool: Executor | None) -> None:
    assert map_rows("route", change, [], pool=pool) == []


def test_rows_keep_their_order_and_rejects_their_place(pool: Executor | None) -> None:
    rows = [{"n": n} for n in (5, 1, 7, 8)]
    first, reject, *others = map_rows("route", change, rows, pool=pool)
    assert reject == {"reject": {"step": "route", "code": "bad_bbox", "message": "no"}}
    assert [first, *others] == [{"n": 50}, {"n": 70}, {"n": 80}]
    assert map_rows("extract", change, [reject], pool=pool) == [reject]


def test_a_bug_costs_its_row_and_is_logged(pool: Executor | None, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("regioncap").propagate = True
    bug, good = map_rows("route", change, [{"n": 2, "image": "a.png"}, {"n": 4}], pool=pool)
    assert (bug["reject"]["code"], good) == ("internal_error", {"n": 40})
    assert "a.png" in caplog.text


def test_an_error_that_concerns_all_rows_stops_them(pool: Executor | None) -> None:
    with pytest.raises(CaptionerError):
        map_rows("caption", change, [{"n": 3}, {"n": 4}], pool=pool)


def test_a_stop_does_not_wait_for_a_row_that_is_under_way() -> None:
    stop, release = threading.Event(), threading.Event()

    def slow(row: Row) -> Row:
        stop.set()
        release.wait(60)
        return row

    with ThreadPoolExecutor(1) as pool:
        try:
            with pytest.raises(Stopped):
                map_rows("extract", slow, [{"n": 4}], pool=pool, stop=stop)
            assert not release.is_set()
        finally:
            release.set()


def test_a_stop_ends_the_rows(pool: Executor | None) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        map_rows("route", change, [{"n": 4}], pool=pool, stop=stop)
