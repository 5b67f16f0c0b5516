"""What is done ahead for a shard: when captions are requested, and that they are requested once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from regioncap.captioners.base import CaptionResult
from regioncap.records import WITH_BBOX, WITHOUT_BBOX, Row, Step
from regioncap.run.in_flight import PendingAnswer
from regioncap.run.shard_run import EarlyRequests, ShardRun, ShardRuns
from regioncap.vision.images import Picture, encode_jpeg

FOUND: Row = {"image_sha256": "5e" * 32, "type": WITHOUT_BBOX, "boxes": [[1, 2, 3, 4]]}
GIVEN: Row = {**FOUND, "type": WITH_BBOX}
NORMALIZED: Row = {"image_sha256": "5e" * 32, "bbox": [[1, 2, 3, 4]], "warnings": ["an animation"]}
DRAWN: Row = {**NORMALIZED, "marked": {"sha256": "ab"}, "warnings": ["an animation", "small"]}
PICTURE = Picture(encode_jpeg(np.zeros((8, 8, 3), np.uint8), 90), max_image_pixels=100)
STEP = Step(5, 3, "key", "data", 1, 0)


class Asked:
    """Notes what is requested."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def __call__(self, row: Row, pending: Mapping[str, PendingAnswer]) -> PendingAnswer:
        self.rows.append(row)
        return PendingAnswer(row, "", Future[CaptionResult](), key=f"answer {len(self.rows)}")


def shard_run_of(asked: Any, lookups: ThreadPoolExecutor | None = None, **how: bool) -> ShardRun:
    return ShardRun(lambda row, picture: (NORMALIZED, DRAWN), EarlyRequests(asked, lookups), **how)


def test_a_shard_that_is_surely_new_is_requested_when_its_regions_are_found() -> None:
    asked = Asked()
    shard_run = shard_run_of(asked, surely_new=True)
    shard_run.on_regions_found(FOUND, PICTURE)
    assert asked.rows == [DRAWN]
    assert shard_run.prerendered(NORMALIZED) == DRAWN
    assert asked.rows == [DRAWN], "once is enough"


def test_a_shard_that_may_be_captioned_is_not_requested_before_its_marks_are_needed() -> None:
    asked = Asked()
    shard_run = shard_run_of(asked, surely_new=False)
    shard_run.on_regions_found(FOUND, PICTURE)
    assert asked.rows == []
    assert shard_run.prerendered(NORMALIZED) == DRAWN
    assert asked.rows == [DRAWN]


def test_a_row_that_brought_its_boxes_is_drawn_ahead_only_if_its_marks_are_surely_not_in_the_cache() -> None:
    drawn = {}
    for surely_new in (True, False):
        shard_run = shard_run_of(Asked(), surely_new=surely_new)
        shard_run.on_regions_found(GIVEN, PICTURE)
        drawn[surely_new] = shard_run.prerendered(NORMALIZED)
    assert drawn == {True: DRAWN, False: None}


def test_rows_with_other_boxes_are_not_prerendered() -> None:
    shard_run = shard_run_of(Asked())
    shard_run.on_regions_found(FOUND, PICTURE)
    assert shard_run.prerendered({**NORMALIZED, "bbox": [[1, 2, 3, 5]]}) is None


def test_caption_gets_all_that_was_requested_by_key() -> None:
    shard_run = shard_run_of(Asked())
    shard_run.on_marks_drawn(DRAWN)
    shard_run.on_marks_drawn(NORMALIZED)
    assert list(shard_run.pending()) == ["answer 1", "answer 2"]


def test_what_fails_ahead_is_left_to_its_step() -> None:
    def fail(row: Row, pending: Mapping[str, PendingAnswer]) -> PendingAnswer:
        raise OSError("the store is gone")

    shard_run = shard_run_of(fail)
    shard_run.on_marks_drawn(DRAWN)
    assert shard_run.pending() == {}


def test_caption_waits_for_lookups_under_way() -> None:
    asked, seen = Asked(), threading.Event()

    def slow(row: Row, pending: Mapping[str, PendingAnswer]) -> PendingAnswer:
        assert seen.wait(10)
        return asked(row, pending)

    with ThreadPoolExecutor(1) as lookups:
        shard_run = shard_run_of(slow, lookups)
        shard_run.on_marks_drawn(DRAWN)
        assert asked.rows == [], "the thread that draws does not wait for the look-up"
        seen.set()
        assert list(shard_run.pending()) == ["answer 1"]


def test_steps_find_the_run_of_their_shard_while_it_is_open() -> None:
    shard_runs, shard_run = ShardRuns(), shard_run_of(Asked())
    with shard_runs.open(STEP.shard, shard_run):
        assert shard_runs.of(STEP) is shard_run
    assert shard_runs.of(STEP) is not shard_run


def test_what_was_begun_is_opened_and_nothing_is_begun_after_that() -> None:
    shard_runs, begun = ShardRuns(), shard_run_of(Asked())
    shard_runs.begin(STEP.shard, lambda: begun)
    with shard_runs.open(STEP.shard, shard_run_of(Asked())):
        assert shard_runs.of(STEP) is begun
    shard_runs.begin(STEP.shard + 1, lambda: pytest.fail("begun"))
    assert shard_runs.all_requested_early() == {}


def test_a_shard_that_ended_looks_up_nothing_more() -> None:
    asked, first = Asked(), threading.Event()
    with ThreadPoolExecutor(1) as lookups:
        shard_runs, shard_run = ShardRuns(), shard_run_of(asked, lookups)
        lookups.submit(first.wait, 10)
        with shard_runs.open(STEP.shard, shard_run):
            shard_run.on_marks_drawn(DRAWN)
        first.set()
    assert asked.rows == []


def test_what_another_process_had_requested_when_it_stopped_is_known() -> None:
    there, here = ShardRuns(), ShardRuns()
    shard_run = shard_run_of(Asked())
    with contextlib.suppress(KeyboardInterrupt), there.open(STEP.shard, shard_run):
        shard_run.on_marks_drawn({**DRAWN, "valid_bboxes_num": 2})
        raise KeyboardInterrupt
    here.stopped_elsewhere(there.all_requested_early())
    assert here.requested_early(STEP.shard) == {"answer 1": 2}


def test_a_step_that_is_run_by_itself_does_nothing_ahead() -> None:
    shard_run = ShardRuns().of(STEP)
    shard_run.on_regions_found(FOUND, PICTURE)
    shard_run.on_marks_drawn(DRAWN)
    assert shard_run.prerendered(NORMALIZED) is None
    assert shard_run.pending() == {}


def test_lookups_that_a_closed_pool_gave_up_are_not_waited_for() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def ask(row: Row, pending: Mapping[str, PendingAnswer]) -> PendingAnswer:
        begun.set()
        go_on.wait(60)
        raise ValueError(row)

    pool = ThreadPoolExecutor(1)
    requests = EarlyRequests(ask, pool)
    requests.send(DRAWN)
    requests.send(DRAWN)
    assert begun.wait(60)

    def wait_for_lookups() -> None:
        requests.pending()
        done.set()

    threading.Thread(target=wait_for_lookups, daemon=True).start()
    assert not done.wait(0.2)
    pool.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    assert done.wait(60)
