"""Boxes in the markup that models were trained to write.

| form | models |
|---|---|
| `<|object_ref_start|>dog<|object_ref_end|><|box_start|>(x1,y1),(x2,y2)<|box_end|>` | Qwen2-VL |
| `<ref>dog</ref><box>(x1,y1),(x2,y2)</box>` | Qwen-VL |
| `<ref>dog</ref><box>[[x1, y1, x2, y2], …]</box>` | InternVL |
| `<|ref|>dog<|/ref|><|det|>[[x1, y1, x2, y2], …]<|/det|>` | DeepSeek-VL2 |
| `<box>x1 y1 x2 y2</box>` | others |
| `<loc0256><loc0128><loc0768><loc0512> dog ; …` | PaliGemma: y first, 0 to 1023, whatever the setting says |
"""

from __future__ import annotations

import re

from regioncap.captioners.reading.box_candidates import ENTRY, Candidate, candidate, label_before
from regioncap.captioners.reading.lazy_pattern import rare_pattern
from regioncap.config.coordinates import Coordinates

LOC = Coordinates("0-1024", y_first=True)
"""Those of `<loc….>`: https://ai.google.dev/gemma/docs/paligemma/prompt-system-instructions: ymin, xmin, ymax, xmax,
of 1,024 bins."""

_REF_TOKEN = rare_pattern(r"<\|(?:object_ref_start|ref)\|>", re.IGNORECASE)
_REF_END_TOKEN = rare_pattern(r"<\|(?:object_ref_end|/ref)\|>", re.IGNORECASE)
_BOX_TOKEN = rare_pattern(r"<\|(?:box_start|det)\|>", re.IGNORECASE)
_BOX_END_TOKEN = rare_pattern(r"<\|(?:box_end|/det)\|>", re.IGNORECASE)

_SEPARATOR = r"\s{0,4}[,\s]\s{0,4}"
_POINT = rf"\(\s?(?:{ENTRY})?(?:{_SEPARATOR}{ENTRY}){{0,8}}\s?\)"
_LIST = rf"\[\s?(?:{ENTRY})?(?:{_SEPARATOR}{ENTRY}){{0,8}}\s?\]"
BOX = rf"{_POINT}\s?,?\s?{_POINT}|{_POINT}|\[\s{{0,4}}{_LIST}(?:\s{{0,4}},\s{{0,4}}{_LIST}){{0,400}}\s{{0,4}}\]|{_LIST}"
"""`(x1,y1),(x2,y2)`, `(x1, y1, x2, y2)`, `[x1, y1, x2, y2]` or `[[x1, y1, x2, y2], …]`, with any count of numbers."""

_TAGGED = rare_pattern(r"<ref>(?P<ref>[^<>\n]{0,400})</ref>|<box>(?P<box>[^<>]{0,20000})</box>", re.IGNORECASE)
_MARK = rare_pattern(r"<(?:ref|box|loc[0-9]{4})>", re.IGNORECASE)
_CONTENT = rare_pattern(rf"\s*(?:{BOX}|{ENTRY}(?:{_SEPARATOR}{ENTRY}){{0,8}})\s*", re.IGNORECASE)
_ENTRY = rare_pattern(ENTRY, re.IGNORECASE)
_ONE_LIST = rare_pattern(r"\[[^\[\]]*\]")
_LOCATED = rare_pattern(r"((?:<loc[0-9]{4}>){1,8})(?: ?([^<>;\n]{1,200}))?", re.IGNORECASE)
_LOC = rare_pattern(r"<loc([0-9]{4})>", re.IGNORECASE)


def with_tags(text: str) -> str:
    """A reply with tags instead of the tokens that stand around labels and boxes, so that they are not taken off with
    other special tokens.

    >>> with_tags("<|object_ref_start|>dog<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|><|im_end|>")
    '<ref>dog</ref><box>(1,2),(3,4)</box><|im_end|>'
    """
    if "<|" not in text:
        return text
    text = _REF_END_TOKEN.sub("</ref>", _REF_TOKEN.sub("<ref>", text))
    return _BOX_END_TOKEN.sub("</box>", _BOX_TOKEN.sub("<box>", text))


def begin_of_markup(text: str) -> int:
    """Where the first label or box in markup begins; the text's length if there is none."""
    match = _MARK.search(text)
    return match.start() if match else len(text)


def tagged_boxes(text: str) -> list[Candidate]:
    """What stands in `<box>` tags that are closed, with the label in the `<ref>` tags before it, or before it in a line
    of labels and boxes."""
    found: list[Candidate] = []
    label, end = None, 0
    for match in _TAGGED.finditer(text):
        if match["ref"] is not None:
            label = match["ref"]
        else:
            if (not found and end == 0) or text[end : match.start()].strip():
                label = _label_in_line(text, end, *match.span())
            found += boxes_of(match["box"], label)
        end = match.end()
    return found


def _label_in_line(text: str, previous_end: int, begin: int, end: int) -> str | None:
    """The label before the box from `begin` to `end`, where its line has nothing around it but other boxes."""
    line = text.rfind("\n", 0, begin) + 1
    before = text[max(line, previous_end) : begin]
    begins_item = line >= previous_end or before.lstrip()[:1] in (",", ";")
    ends_item = text[end:].lstrip(" ")[:1] in ("", "\n", ",", ";", ".", "<")
    return label_before(before) if begins_item and ends_item else None


def boxes_of(content: str, label: str | None) -> list[Candidate]:
    """The boxes that are written in one of the ways of `BOX`, or as numbers with commas or spaces between them."""
    if not _CONTENT.fullmatch(content):
        return [candidate(content, [], label)]
    nested = content.lstrip().startswith("[[") or content.replace(" ", "").startswith("[[")
    pieces = _ONE_LIST.findall(content) if nested else [content]
    return [candidate(piece.strip(), _ENTRY.findall(piece), label) for piece in pieces]


def located_boxes(text: str) -> list[Candidate]:
    """Those of PaliGemma's tokens, each four followed by what they are of."""
    return [candidate(match[1], _LOC.findall(match[1]), match[2], LOC) for match in _LOCATED.finditer(text)]
