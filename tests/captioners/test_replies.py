"""Replies as they are stored: what is read from them again is what was read at first, or less."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from regioncap.captioners import replies
from regioncap.captioners.chat import ChatRequest, ChatResponse
from regioncap.captioners.replies import MAX_BYTES, Reply, joined, read_again
from regioncap.records import dumps, loads

TWO = "<region1>: A dog.\n<region2>: A cat."


def stored(text: str, wanted: tuple[int, ...] = (1, 2), finish: str = "stop", **more: Any) -> Reply:
    """What is stored of a response, after a round through JSON."""
    asked, response = ChatRequest("", "", (b"jpeg",), wanted), ChatResponse(text, finish, **more)
    reply = Reply.of(asked, response)
    again = Reply.of_json(loads(dumps(reply.as_json())))
    assert again == reply
    return again


def test_a_reply_says_how_it_was_asked_for_and_ended() -> None:
    asked = ChatRequest("system", "text", (b"jpeg",), (2,), 0.3, "focal")
    response = ChatResponse("A cat.", "eos", form="regex")
    assert Reply.of(asked, response).as_json() == {
        "text": "A cat.", "finish": "eos", "ended": "complete", "wanted": [2], "form": "regex", "mode": "focal",
        "temperature_offset": 0.3,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        f"<think>A wolf?\n<region1>: wolf</think>{TWO}",
        f"<region1>: a draft</think>\n{TWO}",
        f"<|channel|>analysis<|message|>wolf?<|end|><|start|>assistant<|channel|>final<|message|>{TWO}",
        f"<think>1</think>\n<think>2</think>{TWO}<|im_end|>",
        f"[THINK]wolf[/THINK]{TWO}",
    ],
)
def test_reasoning_is_not_stored_and_the_captions_are_the_same(text: str) -> None:
    reply = stored(text)
    assert (reply.altered, reply.read()) == ("", {1: "A dog.", 2: "A cat."})
    assert not any(word in reply.text for word in ("wolf", "draft", "think", "THINK", "analysis"))


@pytest.mark.parametrize("finish", ["stop", "length"])
@pytest.mark.parametrize("form", ["none", "json_schema", "regex"])
def test_drafts_in_reasoning_that_never_ended_never_become_captions(finish: str, form: str) -> None:
    reply = stored(f"<think>{TWO}\nLet me check.", finish=finish, form=form)
    assert (reply.altered, reply.read()) == ("reasoning", {})
    assert "Let me check." in reply.text


def test_a_text_that_reads_differently_without_its_reasoning_is_stored_with_it() -> None:
    reply = stored("a wolf?</think>analysis of the picture: a dog", (1,))
    assert reply.text.startswith("a wolf?</think>")
    assert reply.read() == {1: "analysis of the picture: a dog"}


UNREAD: dict[str, tuple[dict[str, Any], str]] = {
    "failed": ({"finish": "error"}, "failed"),
    "unknown end": ({"finish": "no_such_word"}, "unknown"),
    "absent": ({"finish": "absent"}, "absent"),
    "filtered": ({"finish": "content_filter"}, "refused"),
    "declined": ({"declined": True}, "refused"),
    "cut": ({"finish": "length"}, "cut"),
}


@pytest.mark.parametrize("case", UNREAD)
def test_what_did_not_end_well_gives_nothing_but_is_stored(case: str) -> None:
    more, ended = UNREAD[case]
    reply = stored(TWO, **more)
    assert (reply.text, reply.ended, reply.read()) == (TWO, ended, {})


def test_a_reply_with_a_word_that_is_accepted_by_now_is_read() -> None:
    reply = stored(TWO, finish="No_Such_Word")
    assert reply.read(["no_such_word"]) == {1: "A dog.", 2: "A cat."}
    assert stored(TWO, finish="length").read(["length"]) == {}
    assert stored(TWO, declined=True).read(["stop"]) == {}


def test_a_cut_reply_gives_what_its_structure_closed() -> None:
    assert stored(TWO, finish="length", form="regex").read() == {1: "A dog."}


def test_secrets_are_masked_and_such_a_reply_is_not_read_again() -> None:
    reply = stored(f"{TWO} Authorization: Bearer sk-proj-0123456789abcdef")
    assert "sk-proj" not in reply.text
    assert (reply.altered, reply.readable) == ("masked", False)
    word = stored(TWO, finish="oops: sk-proj-0123456789abcdef " + "x" * 500).finish
    assert len(word) <= 80
    assert "sk-proj" not in word


@pytest.mark.parametrize("sign", ["a", "é", "狗", "\ud800"])
def test_a_long_reply_is_shortened_and_not_read_again(sign: str) -> None:
    reply = stored(TWO + sign * MAX_BYTES)
    assert len(reply.text.encode("utf-8", "surrogatepass")) <= MAX_BYTES
    assert reply.text.startswith(TWO)
    assert (reply.altered, reply.readable) == ("shortened", False)
    assert stored("a" * MAX_BYTES).altered == ""


def test_lines_and_signs_of_a_reply_stay() -> None:
    text = "<region1>: A\tdog.\r\n\x07<region2>: A \ud800cat."
    assert stored(text).text == text
    assert b"\x07" not in dumps(stored(text).as_json())


# --- reading again


def kept(*several: Reply) -> list[dict[str, Any]]:
    return [reply.as_json() for reply in several]


def test_the_first_reply_that_has_a_region_counts() -> None:
    first, second = stored("<region2>: A cat.", (1, 2)), stored("<region1>: A dog.\n<region2>: A lion.")
    assert read_again({}, kept(first, second)) == {1: "A dog.", 2: "A cat."}
    assert read_again({}, kept(second, first)) == {1: "A dog.", 2: "A lion."}


def test_a_caption_that_its_reply_does_not_give_any_more_is_gone() -> None:
    assert read_again({1: "A draft", 2: "A cat."}, kept(stored("<region2>: A cat."))) == {2: "A cat."}


def test_a_caption_without_a_stored_reply_is_checked_as_it_is() -> None:
    before = {1: "A dog.", 2: "<region3>: A cat.", 3: "A cow. Let me know if you need more!", 4: "I can't see it."}
    assert read_again(before, []) == {1: "A dog."}
    assert read_again(before, kept(stored("A goat.", (2,)))) == {1: "A dog.", 2: "A goat."}


@pytest.mark.parametrize("altered", ["masked", "shortened"])
def test_a_caption_whose_reply_was_altered_is_checked_as_it_is(altered: str) -> None:
    failed, source = stored("?? ??"), dataclasses.replace(stored(TWO), altered=altered)
    assert read_again({1: "A dog."}, kept(failed, source)) == {1: "A dog."}
    assert read_again({}, kept(failed, source)) == {}


@pytest.mark.parametrize(
    "wrong", [{}, {"text": "a"}, {"text": "a", "finish": "stop", "ended": "complete", "wanted": 1}]
)
def test_what_is_no_reply_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError)):
        read_again({}, [wrong])


def test_joined_replies_are_there_once_in_order() -> None:
    first, second, third = kept(stored("a"), stored("b"), stored("c"))
    assert joined([first, second], [second, first, third]) == [first, second, third]


def test_too_many_replies_lose_those_that_gave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    useless = kept(*(stored(f"??{number} ??") for number in range(10)))
    (good,) = kept(stored(TWO))
    monkeypatch.setattr(replies, "MAX_CHARS", len(TWO) + 20)
    left = joined([*useless[:5], good, *useless[5:]])
    assert left == [good, *useless[-3:]]
