"""From a model's reply to one caption a region: nothing is guessed, and doubt is a missing region.

A reply is read in this order:

1. Reasoning, channels and special tokens are taken out (`reasoning`).
2. JSON, wherever it stands: an object by region (`{"region1": "…"}`, `{"1": "…"}`, `{"regions": {…}}`), a list of
   objects (`[{"region": 1, "caption": "…"}]`), a list of texts; in fences, amidst prose, with Python's quotes.
3. Labels (`labels`): `<region1>: …` in any brackets, emphasis, language and digits, at the begin of a line or
   sentence, on a line or heading of their own, as XML elements, in a table; a list whose numbers are those asked for.
4. Positions: only where no line begins with anything like a label, and there are exactly as many items.

Labels of one answer have one scheme. A 0 among them: nothing counts. A number twice with different texts: that region
is missing. Extra numbers are ignored
if every region asked for has its label exactly once; otherwise the model may have numbered the regions differently, and
nothing counts.

What is then one region's text becomes a caption if it can be had clean (`caption_text`): no other region's label that
begins a line or sentence, no JSON, no introduction or remark, no refusal, no markup, no control signs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from regioncap.captioners.reading.caption_text import caption_of
from regioncap.captioners.reading.json_answers import JsonTexts, texts_in
from regioncap.captioners.reading.labels import leading_label, line_labels, list_labels
from regioncap.captioners.reading.lazy_pattern import lazy_pattern
from regioncap.captioners.reading.lenient_json import Value, find_values
from regioncap.captioners.reading.placeholders import says_nothing
from regioncap.captioners.reading.plain_caption import is_plain
from regioncap.captioners.reading.plain_reply import read_plain
from regioncap.captioners.reading.plain_text import plain
from regioncap.captioners.reading.positions import may_be_misplaced
from regioncap.captioners.reading.reasoning import answer_of
from regioncap.captioners.reading.refusals import is_refusal
from regioncap.captioners.reading.remarks import corrects_itself
from regioncap.captioners.reading.text_answers import (
    Piece,
    items_of,
    names_others,
    rows_of_table,
    split_by_labels,
    without_own_label,
)

__all__ = ["RULES_VERSION", "Parsed", "is_caption", "is_refusal", "parse", "read_reply"]

RULES_VERSION = 3
"""Raise it when a reply gives other captions than before: stored replies are then read again, without a request."""

MISPLACED = "it has no labels that are understood, and its texts may be in another order"

_FENCE_LINE = lazy_pattern(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*[\w+-]{0,16}[ \t]*$", re.MULTILINE)
_ESCAPED = lazy_pattern(r"\\([<>\[\]().#*_`~|:-])")
_BLOCK_TAG = lazy_pattern(
    r"</?(?:p|li|ol|ul|div|br|h[1-6]|d[ltd]|t[rdh]|table|tbody|thead|details|summary)(?:\s[^<>]{0,80})?\s?/?>",
    re.IGNORECASE,
)
_INLINE_TAG = lazy_pattern(r"</?(?:b|i|u|em|strong|span|mark)>", re.IGNORECASE)
_WRITTEN_OUT = lazy_pattern(r"\\n(?![a-z])")
_HELD = lazy_pattern(r"^<region(\d+)>: ", re.MULTILINE)


@dataclass(frozen=True)
class Parsed:
    """The result of reading a reply.

    `captions`: by region number, in order. `reason`: why others are missing, "" if none is.
    """

    captions: dict[int, str]
    reason: str = ""


def parse(text: str, wanted: Sequence[int], *, cut: bool = False, structured: bool = False) -> dict[int, str]:
    """The captions of `read_reply`.

    >>> parse("<region1>: A dog. <region2>: Its ball.", [1, 2])
    {1: 'A dog.', 2: 'Its ball.'}
    """
    return read_reply(text, wanted, cut=cut, structured=structured).captions


def read_reply(text: str, wanted: Sequence[int], *, cut: bool = False, structured: bool = False) -> Parsed:
    """Captions by region number, for those of `wanted` that `text` gives for certain, and why others are missing.

    `cut`: the reply ended at its limit, so that only what is closed by structure counts: a JSON string, and, where the
    server was `structured` (held to the form that was asked for), a region that another one follows.

    >>> read_reply("Region 0: A dog.\\nRegion 1: A cat.", [1, 2])
    Parsed(captions={}, reason='labels 0, 1 do not match the regions asked for (1, 2)')
    """
    found = None if cut else read_plain(text, wanted)
    return read_any(text, wanted, cut=cut, structured=structured) if found is None else Parsed(found)


def read_any(text: str, wanted: Sequence[int], *, cut: bool = False, structured: bool = False) -> Parsed:
    """The same, of any reply the long way."""
    answer = answer_of(plain(text))
    if not answer.text:
        return Parsed({}, answer.problem or "there is no answer in it")
    if answer.around and line_labels(answer.around) and not line_labels(answer.text):
        return Parsed({}, "its labels are outside of what it marks as its answer")
    decoded = _decoded(answer.text)
    if decoded != answer.text:
        return read_any(decoded, wanted, cut=cut, structured=structured)
    return _read(answer.text, wanted, cut, structured)


def is_caption(text: str) -> bool:
    """Whether `text` is a caption just as it is: nothing would be taken off it, and it has no label before it.

    >>> is_caption("A dog."), is_caption("A dog. Let me know if you need more!"), is_caption("Region 2: A dog.")
    (True, False, False)
    """
    return is_plain(text) or (leading_label(text) is None and caption_of(text) == text)


def _read(text: str, wanted: Sequence[int], cut: bool, structured: bool) -> Parsed:
    values = [(value, texts_in(value.value)) for value in find_values(text, trusted=structured)]
    values = [(value, found) for value, found in values if found.pairs or not value.whole or found.holds_texts]
    around = _around(text, [value for value, _ in values])
    if cut:
        # What follows a value that is not whole was read within it: there it may be a draft.
        values = values[: 1 + next((at for at, (value, _) in enumerate(values) if not value.whole), len(values))]
    if values and not line_labels(around):
        if cut and text[: values[0][0].begin].strip("`json \n"):
            # A model that thinks without saying so may have drafted it.
            return Parsed({}, "it was cut off")
        return _of_json(values, wanted, cut)
    if cut:
        return _of_held_lines(text, wanted) if structured else Parsed({}, "it was cut off")
    prose = _as_prose(text)
    if corrects_itself(prose) and corrects_itself(_from_first_label(prose)):
        return Parsed({}, "it corrects itself")
    pieces = rows_of_table(prose) or split_by_labels(prose, wanted)
    return _agreed(pieces, wanted) if pieces else _of_positions(prose, wanted)


def _from_first_label(text: str) -> str:
    labels = line_labels(text)
    return text[labels[0].begin :] if labels else text


def _decoded(text: str) -> str:
    """The text in a reply that is one JSON string."""
    stripped = text.strip()
    if stripped[:1] != '"' or stripped[-1:] != '"' or "\\" not in stripped:
        return text
    try:
        return str(json.loads(stripped, strict=False))
    except ValueError:
        return text


def _as_prose(text: str) -> str:
    """Without fences, and the escapes and tags of Markdown and HTML."""
    if "\n" not in text:
        text = _WRITTEN_OUT.sub("\n", text)
    text = _INLINE_TAG.sub("", _BLOCK_TAG.sub("\n", text))
    text = _FENCE_LINE.sub("", text) if "```" in text or "~~~" in text else text
    return _ESCAPED.sub(r"\1", text).strip()


def _around(text: str, values: list[Value]) -> str:
    """What stands around the JSON values of a text."""
    kept, begin = [], 0
    for value in values:
        if value.begin >= begin:
            kept.append(text[begin : value.begin])
            begin = value.end
    return "\n".join([*kept, text[begin:]])


def _of_json(values: list[tuple[Value, JsonTexts]], wanted: Sequence[int], cut: bool) -> Parsed:
    """From what JSON tells by label; from texts by label within them, or by position, where it is whole."""
    pairs = [pair for _, found in values for pair in found.pairs]
    if not cut and not all(value.whole for value, _ in values):
        return Parsed({}, "its JSON is broken")
    if pairs:
        return _agreed([Piece(number, scheme, text) for scheme, number, text in pairs], wanted, prose=False)
    items = [item for _, found in values for item in found.items or ()]
    pieces = [piece for item in items for piece in split_by_labels(item, wanted)[: None if len(items) == 1 else 1]]
    if pieces:
        return _agreed(pieces, wanted)
    if cut or len(items) != len(wanted) or any(found.items is None for _, found in values):
        return Parsed({}, f"its JSON has no labels, and {len(items)} texts for {len(wanted)} regions")
    if may_be_misplaced(items, wanted):
        return Parsed({}, MISPLACED)
    return _agreed([Piece(number, "", item) for number, item in zip(wanted, items, strict=True)], wanted, prose=False)


def _of_held_lines(text: str, wanted: Sequence[int]) -> Parsed:
    """From a cut answer that keeps to the form it was held to: all regions but the last that it has."""
    marks = list(_HELD.finditer(text))
    numbers = [int(mark[1]) for mark in marks]
    if numbers != list(wanted[: len(numbers)]) or not text.startswith("<region"):
        return Parsed({}, "it was cut off, and does not keep to its form")
    pieces = [text[mark.end() : following.start()] for mark, following in pairwise(marks)]
    parsed = _agreed([Piece(n, "region", piece) for n, piece in zip(numbers, pieces, strict=False)], wanted)
    return Parsed(parsed.captions, "it was cut off")


def _of_positions(text: str, wanted: Sequence[int]) -> Parsed:
    if is_refusal(text):
        return Parsed({}, "it refuses")
    items = items_of(text, len(wanted))
    numbers = [label.number for label in list_labels(text)]
    if not items and numbers and numbers != list(wanted):
        return Parsed({}, f"labels {_names(numbers)} do not match the regions asked for ({_names(wanted)})")
    if not items:
        return Parsed({}, f"it has no labels that are understood, and not one item for each of {len(wanted)} regions")
    if may_be_misplaced(items, wanted):
        return Parsed({}, MISPLACED)
    parsed = _agreed([Piece(number, "", item) for number, item in zip(wanted, items, strict=True)], wanted)
    # An item that is no caption shows that the items are not what they seem.
    return parsed if len(parsed.captions) == len(wanted) else Parsed({}, parsed.reason)


def _agreed(pieces: list[Piece], wanted: Sequence[int], *, prose: bool = True) -> Parsed:
    """The captions of the pieces whose labels agree with each other and with what was asked for."""
    numbers = [piece.number for piece in pieces]
    found: dict[int, set[str | None]] = {}
    for piece in pieces:
        if piece.number is not None:
            found.setdefault(piece.number, set()).add(piece.text and " ".join(piece.text.split()))
    for texts in found.values():
        if len(texts) > 1:  # as in an echo of the form that was asked for
            texts -= {text for text in texts if text is not None and says_nothing(text)}
    doubtful = len({piece.scheme for piece in pieces}) > 1 or 0 in numbers or _begins_again(pieces, found)
    if not set(wanted) <= set(found):
        doubtful = doubtful or not set(found) <= set(wanted) or any(len(texts) > 1 for texts in found.values())
    if doubtful or not found:
        return Parsed({}, f"labels {_names(numbers)} do not match the regions asked for ({_names(wanted)})")
    captions = {}
    for number in sorted(set(wanted) & set(found)):
        caption = _caption(found[number], number, () if prose else wanted)
        if caption is not None:
            captions[number] = caption
    missing = [number for number in wanted if number not in captions]
    return Parsed(captions, f"no usable text for {_names(missing)}" if missing else "")


def _begins_again(pieces: list[Piece], found: dict[int, set[str | None]]) -> bool:
    """Whether a region is described again, differently, after others: one of the two rounds is a draft."""
    last = {piece.number: place for place, piece in enumerate(pieces)}
    first = {piece.number: place for place, piece in reversed([*enumerate(pieces)])}
    return any(
        len(texts) > 1 and any(pieces[place].number != number for place in range(first[number], last[number]))
        for number, texts in found.items()
    )


def _caption(texts: set[str | None], number: int, among: Sequence[int]) -> str | None:
    """`among`: the regions whose labels may not be in it; empty where that was looked at."""
    told = next(iter(texts)) if len(texts) == 1 else None
    if told is not None and is_plain(told):
        return told
    text = None if told is None else without_own_label(told, number)
    if text is None or (among and names_others(text, number, among)):
        return None
    return caption_of(text, prose=not among)


def _names(numbers: Iterable[int | None]) -> str:
    return ", ".join(
        sorted({"several at once" if number is None else str(number) for number in numbers}, key=_by_number)
    )


def _by_number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (1 << 30, name)
