"""Fake model servers that say where things are: which questions they were asked, and what they answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from regioncap.captioners.fake.errors import ScriptedResponse
from regioncap.captioners.fake.model import decoded, parse_request
from regioncap.captioners.fake.replies import completion

QUESTION = "Find "
"""How the question for regions begins, in its default words and in those of these tests."""

Said = Callable[[str, tuple[int, int]], str]
"""(the question, size (width, height) in pixels of the picture that came with it) -> the answer."""


def dog_and_cat(question: str, sent_wh: tuple[int, int]) -> str:
    """A dog in the upper left quarter of any picture and a cat in the lower right, in thousandths."""
    found = [
        {"bbox_2d": [0, 0, 500, 500], "label": "dog"},
        {"bbox_2d": [500, 500, 1000, 1000], "label": "cat"},
    ]
    return orjson.dumps(found).decode()


class FindingModel:
    """A script for a fake server: questions for regions are answered by `say`, all others as usual."""

    def __init__(self, say: Said = dog_and_cat, finish: str = "stop") -> None:
        self.say = say
        self.finish = finish
        self._lock = threading.Lock()
        self.questions: list[str] = []
        """As they came, also those asked again."""
        self.sizes: list[tuple[int, int]] = []
        """(width, height) of the pictures that came with them."""
        self.failures: dict[tuple[int, int], ScriptedResponse] = {}
        """What is answered instead to those with a picture of this size."""

    def __call__(self, body: Mapping[str, Any]) -> ScriptedResponse | None:
        text = text_of(body)
        if not text.startswith(QUESTION):
            return None
        height, width = decoded(parse_request(body).jpegs[0]).shape[:2]
        with self._lock:
            self.questions.append(text)
            self.sizes.append((width, height))
        if (width, height) in self.failures:
            return self.failures[width, height]
        return ScriptedResponse(completion(self.say(text, (width, height)), self.finish, prompt_tokens=100))


def text_of(body: Mapping[str, Any]) -> str:
    """The text of a request's last message."""
    return str(next(part["text"] for part in body["messages"][-1]["content"] if part["type"] == "text"))
