"""Batches: each request is submitted once, whenever a run is killed; what came is kept, and the rest is asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners import batch_api
from regioncap.captioners.batch_api import BatchApi
from regioncap.captioners.batch_file import request_line
from regioncap.captioners.budget import TOKENS_PER_CAPTION
from regioncap.errors import BudgetReached, CaptionerError, StorageError, Waiting
from regioncap.records import loads
from regioncap.storage.batch_records import BatchRecords
from regioncap.storage.claims import Claim
from regioncap.tasks import batch_packing, batch_results
from tests.support.batches_of_runs import (
    Serve,
    answered_in_batches,
    batch_servers,
    context_of,
    left_in,
    look_quickly,
    settings_of,
)
from tests.support.photos import photo_rows
from tests.support.rows import write_rows
from tests.support.runs import config_of

ROWS = 12


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    look_quickly(monkeypatch)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with batch_servers() as start:
        yield start


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path / "photos.jsonl", photo_rows(tmp_path, ROWS))
    return tmp_path


def nothing_is_left(folder: Path) -> bool:
    return left_in(folder, "batches") + left_in(folder, "claims") == []


def answers_in(folder: Path) -> int:
    return sum(1 for path in (folder / "cache" / "captions").rglob("*.json"))


def test_every_row_is_answered_once_at_half_the_price(folder: Path, serve: Serve) -> None:
    server = serve(shuffled=True, twice=0.5)
    bill = answered_in_batches(folder, server, batch_max_requests=5, usd_per_m_in=1, usd_per_m_out=2)
    seen = server.batches.public()
    assert (seen["batches"], seen["submitted"], seen["submitted_twice"], seen["answered"]) == (3, ROWS, 0, ROWS)
    assert (bill.batch_prompt_tokens, bill.batch_completion_tokens) == (
        server.batches.billed.prompt_tokens, server.batches.billed.completion_tokens,
    )  # fmt: skip
    assert bill.usd is not None
    online = bill.prompt_tokens - bill.batch_prompt_tokens, bill.completion_tokens - bill.batch_completion_tokens
    half = 0.5 * (bill.batch_prompt_tokens + 2 * bill.batch_completion_tokens)
    assert bill.usd == pytest.approx((online[0] + 2 * online[1] + half) / 1e6, abs=1e-6)
    assert server.stats["for_regions"] == 0
    assert seen["deleted"] == 2 * seen["files"]  # of requests, and of results
    assert answers_in(folder) == ROWS
    assert nothing_is_left(folder)


def test_files_end_at_their_most_bytes(folder: Path, serve: Serve) -> None:
    server = serve(max_bytes=20_000)
    answered_in_batches(folder, server, batch_max_bytes=20_000)
    seen = server.batches.public()
    assert seen["batches"] > 1
    assert seen["answered"] == ROWS


def test_what_is_answered_is_not_submitted_again(folder: Path, serve: Serve) -> None:
    server = serve()
    answered_in_batches(folder, server)
    answered_in_batches(folder, server)
    assert server.batches.public()["batches"] == 1


def test_rows_with_the_same_answer_are_one_request(folder: Path, serve: Serve) -> None:
    rows = photo_rows(folder, 3)
    write_rows(folder / "photos.jsonl", [*rows, *rows])
    server = serve()
    answered_in_batches(folder, server)
    assert server.batches.public()["submitted"] == 3


@pytest.mark.parametrize("name", ["max_requests", "max_usd"])
def test_limits_hold_before_anything_is_submitted(name: str, folder: Path, serve: Serve) -> None:
    prices = {"usd_per_m_in": 1, "usd_per_m_out": 1}
    whole = answered_in_batches(folder, serve(), cache_path=f"{folder}/other", **prices)
    trial = whole.prompt_tokens - whole.batch_prompt_tokens + whole.completion_tokens - whole.batch_completion_tokens
    half_of_the_rest = (whole.batch_prompt_tokens + whole.captions_new * TOKENS_PER_CAPTION) / 2 * 0.5
    limit: float = whole.requests - ROWS // 2 if name == "max_requests" else (trial + half_of_the_rest) / 1e6
    server = serve()
    with pytest.raises(BudgetReached, match=f"{name}=.* is reached"):
        answered_in_batches(folder, server, **{name: limit}, **prices)
    assert 0 < answers_in(folder) == server.batches.public()["submitted"] < ROWS
    assert server.stats["for_regions"] == 0
    assert nothing_is_left(folder)


# --- killed at any moment


class Killed(BaseException):
    """Stands for the end of the process."""


POINTS = [
    (BatchRecords, name, count, when)
    for name, counts in {"write": (1, 2, 3, 4, 5), "write_requests": (1,), "remove": (1,)}.items()
    for count in counts
    for when in ("before", "after")
] + [
    (BatchApi, name, count, when)
    for name, counts in {"upload": (1, 2), "create": (1, 2), "get": (1,), "download": (1,), "delete": (1, 2)}.items()
    for count in counts
    for when in ("before", "after")
]


def kill_at(point: tuple[type, str, int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the process end right before or after a call."""
    of, name, number, when = point
    real, calls = getattr(of, name), [0]

    def check(moment: str) -> None:
        if calls[0] == number and moment == when:
            raise Killed

    def call(self: Any, *args: Any, **more: Any) -> Any:
        calls[0] += 1
        check("before")
        result = real(self, *args, **more)
        check("after")
        return result

    async def awaited(self: Any, *args: Any, **more: Any) -> Any:
        calls[0] += 1
        try:
            check("before")
            result = await real(self, *args, **more)
            check("after")
        except Killed:
            raise RuntimeError("killed") from None  # a loop of asyncio passes no others on
        return result

    monkeypatch.setattr(of, name, awaited if of is BatchApi else call)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point[3]}-{point[1]}-{point[2]}")
