"""What a killed run had received is stored by the next one, read by today's rules, and no better answer is replaced."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from regioncap.captioners.reading.parsing import RULES_VERSION
from regioncap.captioners.replies import Reply
from regioncap.run.context import RunContext
from regioncap.run.threads import IO_THREADS
from regioncap.storage.journal import Entry, Journal, dead_journals, journal_folder
from regioncap.tasks.cached_answer import CachedAnswer
from regioncap.tasks.recovery import recover
from tests.support.runs import config_of

KEY = "ab" * 16
WANTED = (1, 2, 3)


def received(text: str, order: int = 1, key: str = KEY, finish: str = "stop") -> Entry:
    ended = {"stop": "complete", "length": "cut"}.get(finish, "unknown")
    return Entry(key, WANTED, "m-of-then", order, Reply(text, finish, ended, WANTED).as_json(), 100, 10)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[RunContext]:
    config = config_of(tmp_path, captioner="openai", model="m", endpoint="http://localhost/v1")
    with closing(RunContext(config)) as made:
        yield made


def leave(context: RunContext, *entries: Entry) -> None:
    """Be a run that was killed right after these came."""
    journal = Journal(journal_folder(context.cache))
    for entry in entries:
        journal.append(entry)
    journal.close()


def answer(context: RunContext) -> CachedAnswer:
    return CachedAnswer.find(KEY, WANTED, context)


WHOLE = "<region1>: A dog.\n<region2>: A cat.\n<region3>: A cow."
CAPTIONS = {1: "A dog.", 2: "A cat.", 3: "A cow."}


def test_it_becomes_an_answer_as_if_the_run_had_gone_on(context: RunContext) -> None:
    entry = received(WHOLE)
    leave(context, entry)
    recover(context)
    assert context.answers.get(KEY) == {
        "captions": {"1": "A dog.", "2": "A cat.", "3": "A cow."}, "model": "m-of-then", "rules": RULES_VERSION,
        "usage": {"requests": 1, "prompt_tokens": 100, "completion_tokens": 10}, "replies": [entry.reply],
    }  # fmt: skip
    with dead_journals(journal_folder(context.cache) or Path()) as left:
        assert left == []


def test_the_first_that_was_asked_for_counts_whichever_came_first(context: RunContext) -> None:
    leave(context, received("<region1>: A bird.\n<region2>: A cat.", 2), received("<region1>: A dog.", 1))
    recover(context)
    assert answer(context).captions == {1: "A dog.", 2: "A cat."}
    assert answer(context).usage["requests"] == 2


def test_what_is_stored_stays_and_what_it_lacks_is_added(context: RunContext) -> None:
    reply = received("<region1>: A wolf.").reply
    stored = CachedAnswer({1: "A wolf."}, {"requests": 1}, replies=[reply], failed_runs=2, failure="it refused")
    stored.store(KEY, context)
    leave(context, received("<region1>: A wolf."), received("<region1>: A dog.\n<region2>: A cat.", 2))
    recover(context)
    found = answer(context)
    assert (found.captions, found.usage["requests"]) == ({1: "A wolf.", 2: "A cat."}, 2)
    assert (found.failed_runs, len(found.replies)) == (2, 2)


def test_an_answer_that_has_it_already_is_not_touched(context: RunContext) -> None:
    entry = received("<region1>: A wolf.")
    CachedAnswer({1: "A wolf."}, {"requests": 1}, replies=[entry.reply]).store(KEY, context)
    before = context.cache.child("captions", KEY[:2], f"{KEY}.json").version()
    leave(context, entry)
    recover(context)
    assert context.cache.child("captions", KEY[:2], f"{KEY}.json").version() == before


@pytest.mark.parametrize(("text", "finish"), [("?? ??", "stop"), (WHOLE, "odd_word"), ("<region1>: A do", "length")])
def test_a_reply_that_yields_nothing_is_stored_and_no_caption(context: RunContext, text: str, finish: str) -> None:
    leave(context, received(text, finish=finish))
    recover(context)
    assert (answer(context).captions, len(answer(context).replies)) == ({}, 1)


def test_entries_that_are_no_replies_are_skipped_and_named(
    context: RunContext, caplog: pytest.LogCaptureFixture
) -> None:
    other = Entry("cd" * 16, WANTED, "m", 1, {"say": "a dog"})
    leave(context, other, received(WHOLE))
    recover(context)
    assert answer(context).captions == CAPTIONS
    assert context.answers.get(other.key) is None
    assert "damaged entries skipped: 1" in caplog.text


def test_it_is_looked_for_once_a_run(context: RunContext) -> None:
    recover(context)
    leave(context, received(WHOLE))
    recover(context)
    assert context.answers.get(KEY) is None


def test_a_captioner_without_replies_leaves_it_to_others(context: RunContext, tmp_path: Path) -> None:
    leave(context, received(WHOLE))
    with closing(RunContext(config_of(tmp_path))) as pixels:
        recover(pixels)
    recover(context)
    assert answer(context).captions == CAPTIONS


def test_in_a_store_all_threads_of_a_run_may_look_for_it_at_once(tmp_path: Path) -> None:
    config = config_of(
        tmp_path, captioner="openai", model="m", endpoint="http://localhost/v1",
        cache_path=f"memory://{uuid.uuid4().hex}/cache",
    )  # fmt: skip
    with closing(RunContext(config)) as context:
        leave(context, received(WHOLE), received(WHOLE, key="cd" * 16))
        all_there = threading.Barrier(IO_THREADS)

        def look() -> None:
            all_there.wait(60)
            recover(context)

        looking = [context.threads.io.submit(look) for _ in range(IO_THREADS)]
        for each in looking:
            each.result(60)
        assert answer(context).captions == CAPTIONS
