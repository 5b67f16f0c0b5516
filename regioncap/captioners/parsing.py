# ruff: noqa: RUF001 - models write typographic quotes, dashes and colons, and all are meant here.
"""From a model's answer to one caption a region: nothing is guessed.

A label wins over a position. Positions count only when there is no label at all and there are exactly as many items
as regions were asked for. What is not certain is missing, and is asked for again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from regioncap.records import loads

_EMPHASIS = r"(?:[*_`#>\s\-•]|\d+[.)]\s)*(?:[Ii]n\s+)?"
_TAG = r"<\s*(?i:region)[\s_]*(\d+)\s*>"
_BARE = r"(?i:region)[\s_#]*(\d+)(?=[\s*_`]*[:：–—-])"

LABEL_OF_LINE = re.compile(rf"^{_EMPHASIS}(?:{_TAG}|{_BARE})", re.MULTILINE)
"""Where a region's text begins: at the start of a line, behind list marks and emphasis."""

LABEL = re.compile(rf"{LABEL_OF_LINE.pattern}|(?<=[.;!?])\s+{_EMPHASIS}{_TAG}|{_TAG}(?=[\s*_`]*[:：])", re.MULTILINE)
"""The same, and behind the end of a sentence, or with a colon. `<region2>` within a sentence is no label."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\ufeff\ufffd]")
"""What is no text: terminals and viewers stumble over it."""

CLOSING = re.compile(r"<\s*/\s*region[\s_]*\d*\s*>")
NUMBERED = re.compile(r"^\s*(?:\*\*)?\(?(\d+)[.):]\s*(?:\*\*)?\s*(.+)$")
BULLET = re.compile(r"^\s*[-*•]\s+(.+)$")
FENCE = re.compile(r"```[a-zA-Z]*\s*\n?(.*?)```", re.DOTALL)
KEY = re.compile(r"^\s*<?\s*(?:region)?[\s_]*(\d+)\s*>?\s*:?\s*$", re.IGNORECASE)

REFUSAL = re.compile(
    r"^\W*(?:i['’]?m (?:very |so |really )?sorry|sorry\b|i apologi[sz]e|unfortunately,? i (?:can|am)|"
    r"i (?:can(?:no|['’])t|am (?:not able|unable))|i['’]m (?:not able|unable)|i won['’]t|"
    r"as an ai\b)",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether a text declines to answer.

    >>> is_refusal("I'm sorry, but I can't help with that."), is_refusal("A sorry-looking dog.")
    (True, False)
    """
    return REFUSAL.match(text) is not None


def parse(text: str, wanted: Sequence[int], *, cut: bool = False) -> dict[int, str]:
    """Captions by region number, for those of `wanted` that `text` tells for certain.

    `cut`: the answer ended at its limit, so its last caption, and any answer without labels, is not taken.

    >>> parse("<region1>: A dog. <region2>: Its ball.", [1, 2])
    {1: 'A dog.', 2: 'Its ball.'}
    """
    text = text.replace("\r\n", "\n").strip()
    fenced = FENCE.search(text)
    found = _from_json(fenced.group(1) if fenced else text, wanted)
    if found is None:
        found = _from_labels(text, wanted, cut)
    if found is None:
        found = {} if cut or is_refusal(text) else _from_positions(text, wanted)
    return {number: found[number] for number in sorted(found)}


def _settled(pairs: Iterable[tuple[int, str]], wanted: Sequence[int]) -> dict[int, str]:
    """The pairs of wanted regions with a usable text; a region told twice in different words is left out."""
    told: dict[int, set[str]] = {}
    for number, text in pairs:
        if number in wanted:
            told.setdefault(number, set()).add(clean(text))
    certain = {number: texts.pop() for number, texts in told.items() if len(texts) == 1}
    return {number: text for number, text in certain.items() if re.search(r"\w", text) and not is_refusal(text)}


def clean(text: str) -> str:
    """A caption without what stood around it: label's colon, emphasis, quotes, white space."""
    text = re.sub(r"\s+", " ", CONTROL.sub(" ", CLOSING.sub(" ", text))).strip()
    text = re.sub(r"^[\s*_`]*[:：,–—-]?[\s*_`]+|^[:：,–—-]\s*", "", text)
    text = re.sub(r"[\s*_`]+$", "", text).rstrip(";|").rstrip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    return text