def test_a_kill_anywhere_has_nothing_submitted_twice(
    point: tuple[type, str, int, str], folder: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(list_delay=0.1)
    with monkeypatch.context() as patch:
        kill_at(point, patch)
        with pytest.raises((Killed, RuntimeError)):
            answered_in_batches(folder, server, batch_max_requests=7)
    answered_in_batches(folder, server, batch_max_requests=7)
    seen = server.batches.public()
    assert (seen["submitted"], seen["submitted_twice"], seen["answered"]) == (ROWS, 0, ROWS)
    assert answers_in(folder) == ROWS
    assert server.stats["for_regions"] == 0
    assert nothing_is_left(folder)


@pytest.mark.parametrize("trouble", ["lost", "500_after", "unheard", "500", "429", "cut"])
@pytest.mark.parametrize("call", ["upload", "create", "retrieve", "content", "delete"])
def test_calls_that_go_wrong_have_nothing_submitted_twice(call: str, trouble: str, folder: Path, serve: Serve) -> None:
    server = serve(calls={call: [trouble]})
    answered_in_batches(folder, server)
    seen = server.batches.public()
    assert (seen["submitted"], seen["submitted_twice"], seen["answered"]) == (ROWS, 0, ROWS)
    assert nothing_is_left(folder)


def test_without_a_list_a_run_that_cannot_know_asks(
    folder: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(no_list=404)
    with monkeypatch.context() as patch:
        kill_at((BatchApi, "create", 1, "after"), patch)
        with pytest.raises(RuntimeError):
            answered_in_batches(folder, server)
    with pytest.raises(CaptionerError, match=r"no list of batches.*--adopt"):
        answered_in_batches(folder, server)
    assert server.batches.public()["batches"] == 1


def test_a_busy_provider_without_a_list_is_asked_again(folder: Path, serve: Serve) -> None:
    server = serve(no_list=404, calls={"create": ["429", "429"]})  # nothing was created: there is nothing to ask
    answered_in_batches(folder, server)
    assert server.batches.public()["submitted"] == ROWS


def test_a_provider_that_is_busy_for_too_long_ends_the_run_and_the_next_goes_on(folder: Path, serve: Serve) -> None:
    server = serve(calls={"create": ["429"] * 100})
    with pytest.raises(CaptionerError, match=r"cannot create a batch: 429: .*it goes on"):
        answered_in_batches(folder, server, server_patience=0.1)
    server.change_batches(calls={})
    answered_in_batches(folder, server)
    seen = server.batches.public()
    assert (seen["files"], seen["batches"], seen["submitted"]) == (1, 1, ROWS)


def test_a_file_that_is_not_ready_is_waited_for(folder: Path, serve: Serve) -> None:
    server = serve(pending=0.3)
    answered_in_batches(folder, server)
    assert answers_in(folder) == ROWS


def test_a_provider_without_metadata(folder: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(metadata=False)
    with monkeypatch.context() as patch:
        kill_at((BatchApi, "create", 1, "after"), patch)
        with pytest.raises(RuntimeError):
            answered_in_batches(folder, server)
    answered_in_batches(folder, server)  # it is found by its file
    assert server.batches.public()["batches"] == 1
    assert answers_in(folder) == ROWS


def test_a_provider_whose_clock_is_an_hour_behind(folder: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    with monkeypatch.context() as patch:
        kill_at((BatchApi, "create", 1, "after"), patch)
        with pytest.raises(RuntimeError):
            answered_in_batches(folder, server)
    real = batch_api._created_at
    monkeypatch.setattr(batch_api, "_created_at", lambda data: real(data) - 3600)
    answered_in_batches(folder, server)
    assert server.batches.public()["batches"] == 1


def test_a_provider_without_batches_leaves_an_online_run_free(folder: Path, serve: Serve) -> None:
    server = serve(calls={"upload": ["404"]})
    with pytest.raises(CaptionerError, match=r"refuses to upload requests \(404: .*delivery=online"):
        answered_in_batches(folder, server)
    assert nothing_is_left(folder)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_a_dead_run_had_not_uploaded_holds_up_nobody(
    moment: str, folder: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    with monkeypatch.context() as patch:
        kill_at((BatchApi, "upload", 1, moment), patch)
        with pytest.raises(RuntimeError):
            answered_in_batches(folder, server)
    key = left_in(folder, "claims")[0].name
    free = threading.Event()
    with context_of(config_of(folder, **settings_of(server, delivery="online", output=f"{folder}/b.jsonl"))) as other:
        other.claims.join()
        if other.claims.acquire(key) is Claim.TAKEN:  # not if it was swept already
            other.claims.when_free(key, free.set)
            assert free.wait(60)


def test_a_batch_that_is_gone_at_the_provider_is_named_and_can_be_given_up(folder: Path, serve: Serve) -> None:
    server = serve(calls={"retrieve": ["404"]})
    with pytest.raises(CaptionerError, match=r"has no batch batch_\w+ \(404\).*account.*--adopt \w{32}=none"):
        answered_in_batches(folder, server)
    answered_in_batches(folder, server)  # with the right key it is there
    assert server.batches.public()["batches"] == 1
    assert answers_in(folder) == ROWS


def test_what_others_hold_does_not_keep_done_batches_from_being_collected(folder: Path, serve: Serve) -> None:
    server = serve(calls={"retrieve": ["404"]})
    with pytest.raises(CaptionerError, match="has no batch"):
        answered_in_batches(folder, server, batch_max_requests=5)
    assert answers_in(folder) > 0


def test_a_damaged_record_stops_the_run_and_its_rows_are_not_requested_again(folder: Path, serve: Serve) -> None:
    done = threading.Event()
    server = serve(until={"in_progress": done})
    with pytest.raises(Waiting):
        answered_in_batches(folder, server, batch_wait=0)
    record = next(path for path in left_in(folder, "batches") if len(path.name) == 37)
    whole = record.read_bytes()
    record.write_bytes(whole[:40])
    with pytest.raises(StorageError, match=rf"cannot read .*{record.name}: it is damaged"):
        answered_in_batches(folder, server, batch_wait=0)
    record.write_bytes(whole)
    done.set()
    answered_in_batches(folder, server)
    assert server.batches.public()["submitted"] == ROWS


def test_a_file_that_cannot_be_deleted_stops_nothing(
    folder: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(batch_api, "DELETE_SECONDS", 0.1)
    server = serve(calls={"delete": ["500"] * 100})
    answered_in_batches(folder, server)
    assert answers_in(folder) == ROWS
    assert nothing_is_left(folder)
    assert "stays at the provider" in caplog.text


# --- what comes of a batch


def test_a_download_that_came_short_is_made_again(folder: Path, serve: Serve) -> None:
    server = serve(calls={"content": ["short"]})
    answered_in_batches(folder, server)
    assert answers_in(folder) == server.batches.public()["answered"] == ROWS
    assert nothing_is_left(folder)


def test_results_that_come_short_again_and_again_stay_at_the_provider(
    folder: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(calls={"content": ["short"] * 100})
    answered_in_batches(folder, server)
    assert 0 < answers_in(folder) < ROWS
    assert server.batches.public()["deleted"] == 1  # the file of requests
    assert "its result files stay at the provider" in caplog.text
    assert nothing_is_left(folder)


def test_requests_that_are_not_on_record_any_more_leave_the_results_where_they_are(
    folder: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()
    server = serve(until={"in_progress": done})
    with pytest.raises(Waiting):
        answered_in_batches(folder, server, batch_wait=0)
    requests = next(path for path in left_in(folder, "batches") if path.name.endswith(".requests.jsonl"))
    requests.write_bytes(b"".join(requests.read_bytes().splitlines(keepends=True)[:-1]) + b"{")
    done.set()
    answered_in_batches(folder, server, batch_rest="batch")
    assert answers_in(folder) == ROWS
    assert "its result files stay at the provider" in caplog.text


def test_rows_too_large_for_a_batch_end_no_file(folder: Path, serve: Serve) -> None:
    rows = photo_rows(folder, ROWS)
    large = [{**row, "bbox": [[1, 1, 9, 9 + n] for n in range(4)]} if n % 2 else row for n, row in enumerate(rows)]
    write_rows(folder / "photos.jsonl", large)
    server = serve()
    answered_in_batches(folder, server, prompt_mode="focal", batch_max_requests=2)
    seen = server.batches.public()
    assert answers_in(folder) == ROWS // 2
    assert seen["submitted"] == seen["answered"]
    assert seen["batches"] < ROWS // 2


def test_warnings_and_repairs_are_those_of_an_online_run(folder: Path, serve: Serve) -> None:
    server = serve()
    answered_in_batches(folder, server, max_caption_chars=10)
    stored = [loads(path.read_bytes()) for path in (folder / "cache" / "captions").rglob("*.json")]
    assert stored
    assert all("ends at max_caption_chars=10" in answer["warnings"][0] for answer in stored)


def test_what_a_batch_failed_is_left_to_be_asked_online(folder: Path, serve: Serve) -> None:
    server = serve(fails={"500": 0.5})
    answered_in_batches(folder, server)
    seen = server.batches.public()
    assert seen["batches"] == 1
    assert 0 < answers_in(folder) == seen["answered"] < ROWS
    assert nothing_is_left(folder)


def test_what_a_batch_failed_is_asked_by_another(folder: Path, serve: Serve) -> None:
    server = serve(fails={"request_timeout": 0.5}, troubled=1)
    answered_in_batches(folder, server, batch_rest="batch")
    seen = server.batches.public()
    assert (seen["batches"], seen["answered"], seen["answered_twice"]) == (2, ROWS, 0)
    assert answers_in(folder) == ROWS


def test_a_batch_that_fails_as_a_whole_ends_the_run(folder: Path, serve: Serve) -> None:
    server = serve(one_custom_id=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_packing, "request_line", lambda name, body: request_line("the-same", body))
        with pytest.raises(CaptionerError, match="failed as a whole: duplicate_custom_id"):
            answered_in_batches(folder, server)
    assert nothing_is_left(folder)
    answered_in_batches(folder, server)
    assert answers_in(folder) == ROWS


def test_a_batch_that_is_refused_is_packed_again_with_other_settings(folder: Path, serve: Serve) -> None:
    server = serve(max_requests=ROWS - 1)
    with pytest.raises(CaptionerError, match="refuses to create a batch"):
        answered_in_batches(folder, server)
    assert nothing_is_left(folder)
    answered_in_batches(folder, server, batch_max_requests=ROWS - 1)
    assert answers_in(folder) == ROWS


def test_what_came_of_an_expired_batch_is_kept(folder: Path, serve: Serve) -> None:
    server = serve(expires=True, done=0.5)
    answered_in_batches(folder, server)
    assert answers_in(folder) == ROWS // 2
    assert nothing_is_left(folder)


def test_a_batch_that_never_fits_is_packed_again_with_other_settings(
    folder: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    free = serve()
    answered_in_batches(folder, free, cache_path=f"{folder}/other")
    server = serve(enqueued_tokens=free.batches.billed.prompt_tokens // 2)
    with pytest.raises(Waiting, match=r"0 of 1 batches done.*; 1 wait for room at the provider"):
        answered_in_batches(folder, server, batch_wait=1)
    assert f"rerun it with batch_max_requests below {ROWS}" in caplog.text
    answered_in_batches(folder, server, batch_max_requests=ROWS // 3)
    seen = server.batches.public()
    assert (seen["submitted"], seen["answered"]) == (ROWS, ROWS)
    assert nothing_is_left(folder)


def test_a_batch_that_there_is_no_room_for_waits(folder: Path, serve: Serve) -> None:
    free = serve()
    answered_in_batches(folder, free, cache_path=f"{folder}/other")
    tokens = free.batches.billed.prompt_tokens
    server = serve(enqueued_tokens=tokens // 2 + tokens // 6)
    answered_in_batches(folder, server, batch_max_requests=ROWS // 2)
    assert server.batches.public()["answered"] == ROWS
    assert nothing_is_left(folder)


# --- waiting


def test_a_run_that_has_waited_is_waiting_and_another_goes_on(folder: Path, serve: Serve) -> None:
    done = threading.Event()
    server = serve(until={"in_progress": done})
    with pytest.raises(Waiting, match="0 of 1 batches done, 0 of 12 answers"):
        answered_in_batches(folder, server, batch_wait=0)
    done.set()
    answered_in_batches(folder, server)
    assert server.batches.public()["submitted"] == ROWS
    assert answers_in(folder) == ROWS


def test_no_other_run_may_request_what_is_in_a_batch(folder: Path, serve: Serve) -> None:
    done = threading.Event()
    server = serve(until={"in_progress": done})
    with pytest.raises(Waiting):
        answered_in_batches(folder, server, batch_wait=0)
    key = left_in(folder, "claims")[0].name
    free = threading.Event()
    with context_of(config_of(folder, **settings_of(server, delivery="online", output=f"{folder}/b.jsonl"))) as other:
        other.claims.join()
        assert other.claims.acquire(key) is Claim.TAKEN
        other.claims.when_free(key, free.set)
        done.set()
        answered_in_batches(folder, server)
        assert free.wait(60)


def test_what_is_not_ours_in_a_result_is_ignored(folder: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    real = batch_results._lines
    strange = [b'{"custom_id": "of-another", "response": {}}\n', b"no json\n", b"[]\n", b'{"custom_id": 1}\n']
    monkeypatch.setattr(batch_results, "_lines", lambda path: iter([*strange, *real(path)]))
    answered_in_batches(folder, serve())
    assert answers_in(folder) == ROWS
