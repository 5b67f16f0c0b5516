"""Look-ups of answers that are not there cost an object store next to nothing, and are never wrong."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pytest

from regioncap.storage import s3_pages
from regioncap.storage.answer_index import AnswerIndex
from regioncap.storage.answers import Answers
from regioncap.storage.filesystem import Place
from tests.support.s3_requests import S3Requests

ANSWER = {"captions": {"1": "a cup"}}
PAGE = 5
"""Keys in a page of a listing, where a test has small ones."""


def keys(count: int, name: str = "") -> list[str]:
    return [hashlib.sha256(f"{name}{number}".encode()).hexdigest()[:32] for number in range(count)]


@pytest.fixture
def folder(bucket: str) -> Place:
    return Place(f"{bucket}/captions")


@pytest.fixture
def requests(folder: Place, monkeypatch: pytest.MonkeyPatch) -> S3Requests:
    return S3Requests(monkeypatch)


@pytest.fixture
def small_pages(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store whose listings have pages of a few keys."""
    from s3fs import S3FileSystem

    real = S3FileSystem._call_s3

    async def call(self: Any, method: str, *args: Any, **more: Any) -> Any:
        return await real(self, method, *args, **more, **({"MaxKeys": PAGE} if method == "list_objects_v2" else {}))

    from regioncap.storage.direct_s3 import DirectS3FileSystem

    real_text = DirectS3FileSystem.list_text

    async def text(self: Any, bucket: str, query: dict[str, str]) -> str | None:
        return await real_text(self, bucket, {**query, "max-keys": str(PAGE)})

    monkeypatch.setattr(S3FileSystem, "_call_s3", call)
    monkeypatch.setattr(DirectS3FileSystem, "list_text", text)


def test_what_is_not_there_costs_one_listing(folder: Place, requests: S3Requests) -> None:
    answers = Answers(folder)
    assert [answers.get(key) for key in keys(100)] == [None] * 100
    assert requests.sent == [("LIST", "captions/")]


def test_what_is_there_costs_one_request_each(folder: Place, requests: S3Requests) -> None:
    there = keys(10, "there")
    for key in there:
        Answers(folder).put(key, ANSWER)
    requests.clear()
    answers = Answers(folder)
    assert [answers.get(key) for key in there] == [ANSWER] * 10
    assert not any(answers.get(key) for key in keys(50))
    assert requests.below("captions") == {"LIST": 1, "GET": 10}


@pytest.mark.usefixtures("small_pages")
def test_in_a_cache_of_many_pages_everything_is_found(folder: Place, requests: S3Requests) -> None:
    there, others = keys(60, "there"), keys(400)
    for key in there:
        Answers(folder).put(key, ANSWER)
    requests.clear()
    answers, looked_up = Answers(folder), there + others
    random.Random(1).shuffle(looked_up)
    assert {key for key in looked_up if answers.get(key)} == set(there)
    sent = requests.below("captions")
    assert sent["LIST"] <= 2 + len(looked_up) // 8
    assert sent["GET"] < len(there) + len(others) // 2


@pytest.mark.usefixtures("small_pages")
def test_no_answer_is_remembered_twice(folder: Place) -> None:
    for key in keys(40, "there"):
        Answers(folder).put(key, ANSWER)
    index = AnswerIndex(folder, lambda: True)
    for key in keys(200):
        index.lacks(key)
    assert 30 < index.remembered <= 40


@pytest.mark.usefixtures("small_pages")
def test_what_this_run_stored_is_found_whatever_was_listed_before(folder: Place) -> None:
    for key in keys(20, "there"):
        Answers(folder).put(key, ANSWER)
    answers, own = Answers(folder), keys(40)
    for key in own:
        assert answers.get(key) is None
        answers.put(key, ANSWER)
    assert all(answers.get(key) for key in own)


def test_what_is_stored_while_a_page_is_on_its_way_is_found(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, late = Answers(folder), keys(1)[0]
    real = s3_pages.list_page

    def list_page(*args: Any, **more: Any) -> s3_pages.S3Page:
        page = real(*args, **more)
        answers.put(late, ANSWER)  # the store has responded, and nobody has read it yet
        return page

    monkeypatch.setattr("regioncap.storage.answer_index.list_page", list_page)
    assert answers.get(keys(2)[1]) is None
    assert answers.get(late) == ANSWER


def test_what_another_run_stores_is_found_by_a_fresh_look(folder: Place) -> None:
    answers, (key, other) = Answers(folder), keys(2)
    assert answers.get(key) is None
    Answers(folder).put(key, ANSWER)
    assert answers.get(key, fresh=True) == ANSWER
    answers.forget_listings()
    assert answers.get(key) == ANSWER
    assert answers.get(other) is None


def test_a_run_that_does_not_see_others_looks_each_up(folder: Place, requests: S3Requests) -> None:
    answers, sought = Answers(folder, lambda: False), keys(5)
    assert not any(map(answers.get, sought))
    assert requests.below("captions") == {"GET": 5}


@pytest.mark.parametrize("error", [PermissionError("Access Denied"), FileNotFoundError("NoSuchKey")])
def test_where_nothing_can_be_listed_each_is_looked_up(
    folder: Place, requests: S3Requests, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Some stores answer 404 to a listing of a folder in which nothing is."""

    def refuse(*args: Any, **more: Any) -> s3_pages.S3Page:
        raise error

    monkeypatch.setattr("regioncap.storage.answer_index.list_page", refuse)
    answers = Answers(folder)
    assert not any(map(answers.get, keys(3)))
    assert requests.below("captions") == {"GET": 3}


def test_other_stores_and_disks_list_nothing(tmp_path: Any) -> None:
    for root in (str(tmp_path), "memory://captions-of-a-test"):
        answers, key = Answers(Place(root)), keys(1)[0]
        assert answers.get(key) is None
        Answers(Place(root)).put(key, ANSWER)
        assert answers.get(key) == ANSWER
