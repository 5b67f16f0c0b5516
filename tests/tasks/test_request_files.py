"""Files of requests: each is written once, whenever a run is killed; what results bring is kept, whatever else they
hold, and the rest is written into another file."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import pytest

from regioncap.errors import CaptionerError, Waiting
from regioncap.storage.batch_records import BatchRecords
from regioncap.storage.filesystem import Place
from regioncap.tasks import request_files as request_files_module
from regioncap.tasks.batch_console import written
from tests.support.batches_of_runs import context_of, left_in
from tests.support.commands import ROOT
from tests.support.photos import photo_rows
from tests.support.request_files import (
    FOLDER,
    Answerer,
    answerers,
    captioned_by_files,
    failed,
    file_settings,
    request_files,
    requests_in,
    results_beside,
)
from tests.support.rows import write_rows
from tests.support.runs import config_of
from tests.support.waiting import until

ROWS = 12


@pytest.fixture
def answerer() -> Iterator[Answerer]:
    yield from answerers()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path / "photos.jsonl", photo_rows(tmp_path, ROWS))
    return tmp_path


def nothing_is_left(folder: Path) -> bool:
    return left_in(folder, "batches") + left_in(folder, "claims") + request_files(folder) == []


def answers_in(folder: Path) -> int:
    return sum(1 for path in (folder / "cache" / "captions").rglob("*.json"))


def waiting(folder: Path, **settings: Any) -> str:
    """What a run says that ends as waiting."""
    with pytest.raises(Waiting) as end:
        captioned_by_files(folder, **settings)
    return str(end.value)


def one_file(folder: Path) -> Path:
    (path,) = request_files(folder)
    return path


def test_a_file_is_written_then_its_results_are_read(folder: Path, answerer: Answerer) -> None:
    said = waiting(folder)
    path = one_file(folder)
    assert f"1 file of requests waits for its results: {path} (0 of 12 answers)" in said
    assert "vllm run-batch -i NAME.requests.jsonl -o NAME.results.jsonl --model fake-vlm" in said
    answerer.answer_all(folder)
    bill = captioned_by_files(folder)
    assert (bill.requests, bill.captions_new) == (ROWS, ROWS * 3 // 2)
    assert bill.batch_prompt_tokens == bill.prompt_tokens > 0
    assert answers_in(folder) == ROWS
    assert set(answerer.asked.values()) == {1}
    assert nothing_is_left(folder)
    assert results_beside(path).exists()  # they are not ours to remove


def test_a_request_is_what_vllm_takes(folder: Path) -> None:
    waiting(folder, max_caption_chars=80)
    for request in requests_in(one_file(folder)):
        assert (request["method"], request["url"]) == ("POST", "/v1/chat/completions")
        body = request["body"]
        assert body["model"] == "fake-vlm"
        assert body["structured_outputs"]["regex"].startswith("<region1>: ")
        assert body["messages"][-1]["content"][0]["image_url"]["url"].startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize(("structure", "field"), [("json_schema", "response_format"), ("guided_regex", "guided_regex")])
def test_the_structure_is_what_is_set(structure: str, field: str, folder: Path) -> None:
    waiting(folder, structure=structure)
    assert all(field in request["body"] for request in requests_in(one_file(folder)))


def test_a_waiting_run_writes_nothing_again(folder: Path) -> None:
    waiting(folder)
    before = one_file(folder).read_bytes()
    waiting(folder)
    assert one_file(folder).read_bytes() == before


def test_files_end_where_they_are_full(folder: Path, answerer: Answerer) -> None:
    said = waiting(folder, batch_max_requests=5)
    assert "3 files of requests wait for their results" in said
    assert [len(requests_in(path)) for path in request_files(folder)].count(5) == 2
    answerer.answer_all(folder)
    captioned_by_files(folder, batch_max_requests=5)
    assert answers_in(folder) == ROWS


def test_results_may_be_shuffled_split_and_doubled(folder: Path, answerer: Answerer) -> None:
    waiting(folder)
    path = one_file(folder)
    results = answerer.results(path)
    random.Random(1).shuffle(results)
    answerer.answer(path, lambda _: results[:7], ".results-1.jsonl")
    said = waiting(folder)
    assert "(7 of 12 answers)" in said
    answerer.answer(path, lambda _: results[5:], ".results-2.jsonl")
    captioned_by_files(folder)
    assert answers_in(folder) == ROWS
    assert nothing_is_left(folder)


def test_parts_are_waited_for_and_only_whole_results_say_that_no_more_come(
    folder: Path, answerer: Answerer, caplog: pytest.LogCaptureFixture
) -> None:
    waiting(folder)
    path = one_file(folder)
    answerer.answer(path, lambda results: results[:7], ".results-1.jsonl")
    assert "(7 of 12 answers)" in waiting(folder)
    assert "5 requests have no result yet" in caplog.text
    assert one_file(folder) == path
    results_beside(path, ".results-1.jsonl").rename(results_beside(path))
    assert "(0 of 5 answers)" in waiting(folder)
    assert one_file(folder) != path
    assert len(requests_in(one_file(folder))) == 5
    answerer.answer_all(folder)
    captioned_by_files(folder)
    assert answers_in(folder) == ROWS
    assert nothing_is_left(folder)


def test_whole_results_that_are_cut_are_not_whole(
    folder: Path, answerer: Answerer, caplog: pytest.LogCaptureFixture
) -> None:
    waiting(folder)
    path = one_file(folder)
    there = answerer.answer(path)
    whole = there.read_bytes()
    there.write_bytes(whole[:-30])
    waiting(folder)
    assert "ends within a line" in caplog.text
    assert one_file(folder) == path
    there.write_bytes(whole.rstrip(b"\n"))
    captioned_by_files(folder)
    assert answers_in(folder) == ROWS


def test_openai_has_its_results_in_another_form(folder: Path, answerer: Answerer) -> None:
    def openai_form(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for result in results:
            result["response"]["body"]["model"] = "fake-vlm-2026-11-01"
        expired = {"code": "batch_expired", "message": "This request could not be executed."}
        return [*results[:-1], {**results[-1], "response": None, "error": expired}]

    waiting(folder)
    answerer.answer_all(folder, openai_form)
    assert "(0 of 1 answers)" in waiting(folder)
    answerer.answer_all(folder)
    captioned_by_files(folder)
    assert answers_in(folder) == ROWS


def test_a_run_may_stay_until_results_are_there(
    folder: Path, answerer: Answerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_files_module, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(request_files_module, "MAX_PAUSE_SECONDS", 0.2)

    def answer() -> None:
        answerer.answer(until(lambda: request_files(folder))[0], lambda results: results[:5])
        answerer.answer(until(lambda: [path for path in request_files(folder) if not results_beside(path).exists()])[0])

    with ThreadPoolExecutor(1) as thread:
        answered = thread.submit(answer)
        captioned_by_files(folder, batch_wait=3600)
        answered.result()
    assert answers_in(folder) == ROWS
    assert set(answerer.asked.values()) <= {1, 2}  # its first answers were left out
    assert nothing_is_left(folder)


# --- what answers nothing


def test_damaged_lines_and_strange_ones_are_named_and_the_rest_is_asked_again(
    folder: Path, answerer: Answerer, caplog: pytest.LogCaptureFixture
) -> None:
    strange = ["no json\n", "[]\n", '{"custom_id": 1}\n', '{"custom_id": "of-another", "response": {}}\n', "\n"]
    waiting(folder)
    answerer.answer_all(folder, lambda results: [*strange, *results[2:]])
    assert "(0 of 2 answers)" in waiting(folder)
    assert "damaged lines: 2" in caplog.text
    assert "answer no request of this file: 2" in caplog.text
    answerer.answer_all(folder)
    captioned_by_files(folder)
    assert answers_in(folder) == ROWS


def of_another_model(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for result in results:
        result["response"]["body"]["model"] = "org/other-7B"
    return results


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (of_another_model, "answers of model org/other-7B are not taken: fake-vlm was asked"),
        (lambda results: [failed(each, 404, "no model fake-vlm") for each in results], "404: no model fake-vlm"),
        (lambda results: [failed(each, 400, "no such field") for each in results], "400: no such field"),
        (lambda results: [{**each, "custom_id": f"x{each['custom_id']}"} for each in results], "answer no request"),
        (lambda results: [], "no request is answered"),
    ],
    ids=["another model", "404", "400", "another file", "empty"],
)
def test_results_that_answer_nothing_leave_the_file_waiting(
    change: Any, why: str, folder: Path, answerer: Answerer, caplog: pytest.LogCaptureFixture
) -> None:
    waiting(folder)
    path = one_file(folder)
    answerer.answer(path, change)
    assert "(0 of 12 answers)" in waiting(folder)
    assert why in caplog.text
    assert "have the file answered again, or delete it to give it up" in caplog.text
    answerer.answer(one_file(folder))
    captioned_by_files(folder)
    assert answers_in(folder) == ROWS


@pytest.mark.parametrize(
    ("named", "taken"),
    [
        ("gpt-4.1", True), ("gpt-4.1-2025-04-14", True), ("models/gpt-4.1@20250414", True), ("gpt-4.1-mini", False),
        ("gpt-4", False), ("gpt-4.12", False), ("gpt-4.1-AWQ", False), ("gpt-4.1-7", False), ("", True),
    ],
)  # fmt: skip
def test_a_version_may_be_added_to_a_model_and_nothing_else(
    named: str, taken: bool, folder: Path, answerer: Answerer
) -> None:
    def answered(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for result in results:
            result |= {"response": {"status_code": 200, "body": {**body, "model": named}}, "error": None}
        return results

    waiting(folder, model="gpt-4.1", limit=1)
    content = "\n".join(f"<region{number}>: a cup" for number in (1, 2, 3))
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    body = {"object": "chat.completion", "choices": [choice]}
    answerer.answer(one_file(folder), answered)
    if taken:
        captioned_by_files(folder, model="gpt-4.1", limit=1)
    else:
        waiting(folder, model="gpt-4.1", limit=1)
    assert answers_in(folder) == int(taken)


def test_what_is_refused_again_and_again_rests(folder: Path, answerer: Answerer) -> None:
    def refuse_one(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*results[:-1], failed(results[-1], 400)]

    waiting(folder)
    for _ in range(2):
        answerer.answer_all(folder, refuse_one)
        assert "(0 of 1 answers)" in waiting(folder)
    answerer.answer_all(folder, refuse_one)
    captioned_by_files(folder)
    assert max(answerer.asked.values()) == 3
    assert nothing_is_left(folder)


def test_what_failed_for_the_moment_is_asked_until_it_comes(folder: Path, answerer: Answerer) -> None:
    waiting(folder)
    answerer.answer_all(folder, lambda results: [*results[1:], failed(results[0], 500)])
    for _ in range(4):
        assert "(0 of 1 answers)" in waiting(folder)
        path = one_file(folder)
        answerer.answer(path, lambda results: [failed(results[0], 503)])
    answerer.answer(path)
    captioned_by_files(folder)
    assert answers_in(folder) == ROWS


def test_results_for_no_file_are_named(folder: Path, answerer: Answerer, caplog: pytest.LogCaptureFixture) -> None:
    waiting(folder)
    (folder / FOLDER / "of-others.results.jsonl").write_text("{}\n")
    with caplog.at_level("INFO", "regioncap"):
        waiting(folder)
    assert "no file waits for these results" in caplog.text
    assert "of-others.results.jsonl" in caplog.text


# --- given up


def test_a_deleted_file_is_given_up_and_what_came_is_kept(folder: Path, answerer: Answerer) -> None:
    waiting(folder)
    path = one_file(folder)
    answerer.answer(path, lambda results: results[:4], ".results-1.jsonl")
    path.unlink()
    assert "(0 of 8 answers)" in waiting(folder)
    assert one_file(folder) != path
    answerer.answer_all(folder)
    captioned_by_files(folder)
    assert answers_in(folder) == ROWS
    assert nothing_is_left(folder)


def test_a_folder_that_is_not_there_gives_nothing_up(folder: Path, answerer: Answerer) -> None:
    waiting(folder)
    (folder / FOLDER).rename(folder / "elsewhere")
    with pytest.raises(CaptionerError, match="this folder is not there, and a file in it waits"):
        captioned_by_files(folder)
    (folder / "elsewhere").rename(folder / FOLDER)
    answerer.answer_all(folder)
    captioned_by_files(folder)
    assert answers_in(folder) == ROWS


def test_a_run_that_stays_goes_on_when_its_files_are_given_up(
    folder: Path, answerer: Answerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_files_module, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(request_files_module, "MAX_PAUSE_SECONDS", 0.2)

    def give_up_then_answer() -> Path:
        path = until(lambda: request_files(folder))[0]
        config = config_of(folder, **file_settings(max_requests=ROWS))
        with context_of(config) as context:
            assert [each.there for each in written(config, context.cache, cancel=True)] == [False]
        answerer.answer(until(lambda: request_files(folder))[0])
        return path

    with ThreadPoolExecutor(1) as thread:
        given_up = thread.submit(give_up_then_answer)
        with contextlib.suppress(Waiting):
            captioned_by_files(folder, batch_wait=20, max_requests=ROWS)
        assert not given_up.result().exists()
    assert answers_in(folder) == ROWS
    assert nothing_is_left(folder)


# --- limits


def test_what_a_run_may_request_it_writes_and_no_more_before_that_is_answered(folder: Path, answerer: Answerer) -> None:
    for rows in (5, 5, 2):
        said = waiting(folder, max_requests=5)
        assert ("max_requests=5 is reached: later runs write the rest" in said) == (rows == 5)
        assert len(requests_in(one_file(folder))) == rows
        waiting(folder, max_requests=5)
        assert len(requests_in(one_file(folder))) == rows
        answerer.answer_all(folder)
    captioned_by_files(folder, max_requests=5)
    assert set(answerer.asked.values()) == {1}
    assert answers_in(folder) == ROWS


# --- killed at any moment


class Killed(BaseException):
    """Stands for the end of the process."""


WRITING = [
    (of, name, count, when)
    for of, name, counts in [
        (BatchRecords, "write", (1, 2, 3, 4, 5)), (BatchRecords, "write_requests", (1, 2)), (Place, "writer", (1, 2)),
    ]
    for count in counts
    for when in ("before", "after")
]  # fmt: skip
READING = [
    (of, name, count, when)
    for of, name, counts in [(BatchRecords, "write", (1, 2, 3)), (BatchRecords, "remove", (1, 2))]
    for count in counts
    for when in ("before", "after")
]


def kill_at(point: tuple[type, str, int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the process end right before or after a call; of `writer`, right before or after a file of requests gets
    its name."""
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

    @contextlib.contextmanager
    def writer(self: Place) -> Iterator[IO[bytes]]:
        ours = self.parent.name == FOLDER
        calls[0] += ours
        with real(self) as file:
            yield file
            if ours:
                check("before")
        if ours:
            check("after")

    monkeypatch.setattr(of, name, writer if of is Place else call)


