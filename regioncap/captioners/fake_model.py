"""What the fake server's model answers: picture and region by name, so that a misplaced caption is detected."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import orjson

LABEL = re.compile(r"<region(\d+)>: …")
PATCH = 28
"""Side of a visual token in pixels, in Qwen2.5-VL and others."""

DEFAULT_MAX_TOKENS = 16

CaptionOf = Callable[[tuple[str, ...], int], str]
"""(digests of the pictures, region number) -> caption."""


@dataclass(frozen=True)
class ParsedRequest:
    """What a request asks for: the digests of its pictures as the answer names them, region numbers, form.

    `tokens`: of pictures and prompt. `schema`: the names of a JSON schema's texts.
    """

    pictures: tuple[str, ...]
    numbers: tuple[int, ...]
    regex: str | None
    schema: tuple[str, ...] | None
    tokens: int
    max_tokens: int


class BadRequest(ValueError):
    """The request is refused with status 400."""


def caption_of(pictures: tuple[str, ...], number: int) -> str:
    """What the model says of region `number` of the pictures with these digests."""
    return f"Region {number} of picture {'+'.join(pictures)}."


def digest_of(jpeg: bytes) -> str:
    """What identifies a picture in an answer: the first half of the sha256 of the file."""
    return hashlib.sha256(jpeg).hexdigest()[:32]


def parse_request(body: Mapping[str, Any]) -> ParsedRequest:
    """What a chat completion request asks for. Raises BadRequest for one without a picture that can be decoded."""
    pictures, texts, tokens = [], [], 0
    for message in body.get("messages", []):
        content = message["content"]
        for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            if part["type"] == "text":
                texts.append(part["text"])
                continue
            jpeg = _jpeg(part["image_url"]["url"])
            tokens += _visual_tokens(jpeg)
            pictures.append(digest_of(jpeg))
    if not pictures:
        raise BadRequest("there is no picture in the request")
    text = "\n".join(texts)
    regex = (body.get("structured_outputs") or {}).get("regex")
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
    names = tuple(schema["properties"]) if schema else None
    numbers = LABEL.findall(text) or re.findall(r"\"region(\d+)\": \"…\"", text)
    most = body.get("max_tokens") or body.get("max_completion_tokens") or DEFAULT_MAX_TOKENS
    return ParsedRequest(tuple(pictures), tuple(map(int, numbers)), regex, names, tokens + len(text) // 4, int(most))


def _jpeg(url: str) -> bytes:
    head, _, data = url.partition(",")
    if head != "data:image/jpeg;base64":
        raise BadRequest(f"expected a JPEG data URL, got {head[:60]!r}")
    return base64.b64decode(data)


def _visual_tokens(jpeg: bytes) -> int:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise BadRequest("a picture cannot be decoded")
    height, width = image.shape[:2]
    return int(-(-height // PATCH) * -(-width // PATCH))


def answer(request: ParsedRequest, structure: tuple[str, ...], fault: str = "", caption: CaptionOf = caption_of) -> str:
    """The text of the answer, in a form of `structure`; with `fault` one of those that change it."""
    captions = [(number, caption(request.pictures, number)) for number in request.numbers]
    if fault == "missing" and captions:
        captions.pop(len(captions) // 2)
    elif fault == "extra":
        number = max(request.numbers, default=0) + 1
        captions.append((number, caption(request.pictures, number)))
    elif fault == "reordered":
        captions.reverse()
    if fault == "refusal":
        return "I'm sorry, but I can't describe this picture."
    if request.schema is not None and "json_schema" in structure:
        texts = {f"region{number}": text for number, text in captions}
        names = texts if fault in ("missing", "extra", "reordered") else dict.fromkeys(request.schema)
        return orjson.dumps({name: texts.get(name, "a word") for name in names}).decode()
    if request.regex is not None and "regex" in structure and not fault:
        return _matching(request.regex, dict(captions))
    return "\n".join(f"<region{number}>: {text}" for number, text in captions)


def _matching(regex: str, texts: Mapping[int, str]) -> str:
    """A text that matches `regex`, of the kind that RegionCap sends: a line for each region, its label first."""
    lines: list[str] = []
    for line in regex.split("\\n<"):
        prefix = ("<" if lines else "") + line.split("[")[0]
        number = re.match(r"<region(\d+)>: $", prefix)
        longest = re.search(r"\{0,(\d+)\}$", line)
        text = texts.get(int(number.group(1)), "") if number else "a"
        lines.append(prefix + (text[: int(longest.group(1)) + 1] if longest and number else text))
    matching = "\n".join(lines)
    if re.fullmatch(regex, matching) is None:
        raise BadRequest(f"cannot make a text that matches {regex!r}")
    return matching
