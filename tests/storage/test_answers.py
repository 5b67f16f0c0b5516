"""Stored answers: what is damaged is as if it were not there, is named, and never gives another caption."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from regioncap.records import dumps
from regioncap.storage.answers import Answers
from regioncap.storage.filesystem import Place
from regioncap.storage.steps import digest

KEY = "ab" * 16
REPLY = {
    "text": "<region1>: a cup\n<region2>: 一只“狗” \x07 \ud800", "finish": "stop", "ended": "complete",
    "wanted": [1, 2], "form": "none", "mode": "marks", "temperature_offset": 0.3,
}  # fmt: skip
ANSWER: dict[str, Any] = {
    "captions": {"1": "a cup", "2": "一只“狗”"}, "usage": {"requests": 1, "prompt_tokens": 1200}, "model": "m",
    "warnings": ["caption of <region1> ends at max_caption_chars=5"],
    "failed": {"strikes": 1, "effort": "e" * 32, "message": "it refused"}, "replies": [REPLY], "rules": 1,
}  # fmt: skip


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    return Answers(Place(str(tmp_path)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the answer `KEY` lies."""
    path = tmp_path / KEY[:2] / f"{KEY}.json"
    path.parent.mkdir()
    return path


def test_an_answer_comes_back_as_it_was_stored(answers: Answers, file: Path) -> None:
    answers.put(KEY, ANSWER)
    assert answers.get(KEY) == ANSWER
    assert json.loads(file.read_bytes())["checksum"] == digest(ANSWER)
    assert b"\x07" not in file.read_bytes()


def test_an_answer_of_before_checksums_is_valid(answers: Answers, file: Path) -> None:
    before = {name: ANSWER[name] for name in ("captions", "usage", "model", "warnings", "failed")}
    file.write_bytes(dumps(before))
    assert answers.get(KEY) == before
    file.write_bytes(dumps({"captions": {}}))
    assert answers.get(KEY) == {"captions": {}}


def test_no_flipped_bit_changes_an_answer(answers: Answers, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    answers.put(KEY, ANSWER)
    stored = file.read_bytes()
    accepted = 0
    for bit in range(len(stored) * 8):
        flipped = bytearray(stored)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        found = answers.get(KEY)
        assert found in (None, ANSWER)
        accepted += found is not None
    assert accepted < 20  # "\ud800" is "\uD800"
    assert len(caplog.records) == 1  # it is one answer


def test_no_other_damage_changes_an_answer(answers: Answers, file: Path) -> None:
    answers.put(KEY, ANSWER)
    stored, drawn = file.read_bytes(), random.Random(5)
    for _ in range(3000):
        begin = drawn.randrange(len(stored))
        end = min(len(stored), begin + drawn.randrange(40))
        piece = drawn.choice([b"", drawn.randbytes(end - begin), stored[end : end + 20], bytes(end - begin)])
        file.write_bytes(stored[:begin] + piece + stored[end:])
        assert answers.get(KEY) in (None, ANSWER)
    for size in range(len(stored)):
        file.write_bytes(stored[:size])
        assert answers.get(KEY) is None


DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it is not JSON"),
    "half": (dumps(ANSWER)[:100], "it is not JSON"),
    "not UTF-8": (b'{"captions": {"1": "a \xff"}}', "it is not JSON"),
    "null": (b"null", "it is not a JSON object"),
    "list": (b"[]", "it is not a JSON object"),
    "deep": (b"[" * 100_000, "it is not JSON"),
    "other object": (b"{}", "captions: not of the expected form"),
    "captions null": (b'{"captions": null}', "captions: not of the expected form"),
    "captions list": (b'{"captions": []}', "captions: not of the expected form"),
    "caption number": (b'{"captions": {"1": 5}}', "captions: not of the expected form"),
    "caption null": (b'{"captions": {"1": null}}', "captions: not of the expected form"),
    "caption empty": (b'{"captions": {"1": " "}}', "captions: not of the expected form"),
    "caption nested": (b'{"captions": {"1": {"text": "a"}}}', "captions: not of the expected form"),
    "region 0": (b'{"captions": {"0": "a"}}', "captions: not of the expected form"),
    "region 01": (b'{"captions": {"01": "a"}}', "captions: not of the expected form"),
    "region in other digits": ('{"captions": {"\u0661": "a"}}'.encode(), "captions: not of the expected form"),
    "region word": (b'{"captions": {"one": "a"}}', "captions: not of the expected form"),
    "usage": (b'{"captions": {"1": "a"}, "usage": {"requests": "1"}}', "usage: not of the expected form"),
    "usage negative": (b'{"captions": {"1": "a"}, "usage": {"requests": -1}}', "usage: not of the expected form"),
    "usage true": (b'{"captions": {"1": "a"}, "usage": {"requests": true}}', "usage: not of the expected form"),
    "warnings": (b'{"captions": {"1": "a"}, "warnings": "w"}', "warnings: not of the expected form"),
    "failed": (b'{"captions": {"1": "a"}, "failed": {"strikes": "x"}}', "failed: not of the expected form"),
    "replies": (b'{"captions": {"1": "a"}, "replies": ["a"]}', "replies: not of the expected form"),
    "no checksum": (dumps(ANSWER), "its checksum is missing"),
    "checksum of another": (dumps({**ANSWER, "checksum": "0" * 32}), "its checksum does not match"),
    "checksum null": (dumps({**ANSWER, "checksum": None}), "its checksum is missing"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_answer_is_none_and_named_once(
    case: str, answers: Answers, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content, reason = DAMAGED[case]
    file.write_bytes(content)
    assert answers.get(KEY) is None
    assert answers.get(KEY) is None
    (record,) = caplog.records
    assert record.getMessage() == f"{file} is damaged ({reason}): its captions are requested again"
    answers.put(KEY, ANSWER)
    assert answers.get(KEY) == ANSWER


def test_many_damaged_answers_are_counted(answers: Answers, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(40):
        key = f"ab{number:030d}"
        Place(str(tmp_path)).child("ab", f"{key}.json").write(b"null")
        assert answers.get(key) is None
    assert len(caplog.records) == 3
    answers.close()
    assert caplog.messages[3:] == ["40 damaged answers in all; their captions are requested again"]


def test_few_damaged_answers_are_not_counted_again(
    answers: Answers, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_bytes(b"null")
    answers.get(KEY)
    answers.close()
    assert len(caplog.records) == 1