def finished(folder: Path, answerer: Answerer, **settings: Any) -> None:
    """Go on until all is answered."""
    for _ in range(3):
        answerer.answer_all(folder)
        try:
            captioned_by_files(folder, **settings)
        except Waiting:
            continue
        return
    raise AssertionError("still waiting")


@pytest.mark.parametrize("point", WRITING, ids=lambda point: f"{point[3]}-{point[1]}-{point[2]}")
def test_a_kill_while_files_are_written_has_nothing_answered_twice(
    point: tuple[type, str, int, str], folder: Path, answerer: Answerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_at(point, patch)
        with pytest.raises((Killed, Waiting)):
            captioned_by_files(folder, batch_max_requests=7)
    answerer.answer_all(folder)  # whatever is there may be answered at once
    finished(folder, answerer, batch_max_requests=7)
    assert len(answerer.asked) == ROWS
    assert set(answerer.asked.values()) == {1}
    assert answers_in(folder) == ROWS
    assert nothing_is_left(folder)


@pytest.mark.parametrize("point", READING, ids=lambda point: f"{point[3]}-{point[1]}-{point[2]}")
def test_a_kill_while_results_are_read_has_nothing_answered_twice(
    point: tuple[type, str, int, str], folder: Path, answerer: Answerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(folder, batch_max_requests=7)
    answerer.answer_all(folder)
    with monkeypatch.context() as patch:
        kill_at(point, patch)
        with contextlib.suppress(Killed):
            captioned_by_files(folder, batch_max_requests=7)
    finished(folder, answerer, batch_max_requests=7)
    assert len(answerer.asked) == ROWS
    assert set(answerer.asked.values()) == {1}
    assert answers_in(folder) == ROWS
    assert nothing_is_left(folder)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_real_kill_has_nothing_answered_twice(when: str, folder: Path, answerer: Answerer) -> None:
    command = [sys.executable, "-m", "tests.support.file_child", str(folder), when]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == -signal.SIGKILL
    assert len(request_files(folder)) == (when == "after")
    answerer.answer_all(folder)
    finished(folder, answerer)
    assert len(answerer.asked) == ROWS
    assert set(answerer.asked.values()) == {1}
    assert nothing_is_left(folder)
