"""A reply's text as the parser reads it: one kind of line end, and no signs that are no text."""

from __future__ import annotations

import re

_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\ufffd"
    "\U000e0000-\U000e007f]"
)
"""All that the next four find. Most texts have none of it, and one search shows that."""
_INVISIBLE = re.compile(r"[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
_TERMINAL = re.compile(r"\x1b\[[0-9;?]{0,16}[a-zA-Z]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd\ud800-\udfff]")
_LINE_END = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_GROUNDING = re.compile(
    r"<(?:\|det\|>[^<>]{0,400}<\|/det\|>|\|box_start\|>[^<>]{0,400}<\|box_end\|>|box>[^<>]{0,400}</box>|"
    r"quad>[^<>]{0,400}</quad>|/?ref>|\|/?ref\|>|\|object_ref_(?:start|end)\|>|/?phrase>|/?p>)",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """A reply's text with `\\n` for every line end, and without what is no text: control signs, half
    surrogates, the boxes that some models write behind what they name.

    >>> plain("\\ufeffA\\r\\ndog\\x07.")
    'A\\ndog .'
    """
    text = _GROUNDING.sub("", text)
    if not _ODD.search(text):
        return text
    return _CONTROL.sub(" ", _LINE_END.sub("\n", _INVISIBLE.sub("", _TERMINAL.sub("", text))))


def lowered(text: str) -> str:
    """In small letters, each sign where it was."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in text)
