# ruff: noqa: E501, RUF001 - signs of many scripts are meant here.
"""The short way reads nothing otherwise than the long way, and reads the replies that it is for."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from regioncap.captioners.reading.parsing import read_any, read_reply
from regioncap.captioners.reading.plain_caption import is_plain
from regioncap.captioners.reading.plain_reply import read_plain
from tests.support.composed_replies import AFTER, BEFORE, CAPTIONS, CHUNKS, IN_LANGUAGE, WORDS, compose
from tests.support.known_replies import FOUND, REFUSALS

CASES = 24_000
OPENERS = [
    "A",
    "An",
    "The",
    "Two",
    "Several",
    "He",
    "It",
    "Its",
    "One",
    "This",
    "These",
    "Both",
    "On",
    "In",
    "There",
    "Another",
    "White",
    "No",
    "If",
    "Here",
]
NOUNS = [
    "dog",
    "caption",
    "short caption",
    "picture",
    "image",
    "region 2",
    "second region",
    "area",
    "box 3",
    "following",
    "description",
    "first",
    "label",
    "part",
    "sign that says 'no'",
    "summary of it",
    "text",
    "sentence",
    "unknown object",
    "sample text",
    "same as above",
    "other object",
    "marked region 1",
]
VERBS = [
    "sleeps",
    "is not visible",
    "you sent is not clear",
    "shows a dog",
    "are",
    "is two",
    "reads it",
    "1: a dog",
    "below",
    "describe the picture",
    "needs more",
    "",
    "here",
    "of the region",
    "cannot be seen",
]
TEXTS = [
    *CAPTIONS,
    *(text for texts in IN_LANGUAGE.values() for text in texts),
    *(text for texts in (*BEFORE.values(), *AFTER.values()) for text in texts),
    *REFUSALS,
    *(text for text, *_ in FOUND),
]  # fmt: skip
LABELS = [f"{word} {number}" for words in WORDS.values() for word in words for number in ("1", "2", "two", "③")]
SIGNS = [
    " ",
    ".",
    ",",
    ";",
    ":",
    "'",
    '"',
    "(",
    ")",
    "-",
    "–",
    "…",
    "。",
    "\n",
    "  ",
    "*",
    "_",
    "<",
    ">",
    "[",
    "]",
    "&",
    "|",
    "#",
    "\\",
    "\u200b",
    "İ",
    "!",
    "1",
    "2.",
    "N/A",
    "Note: ",
    "If you need more, ",
]


def prose(dice: random.Random) -> str:
    """A text that may be a caption, or something else."""
    kind = dice.random()
    if kind < 0.4:
        text = dice.choice(TEXTS)
    elif kind < 0.8:
        text = f"{dice.choice(OPENERS)} {dice.choice(NOUNS)} {dice.choice(VERBS)}."
    else:
        text = f"{dice.choice(LABELS)}{dice.choice([': ', ' ', ' is ', '. '])}{dice.choice(CAPTIONS)}"
    return f"{text} {prose(dice)}" if dice.random() < 0.25 else text


def mutated(dice: random.Random, text: str) -> str:
    place = dice.randrange(len(text) + 1)
    kind = dice.random()
    if kind < 0.5:
        return text[:place] + dice.choice([*SIGNS, *CHUNKS, *LABELS]) + text[place:]
    return text[:place] + text[place + dice.randrange(1, 4) :] if kind < 0.8 else text.lower()


def as_lines(texts: dict[int, str]) -> str:
    return "\n".join(f"<region{number}>: {text}" for number, text in texts.items())


def as_json(texts: dict[int, str]) -> str:
    return json.dumps({f"region{number}": text for number, text in texts.items()}, ensure_ascii=False)


def test_the_short_way_reads_nothing_otherwise() -> None:
    dice = random.Random(20261127)
    plain = 0
    for _ in range(CASES):
        wanted = sorted(dice.sample(range(1, 6), dice.choice([1, 1, 2, 3])))
        texts = {number: prose(dice) for number in wanted}
        texts = {number: mutated(dice, text) if dice.random() < 0.3 else text for number, text in texts.items()}
        reply = dice.choice([as_lines, as_json])(texts)
        reply = mutated(dice, reply) if dice.random() < 0.1 else reply
        found = read_plain(reply, wanted)
        if found is not None:
            plain += 1
            assert found == read_any(reply, wanted, structured=dice.random() < 0.5).captions, reply
    assert plain > 0.1 * CASES


def test_nor_of_replies_in_any_form() -> None:
    dice = random.Random(20261128)
    for _ in range(CASES):
        case = compose(dice)
        found = read_plain(case.text, case.wanted)
        assert found is None or found == read_any(case.text, case.wanted).captions, case.text


@pytest.mark.parametrize("write", [as_lines, as_json])
def test_it_reads_the_replies_that_it_is_for(write: Callable[[dict[int, str]], str]) -> None:
    texts = {
        2: "A brown dog sleeps on a red sofa.",
        5: 'The sign reads "OPEN" (in red); it\'s lit. Two people wait.',
        7: "一只棕色的狗睡在 红色沙发上。",
    }
    assert read_plain(write(texts), [2, 5, 7]) == texts
    assert read_plain(write(texts), [2, 5]) is None
    assert read_reply(write(texts), [2, 5, 7]).captions == texts


@pytest.mark.parametrize(
    "text",
    [
        "", "Text.", "A dog. ", "A  dog.", "- A dog.", "A dog: brown.", "A <b>dog</b>.", "A dog.\nIt sleeps.", "A dog, ", "A *dog*.",
        "I'm sorry, I cannot see it.", "Here is a dog.", "A dog. Let me know if you need more.", "Region 2 is a dog.", "A dog. Region 2 is a cat.",
        "The second region shows a dog.", "A short caption of it.",
    ],
)  # fmt: skip
def test_what_is_not_plain(text: str) -> None:
    assert not is_plain(text)
