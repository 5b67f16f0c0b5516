# ruff: noqa: RUF001 - models write typographic quotes, dashes and colons, and all are meant here.
"""What is left of a region's piece of an answer: one line of prose, or None where that cannot be had for certain."""

from __future__ import annotations

import re

from regioncap.captioners.reasoning import SPECIAL_TOKEN
from regioncap.captioners.remarks import is_refusal, says_nothing, without_introduction, without_remarks

_INVISIBLE = re.compile(r"[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\U000e0000-\U000e007f]")
_TERMINAL = re.compile(r"\x1b\[[0-9;?]{0,16}[a-zA-Z]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd\ud800-\udfff]")
_LINE_END = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")

_GROUNDING = re.compile(
    r"<\|det\|>[^<>]{0,400}<\|/det\|>|<\|box_start\|>[^<>]{0,400}<\|box_end\|>|<box>[^<>]{0,400}</box>|"
    r"<quad>[^<>]{0,400}</quad>|</?ref>|<\|/?ref\|>|<\|object_ref_(?:start|end)\|>|</?phrase>|</?p>",
    re.IGNORECASE,
)
_FORMATTING = re.compile(
    r"</?(?:b|i|u|em|strong|mark|span|div|li|ul|ol|br|caption|description|desc|text|content|name|answer|body)"
    r"(?:\s[^<>]{0,60})?\s?/?>",
    re.IGNORECASE,
)
_PAIRED = re.compile(
    r"\*\*([^*]+)\*\*|__([^_]+)__|(?<![\w*])\*(?=[^\s*])([^*]+)(?<=[^\s*])\*(?![\w*])|(?<!\w)_(?=[^\s_])([^_]+)(?<=[^\s_])_(?!\w)"
)
_MARKUP = re.compile(
    r"</?[a-z!][^<>\n]{0,80}>|```|\\(?:boxed|text)\{|[\ue000-\uf8ff]|\*\*|"
    r"[{\[]\s?[\"“][^\"”]{0,80}[\"”]\s?[:,]|\"\s?:\s?[\"\[{]|[\"\w]\s?[}]\s?$|\"\s?\]\s?$|^\s?[{\[]\s?[\"'{\[]",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"<\s?regions?[\s_]?\d{1,4}\s?>(?!\s?[:：])", re.IGNORECASE)
_WRAPS = {'"': '"', "“": "”", "'": "'", "‘": "’", "「": "」", "『": "』", "«": "»", "„": "“", "`": "`", "”": "”"}
_UNOPENED = {">": "<", "]": "[", "】": "【", "〉": "〈", "＞": "＜", "］": "［", "»": "«", "」": "「", "』": "『"}
_BULLET = re.compile(r"[ \t]*(?:[-*+•●▪◦‣·]|>)[ \t]+")
_RULE = re.compile(r"[ \t]*(?:[-*_=~─—]{3,}|`{3,}[\w-]{0,12})[ \t]*$")


def plain(text: str) -> str:
    """A reply's text with `\\n` for every line end, and without what is no text: control signs, half
    surrogates, the boxes that some models write behind what they name.

    >>> plain("\\ufeffA\\r\\ndog\\x07.")
    'A\\ndog .'
    """
    return _CONTROL.sub(" ", _LINE_END.sub("\n", _INVISIBLE.sub("", _TERMINAL.sub("", _GROUNDING.sub("", text)))))


def starts_item(line: str) -> bool:
    """Whether a line begins with a bullet."""
    return _BULLET.match(line) is not None


def lines_of(piece: str) -> list[list[str]]:
    """The paragraphs of a piece of text, each a list of its lines, without bullets, rules and fences."""
    paragraphs: list[list[str]] = [[]]
    for line in piece.split("\n"):
        if not line.strip() or _RULE.match(line):
            paragraphs.append([])
        else:
            paragraphs[-1].append(_BULLET.sub("", line, count=1) if _BULLET.match(line) else line)
    return [lines for lines in paragraphs if lines]


def caption_of(text: str, *, prose: bool = True) -> str | None:
    """The caption in a region's own text; None where there is none, or something else is in it.

    `prose`: it stood in a text, and may have introduction and remarks around it; else it was a JSON string.

    >>> caption_of(' **A dog**, "Rex". Let me know if you need more!'), caption_of("I can't see it.")
    ('A dog, "Rex".', None)
    """
    text = _FORMATTING.sub(" ", plain(text))
    if prose and is_refusal(_unwrapped(text)):
        return None
    text = _unwrapped(without_remarks(without_introduction(text)))
    if says_nothing(text) or is_refusal(text) or not is_clean(text):
        return None
    return text


def is_clean(text: str) -> bool:
    """Whether there is no markup, JSON or special token in it."""
    text = _REFERENCE.sub("", text)
    return not (_MARKUP.search(text) or SPECIAL_TOKEN.search(text))


def _unwrapped(text: str) -> str:
    """On one line, without the emphasis, quotes and separators around it."""
    text = _PAIRED.sub(lambda match: next(group for group in match.groups() if group is not None), text)
    text = " ".join(text.replace("**", "").split())
    text = re.sub(r"^(?:[*_`]++\s?|[:：]\s?|[,，–—-]\s)++", "", text)
    text = text.rstrip(" *`|;,，、")
    text = re.sub(r"(?<=[\"”])\s?,$", "", text) if text[:1] in _WRAPS else text
    opening = _UNOPENED.get(text[-1:])
    if opening and opening not in text:
        text = text[:-1].rstrip()  # Of "<region1: a dog>".
    for _ in range(2):
        closing = _WRAPS.get(text[:1])
        if closing and len(text) > 1 and text[-1] == closing and not set(text[1:-1]) & {text[0], closing}:
            text = text[1:-1].strip()
    return text
