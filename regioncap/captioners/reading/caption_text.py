# ruff: noqa: RUF001 - models write typographic quotes, dashes and colons, and all are meant here.
"""What is left of a region's piece of an answer: one line of prose, or None where that cannot be had for certain."""

from __future__ import annotations

import html
import re

from regioncap.captioners.reading.lazy_pattern import lazy_pattern
from regioncap.captioners.reading.lenient_json import unquoted
from regioncap.captioners.reading.placeholders import says_nothing
from regioncap.captioners.reading.plain_caption import is_list
from regioncap.captioners.reading.plain_text import plain
from regioncap.captioners.reading.reasoning import SPECIAL_TOKEN
from regioncap.captioners.reading.refusals import is_refusal
from regioncap.captioners.reading.remarks import corrects_itself, without_introduction, without_remarks

_FORMATTING = lazy_pattern(
    r"</?(?:b|i|u|em|strong|mark|span|div|li|ul|ol|br|caption|description|desc|text|content|name|answer|body)"
    r"(?:\s[^<>]{0,60})?\s?/?>",
    re.IGNORECASE,
)
_PAIRED = lazy_pattern(
    r"\*\*([^*]+)\*\*|__([^_]+)__|(?<![\w*])\*(?=[^\s*])([^*]+)(?<=[^\s*])\*(?![\w*])|"
    r"(?<!\w)_(?=[^\s_])([^_]+)(?<=[^\s_])_(?!\w)"
)
_MARKUP = lazy_pattern(
    r"</?[a-z!][^<>\n]{0,80}>|<\||```|\",?\s?//|!\[[^\[\]\n]{0,80}\]\(|\\(?:boxed|text)\{|[\ue000-\uf8ff▁]|"
    r"(?-i:(?<=[a-z.!?,])[ĠĊ](?=[A-Za-z]|$))|\*\*|"
    r"[{\[]\s?[\"“][^\"”]{0,80}[\"”]\s?[:,]|\"\s?:\s?(?:[\"\[{]|$)|[\"\w]\s?[}]\s?$|\"\s?\]\s?$|^\s?[{\[]\s?[\"'{\[]",
    re.IGNORECASE,
)
_MAY_BE_MARKUP = lazy_pattern('[<`\\\\*\ue000-\uf8ff\\[\\]{}▁ĠĊ]|"\\s?:|//')
"""What all of that has in it, and most captions have not."""
_REFERENCE = lazy_pattern(r"<\s?regions?[\s_]?\d{1,4}\s?>(?!\s?[:：])", re.IGNORECASE)
_ANNOTATION = lazy_pattern(
    r"\s?(?:\[\s?\d[\d.]{0,8}(?:\s?,\s?\d[\d.]{0,8}){3}\s?\]|"
    r"[\[(]\s?(?:confidence|conf|score|probability)\s?[:=]\s?[\d.]{1,6}\s?%?\s?[\])])(?=\.?$)",
    re.IGNORECASE,
)
"""A box or a confidence behind a caption."""
_NUMBERS = r"\d[\d.]{0,8}(?:\s?,\s?\d[\d.]{0,8})"
_LEADING_BOX = lazy_pattern(
    rf"\s*(?:<box>)?(?:(?:\[\s?){{1,2}}{_NUMBERS}{{3}}\s?(?:\]\s?){{1,2}}|\({_NUMBERS}{{3}}\)|"
    rf"\({_NUMBERS}\)\s?,?\s?\({_NUMBERS}\))(?:</box>)?",
    re.IGNORECASE,
)
"""A box before a caption, as in a prompt that gives boxes."""
_LEADING_SIGNS = lazy_pattern(r"(?:[*_`]++\s?|[:：]\s?|[,，–—-]\s)++")
_WRAPS = {'"': '"', "“": "”", "'": "'", "‘": "’", "「": "」", "『": "』", "«": "»", "„": "“", "`": "`", "”": "”"}
_UNOPENED = {">": "<", "]": "[", "】": "【", "〉": "〈", "＞": "＜", "］": "［", "»": "«", "」": "「", "』": "『"}
_BULLET = lazy_pattern(r"[ \t]*(?:[-*+•●▪◦‣·]|>)[ \t]+")
_RULE = lazy_pattern(r"[ \t]*(?:[-*_=~─—]{3,}|`{3,}[\w-]{0,12}|\.{3}|\[{1,2}[\w.-]{1,40}\]{1,2})[ \t]*$")


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
    text = html.unescape(text) if "&" in text else text
    text = _FORMATTING.sub(" ", plain(text)) if not text.isprintable() or "<" in text else text
    if prose and is_refusal(_unwrapped(text)):
        return None
    box = _LEADING_BOX.match(text)
    text = text[box.end() :] if box else text
    text = _unwrapped(_without_annotation(without_remarks(without_introduction(text))))
    if says_nothing(text) or is_refusal(text) or not is_clean(text) or is_list(text) or corrects_itself(text):
        return None
    return text


def is_clean(text: str) -> bool:
    """Whether there is no markup, JSON or special token in it."""
    if not _MAY_BE_MARKUP.search(text):
        return True
    text = _REFERENCE.sub("", text)
    return not (_MARKUP.search(text) or SPECIAL_TOKEN.search(text))


def _without_annotation(text: str) -> str:
    annotation = _ANNOTATION.search(text, max(0, len(text) - 80)) if text[-1:] in "])." else None
    if annotation is None:
        return text
    rest = text[: annotation.start()].rstrip()
    return rest if rest[-1:] in (".", "!", "?") else rest + text[annotation.end() :]


def _unwrapped(text: str) -> str:
    """On one line, without the emphasis, quotes and separators around it."""
    if "*" in text or "_" in text:
        text = _PAIRED.sub(lambda match: next(group for group in match.groups() if group is not None), text)
        text = text.replace("**", "")
    text = " ".join(text.split())
    leading = _LEADING_SIGNS.match(text)
    text = (text[leading.end() :] if leading else text).rstrip(" *`|;,，、")
    if '""' in text[1:-1] and text[0] == text[-1] == '"':
        text = text[1:-1].replace('""', '"')  # as CSV quotes
    if '\\"' in text[1:-1] and text[0] == text[-1] == '"':
        text = unquoted(text)  # as YAML and TOML do
    opening = _UNOPENED.get(text[-1:])
    if opening and opening not in text:
        text = text[:-1].rstrip()  # Of "<region1: a dog>".
    for _ in range(2):
        closing = _WRAPS.get(text[:1])
        if closing and len(text) > 1 and text[-1] == closing and not set(text[1:-1]) & {text[0], closing}:
            text = text[1:-1].strip()
    return text
