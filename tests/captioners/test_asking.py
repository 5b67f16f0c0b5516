"""The conversation about one row, without servers."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

from regioncap.captioners.asking import Keeping, RowConversation
from regioncap.captioners.base import CaptionResult, Received
from regioncap.captioners.chat import ChatRequest, ChatResponse
from regioncap.captioners.prompts import Prompts
from regioncap.captioners.row_requests import RowRequests
from regioncap.captioners.server_errors import Refused, TryAgain
from regioncap.config.model import RegionCapConfig
from tests.support.model_servers import Bill, jpeg_of, request_of


async def answered(asked: ChatRequest) -> ChatResponse:
    """What a server that does its part answers."""
    text = "\n".join(f"<region{number}>: Thing {number}." for number in asked.wanted)
    return ChatResponse(text, "stop", 100, 10)


async def declined(asked: ChatRequest) -> ChatResponse:
    """What a server answers that does not do its part."""
    return ChatResponse("I'm sorry, but I can't describe this picture.", "stop", 100, 10)


async def failing(asked: ChatRequest) -> ChatResponse:
    raise TryAgain("500: oops")


def converse(send: Any, request: Any, early: Any = None, **settings: Any) -> CaptionResult:
    """What comes of asking about a row. `early`: what it is asked by before."""
    config = RegionCapConfig(input="a.jsonl", endpoint="http://h/v1", model="m", **settings)

    async def run() -> CaptionResult:
        keeping = Keeping()
        conversation = RowConversation(
            request, send, config=config, requests=RowRequests(config, Prompts.of(config)), keeping=keeping,
            count=Bill(),
        )  # fmt: skip
        if early is not None:
            await conversation.ask_early(early)
        result = await conversation.captions()
        await keeping.finished()
        return result

    return asyncio.run(run())


def test_what_is_kept_first_does_not_replace_what_came_later() -> None:
    """A row's answers are kept one after the other, however slow the keeping of one is: the last has them all."""
    kept: list[int] = []
    all_came, answers = threading.Event(), iter(range(1, 5))

    async def send(asked: ChatRequest) -> ChatResponse:
        if next(answers) == 4:
            asyncio.get_running_loop().call_later(0.05, all_came.set)  # time for the others to overtake
        return await answered(asked)

    def keep(result: CaptionResult) -> None:
        assert all_came.wait(60)
        kept.append(len(result.captions))

    result = converse(send, request_of(0, 4, keep=keep), prompt_mode="focal")
    assert sorted(result.captions) == [1, 2, 3, 4]
    assert kept == sorted(kept)
    assert kept[-1] == 4


def test_pictures_on_this_machines_disk_are_read_on_the_loops_thread_but_closer_views_are_made_in_another() -> None:
    readers: list[threading.Thread] = []

    def marked() -> bytes:
        readers.append(threading.current_thread())
        return jpeg_of(0)

    here = {}
    for name, on_disk, mode in (("on disk", True, "marks"), ("elsewhere", False, "marks"), ("closer", True, "focal")):
        readers.clear()
        result = converse(answered, replace(request_of(0, 2), marked=marked, on_disk=on_disk), prompt_mode=mode)
        assert sorted(result.captions) == [1, 2]
        here[name] = {thread is threading.current_thread() for thread in readers}
    assert here == {"on disk": {True}, "elsewhere": {False}, "closer": {False}}


def test_each_region_is_missing_for_its_reason() -> None:
    async def send(asked: ChatRequest) -> ChatResponse:
        if asked.wanted == (2,):
            raise Refused(400, "400: it is too dark")
        return await answered(asked)

    result = converse(send, request_of(0, 3), prompt_mode="focal", max_repairs=0)
    assert sorted(result.captions) == [1, 3]
    assert (result.code, result.model_failure) == ("caption_failed", True)
    assert result.message == "the server refused it: 400: it is too dark"


def test_a_server_that_fails_is_not_the_rows_fault() -> None:
    async def send(asked: ChatRequest) -> ChatResponse:
        raise TryAgain("500: oops")

    result = converse(send, request_of(0, 1))
    assert (result.code, result.model_failure, result.usage) == ("caption_failed", False, {})
    assert result.message == "sent several times, without an answer: 500: oops"


