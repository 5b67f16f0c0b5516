"""Answers of two runs on one cache: what one has paid for, the other does not give up for less."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.base import CaptionRequest, CaptionResult
from regioncap.captioners.vlm import OpenAICaptioner
from regioncap.run.context import RunContext
from regioncap.tasks.answers import ask
from regioncap.tasks.cached_answer import CachedAnswer
from tests.support.runs import config_of

ROW: dict[str, Any] = {
    "image": "p.png", "image_sha256": "5e" * 32, "width": 96, "height": 64,
    "bbox": [[9 * n, 9, 8, 8] for n in range(3)], "valid_bboxes_num": 3,
    "marked": {"sha256": "ab" * 32, "width": 96, "height": 64},
}  # fmt: skip


class Sent:
    """A run that has asked for `ROW`; what comes is for the test to say."""

    def __init__(self, folder: Path, again: bool = False) -> None:
        somewhere = {"captioner": "openai", "model": "m", "endpoint": "http://localhost/v1"}
        self.context = RunContext(config_of(folder, **somewhere))
        captioner = self.context.captioner
        assert isinstance(captioner, OpenAICaptioner)
        self.requests: list[CaptionRequest] = []

        def submit(request: CaptionRequest) -> Future[CaptionResult]:
            self.requests.append(request)
            return Future()

        captioner.submit = submit  # type: ignore[method-assign]
        self.key = ask(ROW, self.context, ignore_cached=again).key

    def comes(self, **result: Any) -> None:
        """The captioner has something to keep."""
        keep = self.requests[0].keep
        assert keep is not None
        keep(CaptionResult(**result))

    def kept(self) -> CachedAnswer:
        return CachedAnswer.find(self.key, (1, 2, 3), self.context)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[tuple[Sent, Sent]]:
    first, second = Sent(tmp_path), Sent(tmp_path, again=True)
    with closing(first.context), closing(second.context):
        yield first, second


def test_a_part_does_not_replace_what_another_run_has(runs: tuple[Sent, Sent]) -> None:
    first, second = runs
    first.comes(captions={1: "a", 2: "b"})
    second.comes(captions={1: "A"})
    assert second.kept().captions == {1: "A", 2: "b"}
    second.comes(captions={1: "A", 3: "C"})
    assert first.kept().captions == {1: "A", 2: "b", 3: "C"}


def test_a_failure_does_not_replace_a_whole_answer(runs: tuple[Sent, Sent]) -> None:
    first, second = runs
    first.comes(captions={1: "a", 2: "b", 3: "c"})
    second.comes(captions={}, code="captions_incomplete", model_failure=True, message="refused")
    assert (second.kept().captions, second.kept().failed_runs) == ({1: "a", 2: "b", 3: "c"}, 0)


def test_a_whole_new_answer_replaces_the_old_one(runs: tuple[Sent, Sent]) -> None:
    first, second = runs
    first.comes(captions={1: "a", 2: "b", 3: "c"})
    second.comes(captions={1: "A", 2: "B", 3: "C"})
    assert first.kept().captions == {1: "A", 2: "B", 3: "C"}
