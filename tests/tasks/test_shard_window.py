"""Which shards are in flight: rows that wait for a slow answer must not keep others from being sent."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

import pytest
from prefect.futures import PrefectConcurrentFuture

from regioncap.captioners.base import CaptionResult
from regioncap.records import Row, Shard, Step
from regioncap.run.context import RunContext
from regioncap.run.in_flight import PendingAnswer
from regioncap.run.shard_run import EarlyRequests, ShardRun
from regioncap.tasks.scheduling import ShardWindow, target_rows_in_flight
from tests.support.runs import config_of

ENOUGH_SECONDS = 60.0


@pytest.fixture
def context(tmp_path: Path) -> Iterator[RunContext]:
    """A run that may have 512 rows in flight."""
    config = config_of(
        tmp_path, captioner="openai", endpoint="http://127.0.0.1:9/v1", model="fake-vlm", max_in_flight=8
    )
    with contextlib.closing(RunContext(config)) as opened:
        yield opened


class Answers:
    """The rows that a shard has requested, each with its answer to come."""

    def __init__(self) -> None:
        self.futures: list[Future[CaptionResult]] = []

    def __call__(self, row: Row, pending: Mapping[str, PendingAnswer]) -> PendingAnswer:
        self.futures.append(Future())
        return PendingAnswer(row, "", self.futures[-1], key=str(len(self.futures)))

    def come(self, count: int) -> None:
        """The first `count` answers come, those that came before among them."""
        for future in self.futures[:count]:
            if not future.done():
                future.set_result(CaptionResult({1: "a dog"}))


@contextlib.contextmanager
def waiting_for_room(context: RunContext, shards: int, rows: int) -> Iterator[tuple[list[Answers], threading.Thread]]:
    """`shards` shards in flight, all of their `rows` requested; a thread is blocked until one more may be submitted."""
    window = ShardWindow(context)
    with contextlib.ExitStack() as opened:
        answers = []
        for number in range(shards):
            answers.append(Answers())
            requests = EarlyRequests(answers[-1])
            opened.enter_context(context.shard_runs.open(number, ShardRun(requests=requests)))
            shard = Shard(number, "", [(line, b"{}") for line in range(rows)], 0.1)
            window.add(shard, PrefectConcurrentFuture(uuid.uuid4(), Future()))
            for _ in range(rows):
                requests.send({})
        waiting = threading.Thread(target=window.wait_for_room, daemon=True)
        waiting.start()
        yield answers, waiting
        waiting.join(ENOUGH_SECONDS)
        assert not waiting.is_alive()


def test_a_shard_may_wait_for_other_machines_while_the_one_before_it_is_captioned(context: RunContext) -> None:
    context.shard_runs.wait_for_others = True
    with waiting_for_room(context, 1, target_rows_in_flight(context.config)) as (_, waiting):
        waiting.join(ENOUGH_SECONDS)
        assert not waiting.is_alive()


def test_shards_that_wait_for_a_few_slow_answers_leave_room_for_others(context: RunContext) -> None:
    rows = target_rows_in_flight(context.config)
    with waiting_for_room(context, 3, rows) as (answers, waiting):
        for each in answers[:-1]:
            each.come(rows)
        assert waiting.is_alive(), "one shard of rows without an answer is as many as may be in flight"
        answers[-1].come(1)


def test_no_more_rows_wait_than_keep_the_captioner_busy(context: RunContext) -> None:
    rows = 2 * target_rows_in_flight(context.config)
    with waiting_for_room(context, 1, rows) as (answers, waiting):
        answers[0].come(rows // 2)
        assert waiting.is_alive(), "one shard is enough while it has as many rows without an answer"
        answers[0].come(rows // 2 + 1)


def test_rows_that_are_never_requested_leave_room_when_the_others_are(context: RunContext) -> None:
    rows = 2 * target_rows_in_flight(context.config)
    window, requests = ShardWindow(context), EarlyRequests(Answers())
    with context.shard_runs.open(0, ShardRun(requests=requests)):
        window.add(
            Shard(0, "", [(line, b"{}") for line in range(rows)], 0.1), PrefectConcurrentFuture(uuid.uuid4(), Future())
        )
        waiting = threading.Thread(target=window.wait_for_room, daemon=True)
        waiting.start()
        requests.send({})
        assert waiting.is_alive(), "they may yet be requested"
        context.shard_runs.of(Step(5, 0, "key", "data", rows, rows - 1)).all_requested([Future()])
        waiting.join(ENOUGH_SECONDS)
        assert not waiting.is_alive()
