"""Answers in the cache: no run gives up for less what another has paid for, and other rules read replies again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.base import CaptionRequest, CaptionResult
from regioncap.captioners.reading.parsing import RULES_VERSION
from regioncap.captioners.replies import Reply
from regioncap.captioners.vlm import OpenAICaptioner
from regioncap.config.model import RegionCapConfig
from regioncap.run.context import RunContext
from regioncap.storage.claims import Claims
from regioncap.storage.journal import Entry, Journal, journal_folder
from regioncap.tasks import cached_answer
from regioncap.tasks.answers import ask, request_of, send_for
from regioncap.tasks.cached_answer import CachedAnswer
from tests.support.runs import config_of

ROW: dict[str, Any] = {
    "image": "p.png", "image_sha256": "5e" * 32, "width": 96, "height": 64,
    "bbox": [[9 * n, 9, 8, 8] for n in range(3)], "valid_bboxes_num": 3,
    "marked": {"sha256": "ab" * 32, "width": 96, "height": 64},
}  # fmt: skip


class Sent:
    """A run that has asked for `ROW`, or for what is `needed` of it; what comes is for the test to say."""

    def __init__(self, config: RegionCapConfig, again: bool = False, needed: tuple[int, ...] | None = None) -> None:
        self.context = RunContext(config)
        captioner = self.context.captioner
        assert isinstance(captioner, OpenAICaptioner)
        self.requests: list[CaptionRequest] = []

        def submit(request: CaptionRequest) -> Future[CaptionResult]:
            self.requests.append(request)
            return Future()

        captioner.submit = submit  # type: ignore[method-assign]
        if needed is None:
            self.key = ask(ROW, self.context, ignore_cached=again).key
        else:
            self.key = send_for(ROW, request_of(ROW, self.context), self.context, needed=needed).key

    def comes(self, **result: Any) -> None:
        """The captioner has something to keep."""
        keep = self.requests[0].keep
        assert keep is not None
        keep(CaptionResult(**result))

    def stored(self) -> dict[str, Any]:
        """What is in the cache."""
        found = self.context.answers.get(self.key)
        assert found is not None
        return found

    def kept(self) -> CachedAnswer:
        return CachedAnswer.find(self.key, (1, 2, 3), self.context)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[tuple[Sent, Sent]]:
    config = config_of(tmp_path, captioner="openai", model="m", endpoint="http://localhost/v1")
    first, second = Sent(config), Sent(config, again=True)
    with closing(first.context), closing(second.context):
        yield first, second


def test_a_part_does_not_replace_what_another_run_has(runs: tuple[Sent, Sent]) -> None:
    first, second = runs
    first.comes(captions={1: "a", 2: "b"})
    second.comes(captions={1: "A"})
    assert second.kept().captions == {1: "A", 2: "b"}
    second.comes(captions={1: "A", 3: "C"})
    assert first.kept().captions == {1: "A", 2: "b", 3: "C"}


def test_what_another_run_has_of_regions_that_are_not_needed_stays(runs: tuple[Sent, Sent]) -> None:
    first, _ = runs
    edited = Sent(first.context.config, needed=(1,))
    with closing(edited.context):
        first.comes(captions={1: "a", 2: "b"})
        edited.comes(captions={1: "A"})
        assert edited.kept().captions == {1: "A", 2: "b"}


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


def test_what_a_run_had_received_that_died_while_this_one_joined_is_not_requested(
    runs: tuple[Sent, Sent], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = runs
    join = Claims.join

    def join_while_another_dies(claims: Claims, *more: Any) -> None:
        join(claims, *more)
        journal = Journal(journal_folder(first.context.cache))
        whole = reply("<region1>: A dog.\n<region2>: A cat.\n<region3>: A cow.")
        journal.append(Entry(first.key, (1, 2, 3), "m", 1, whole.as_json()))
        journal.close()

    monkeypatch.setattr(Claims, "join", join_while_another_dies)
    late = Sent(first.context.config)
    with closing(late.context):
        assert late.requests == []
        assert late.kept().captions == {1: "A dog.", 2: "A cat.", 3: "A cow."}


def reply(text: str, *wanted: int, finish: str = "stop") -> Reply:
    return Reply(text, finish, "complete" if finish == "stop" else "failed", wanted or (1, 2, 3))


def test_replies_are_stored_whether_they_gave_something_or_not(runs: tuple[Sent, Sent]) -> None:
    first, _ = runs
    first.comes(captions={}, replies=[reply("?? ??"), reply("half of it", finish="error")], usage={"requests": 2})
    assert first.stored() == {
        "captions": {}, "usage": {"requests": 2}, "model": "m", "rules": RULES_VERSION,
        "replies": [
            {"text": "?? ??", "finish": "stop", "ended": "complete", "wanted": [1, 2, 3], "form": "none",
             "mode": "marks", "temperature_offset": 0.0},
            {"text": "half of it", "finish": "error", "ended": "failed", "wanted": [1, 2, 3], "form": "none",
             "mode": "marks", "temperature_offset": 0.0},
        ],
    }  # fmt: skip


def test_replies_of_two_runs_are_merged(runs: tuple[Sent, Sent]) -> None:
    first, second = runs
    one, two, three = reply("<region1>: a"), reply("<region2>: B"), reply("<region3>: c", 2, 3)
    first.comes(captions={1: "a"}, replies=[one])
    second.comes(captions={2: "B"}, replies=[two])
    first.comes(captions={1: "a", 3: "c"}, replies=[one, three])
    assert first.kept().captions == {1: "a", 2: "B", 3: "c"}
    assert [each["text"] for each in first.stored()["replies"]] == [one.text, three.text, two.text]
    whole = reply("<region1>: x\n<region2>: y\n<region3>: z")
    second.comes(captions={1: "x", 2: "y", 3: "z"}, replies=[two, whole])
    # Looking for what another run has would cost every complete answer a read.
    assert [each["text"] for each in first.stored()["replies"]] == [two.text, whole.text]


def test_strikes_are_kept_while_a_further_run_is_under_way(runs: tuple[Sent, Sent]) -> None:
    first, second = runs
    first.comes(captions={}, code="captions_incomplete", model_failure=True, message="refused", replies=[reply("?")])
    second.comes(captions={}, replies=[reply("??")])
    assert (second.kept().failed_runs, second.kept().failure) == (1, "refused")
    second.comes(captions={1: "a", 2: "b", 3: "c"}, replies=[reply("??")])
    assert "failed" not in second.stored()


@pytest.mark.parametrize("captions", [{"1": "a", "4": "d"}, {"4": "d"}])
def test_an_answer_for_other_regions_is_damaged(
    captions: dict[str, str], runs: tuple[Sent, Sent], caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = runs
    first.context.answers.put(first.key, {"captions": captions})
    assert first.kept().captions == {}
    assert "is damaged (it has captions for [" in caplog.text


@pytest.mark.parametrize(
    "wrong", [{"say": "a"}, {**reply("a").as_json(), "finish": None}, {**reply("a").as_json(), "text": 5}]
)
def test_replies_of_a_wrong_form_are_damage(
    wrong: dict[str, Any], runs: tuple[Sent, Sent], caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = runs
    first.context.answers.put(first.key, {"captions": {"1": "a"}, "replies": [wrong], "rules": 0})
    assert first.kept().captions == {}
    assert "is damaged (its replies are not of the expected form)" in caplog.text


# --- other rules


def test_an_answer_of_other_rules_is_read_again_once(runs: tuple[Sent, Sent], monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = runs
    replies = [reply("<region1>: A dog.\n<region2>: A cat.\n<region3>: A cow.").as_json()]
    old = {"captions": {"1": "A <b>dog"}, "usage": {"requests": 1}, "replies": replies, "rules": 0}
    first.context.answers.put(first.key, old)
    found = first.kept()
    assert (found.captions, found.before) == ({1: "A dog.", 2: "A cat.", 3: "A cow."}, {1: "A <b>dog"})
    assert first.stored()["rules"] == 0  # looking at it changes nothing
    with closing(Sent(first.context.config).context) as context:
        assert context.answers.get(first.key) == {**found_as_stored(found), "model": "m", "rules": RULES_VERSION}
    monkeypatch.setattr(cached_answer, "read_again", None)  # it is not called where the version fits
    assert first.kept().captions == found.captions


def found_as_stored(found: CachedAnswer) -> dict[str, Any]:
    captions = {str(number): text for number, text in found.captions.items()}
    return {"captions": captions, "usage": found.usage, "replies": found.replies}


def test_an_answer_of_before_is_checked_and_no_more(runs: tuple[Sent, Sent]) -> None:
    first, _ = runs
    before = {"captions": {"1": "A dog.", "2": "A cat. <region3>: A cow."}, "usage": {"requests": 1}, "model": "m"}
    first.context.answers.put(first.key, before)
    assert (first.kept().captions, first.kept().outdated) == ({1: "A dog."}, [2])
    again = Sent(first.context.config)
    with closing(again.context):
        assert again.requests[0].wanted == (2, 3)
        assert again.stored() == before
        again.comes(captions={2: "A cat.", 3: "A cow."}, replies=[reply("…", 2, 3)])
        assert again.kept().captions == {1: "A dog.", 2: "A cat.", 3: "A cow."}
        assert again.stored()["rules"] == RULES_VERSION


def test_captions_that_no_rules_read_are_not_checked(runs: tuple[Sent, Sent], monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = runs
    monkeypatch.setattr(cached_answer, "reading_rules", lambda context: None)
    first.comes(captions={1: "<region7>: anything"})
    assert "rules" not in first.stored()
    assert first.kept().captions == {1: "<region7>: anything"}


def test_a_reply_that_counts_as_complete_by_now_is_read_again(runs: tuple[Sent, Sent]) -> None:
    first, _ = runs
    text = "<region1>: A dog.\n<region2>: A cat.\n<region3>: A cow."
    first.comes(captions={}, replies=[dataclasses.replace(reply(text, finish="Done"), ended="unknown")])
    accepting = Sent(first.context.config.model_copy(update={"accept_finish_reasons": ("done",)}))
    with closing(accepting.context):
        assert not accepting.requests
        assert accepting.kept().captions == {1: "A dog.", 2: "A cat.", 3: "A cow."}
