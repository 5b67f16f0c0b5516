# ruff: noqa: RUF001 - brackets and colons of other scripts are meant here.
"""How models write what they were asked for, when nothing holds them to a form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import orjson

Captions = Sequence[tuple[int, str]]
"""(region number, caption), in the order of the answer."""


def _lines(form: str, begin: str = "", between: str = "\n", end: str = "") -> Callable[[Captions], str]:
    """Each caption in `form`, with `{n}` and `{text}`."""
    return lambda captions: begin + between.join(form.format(n=n, text=text) for n, text in captions) + end


def as_json(captions: Captions) -> str:
    """One object with a text for each region."""
    return orjson.dumps({f"region{number}": text for number, text in captions}).decode()


DRESSES: Mapping[str, Callable[[Captions], str]] = {
    "lines": _lines("<region{n}>: {text}"),
    "bold": _lines("**Region {n}:**\n\n{text}", "Here are the descriptions of the regions:\n\n", "\n\n"),
    "numbered": _lines("{n}. {text}", "Here are the regions:\n\n"),
    "headings": _lines("### Region {n}\n{text}", "", "\n\n"),
    "chinese": _lines("区域{n}：{text}"),
    "brackets": _lines("【region{n}】{text}"),
    "angles": _lines("〈region{n}〉: {text}"),
    "bullets": _lines("- `<region{n}>` – {text}", "Sure! Here you go:\n\n", "\n", "\n\nLet me know if you need more!"),
    "json": as_json,
    "fenced": lambda captions: f"Here is the JSON:\n\n```json\n{as_json(captions)}\n```\nLet me know if it helps!",
}
"""Ways to write an answer, by name."""

DRAFT = "<region{n}>: DRAFT maybe a wolf? Let me check."
"""What a reasoning model notes of a region before it answers: never to become a caption."""


def thoughts(captions: Captions) -> str:
    """What a reasoning model thinks aloud, with a draft for every region in it."""
    drafts = "\n".join(DRAFT.format(n=number) for number, _ in captions)
    return f"The picture has {len(captions)} marked regions.\n{drafts}\nNow I write the answer."