def test_a_refusal_and_a_cut_are_named() -> None:
    async def refuse(asked: ChatRequest) -> ChatResponse:
        return ChatResponse("I'm sorry, but no.", "stop")

    async def cut(asked: ChatRequest) -> ChatResponse:
        return ChatResponse("<region1>: A dog that", "length")

    settings = {"max_repairs": 1, "max_tokens": 99}
    assert "after 2 requests; the model refused: \"I'm sorry" in converse(refuse, request_of(0), **settings).message
    assert "the answer was cut at max_tokens=99; it began" in converse(cut, request_of(0), **settings).message


def test_text_that_may_be_broken_off_is_no_caption() -> None:
    endings = iter(["a new word", "absent", "stop"])

    async def send(asked: ChatRequest) -> ChatResponse:
        return replace(await answered(asked), finish_reason=next(endings))

    result = converse(send, request_of(1))
    assert (sorted(result.captions), result.usage["requests"]) == ([1, 2, 3], 3)

    async def fails(asked: ChatRequest) -> ChatResponse:
        return replace(await answered(asked), finish_reason="a new word")

    result = converse(fails, request_of(1))
    assert (result.captions, result.code) == ({}, "captions_incomplete")
    assert "finish_reason 'a new word' does not say whether it is complete; accept_finish_reasons=" in result.message


def test_what_was_answered_early_is_not_asked_in_the_same_words_again() -> None:
    """After an early answer the row is asked as in a repair, a little warmer; after none as if it were the first."""
    for early, expected in ((declined, [0.3, 0.6]), (failing, [0.0, 0.3, 0.6])):
        offsets: list[float] = []

        async def send(asked: ChatRequest, offsets: list[float] = offsets) -> ChatResponse:
            offsets.append(asked.temperature_offset)
            return await declined(asked)

        assert converse(send, request_of(0), early, max_repairs=2).model_failure
        assert offsets == expected


def test_a_row_is_asked_at_least_once_beside_an_early_answer() -> None:
    result = converse(answered, request_of(0), declined, max_repairs=0)
    assert (sorted(result.captions), result.code) == ([1, 2, 3], None)


def test_a_row_is_claimed_once_before_its_first_request_early_or_not() -> None:
    events: list[str] = []

    async def send(asked: ChatRequest) -> ChatResponse:
        events.append("sent")
        return await answered(asked)

    def claim() -> bool:
        events.append("claimed")
        return True

    result = converse(send, request_of(0, 2, claim=claim), early=failing)
    assert sorted(result.captions) == [1, 2]
    assert events == ["claimed", "sent"]


def test_a_row_that_another_run_requests_is_not_sent_early_nor_late() -> None:
    result = converse(failing, request_of(0, 2, claim=lambda: False), early=failing)
    assert (result.elsewhere, result.captions, result.code) == (True, {}, None)


def test_a_row_that_another_run_requested_meanwhile_is_sent_when_it_gave_up() -> None:
    free = iter([False, True])
    result = converse(answered, request_of(0, 2, claim=lambda: next(free)), early=failing)
    assert (result.elsewhere, sorted(result.captions)) == (False, [1, 2])


def test_each_reply_is_on_record_before_it_is_read_early_ones_too() -> None:
    events: list[tuple[str, int]] = []

    def record(received: Received) -> None:
        events.append(("recorded", received.order))

    def keep(result: CaptionResult) -> None:
        events.append(("kept", len(result.replies)))

    result = converse(answered, request_of(0, 2, record=record, keep=keep), early=declined)
    assert sorted(result.captions) == [1, 2]
    assert events == [("recorded", 1), ("kept", 1), ("recorded", 2), ("kept", 2)]


def test_a_reply_on_record_is_kept_also_when_its_row_is_given_up_in_that_moment() -> None:
    """Else it would only be stored by the next run, and a run that was stopped would say that it kept less."""
    config = RegionCapConfig(input="a.jsonl", endpoint="http://h/v1", model="m")
    kept: list[int] = []

    async def run() -> None:
        asking: asyncio.Task[CaptionResult]
        keeping = Keeping()
        request = request_of(
            0, 2, record=lambda received: asking.cancel(), keep=lambda result: kept.append(len(result.captions))
        )
        conversation = RowConversation(
            request, answered, config=config, requests=RowRequests(config, Prompts.of(config)), keeping=keeping,
            count=Bill(),
        )  # fmt: skip
        asking = asyncio.create_task(conversation.captions())
        await asyncio.wait([asking])
        assert asking.cancelled()
        await keeping.finished()

    asyncio.run(run())
    assert kept == [2]