# --- JSON


def _from_json(text: str, wanted: Sequence[int]) -> dict[int, str] | None:
    """From an object by region, or a list in order; None when `text` is no JSON of that kind."""
    start = text.lstrip()
    if not start.startswith(("{", "[")):
        return None
    try:
        value = loads(start.encode())
    except ValueError:
        # A JSON answer that broke off: its pieces look like text, and must not become a caption.
        return {} if re.match(r"[{\[]\s*[\"{\[]", start) else None
    if isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), list | dict):
        value = next(iter(value.values()))
    if isinstance(value, dict):
        return _settled(_pairs_of_object(value), wanted)
    if isinstance(value, list):
        return _from_list(value, wanted)
    return {}


def _pairs_of_object(value: dict[str, Any]) -> Iterator[tuple[int, str]]:
    for name, told in value.items():
        match = KEY.match(name)
        text = _text_of(told)
        if match and text is not None:
            yield int(match.group(1)), text


def _text_of(told: Any) -> str | None:
    """The text of a region's entry: a string, or the one string of an object that is no label."""
    if isinstance(told, dict):
        texts = [text for name, text in told.items() if isinstance(text, str) and not KEY.match(text)]
        return texts[0] if len(texts) == 1 else None
    return told if isinstance(told, str) else None


def _from_list(items: list[Any], wanted: Sequence[int]) -> dict[int, str]:
    pairs: list[tuple[int, str]] = []
    for item in items:
        if isinstance(item, dict):
            number = next((_number(item[name]) for name in ("region", "id", "number", "label") if name in item), None)
            text = _text_of({name: told for name, told in item.items() if name not in ("region", "id", "number")})
            if number is not None and text is not None:
                pairs.append((number, text))
    if pairs:
        return _settled(pairs, wanted)
    texts = [item for item in items if isinstance(item, str)]
    if len(texts) != len(items):
        return {}
    labelled = _from_labels("\n".join(texts), wanted, cut=False)
    if labelled is not None:
        return labelled
    return _settled(zip(wanted, texts, strict=True), wanted) if len(texts) == len(wanted) else {}


def _number(value: Any) -> int | None:
    match = KEY.match(str(value))
    return int(match.group(1)) if match else None


# --- text


def _from_labels(text: str, wanted: Sequence[int], cut: bool) -> dict[int, str] | None:
    """From `<region1>: …`; None when there is no label."""
    marks = list(LABEL_OF_LINE.finditer(text))
    if [*map(_number_of, marks)] != list(wanted):
        marks = list(LABEL.finditer(text))
    if not marks:
        return None
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    pieces = [(_number_of(mark), text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]
    if cut:
        return _settled(pieces[:-1], wanted)
    # Behind a blank line the model has left its last region for a closing remark.
    number, last = pieces[-1]
    pieces[-1] = (number, re.split(r"\n\s*\n", last.strip("\n"))[0])
    return _settled(pieces, wanted)


def _number_of(mark: re.Match[str]) -> int:
    return next(int(group) for group in mark.groups() if group is not None)


def _from_positions(text: str, wanted: Sequence[int]) -> dict[int, str]:
    """From exactly as many items as regions, in order; numbers before them must agree with that order."""
    lines = [line for line in text.splitlines() if line.strip()]
    numbered = [match for match in map(NUMBERED.match, lines) if match]
    if numbered:
        told = [(int(match.group(1)), match.group(2)) for match in numbered]
        expected = list(wanted) if list(wanted) == [number for number, _ in told] else list(range(1, len(wanted) + 1))
        if len(told) != len(lines) or [number for number, _ in told] != expected or expected != list(wanted):
            return {}
        return _settled(told, wanted)
    bullets = [match.group(1) for match in map(BULLET.match, lines) if match]
    if bullets:
        lines = bullets if len(bullets) == len(lines) else []
    elif len(wanted) == 1:
        lines = [text]
    return _settled(zip(wanted, lines, strict=True), wanted) if len(lines) == len(wanted) else {}
