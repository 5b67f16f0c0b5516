"""What the fake model is asked and says: picture and region by name, so that a misplaced caption is detected."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from regioncap.captioners.fake.forms import FORMS

LABEL = re.compile(r"<region(\d+)>: …")
PATCH = 28
"""Side of a visual token in pixels, in Qwen2.5-VL and others."""

DEFAULT_MAX_TOKENS = 16

CaptionOf = Callable[[tuple[str, ...], int], str]
"""(digests of the pictures, region number) -> caption."""


@dataclass(frozen=True)
class ParsedRequest:
    """What a request asks for: the digests of its pictures as the answer names them, region numbers, form.

    `forms`: regexes and JSON schema by their name in `FORMS`. `tokens`: of pictures and prompt. `jpegs`: the pictures.
    `asking`: what tells this request from all others, also from the same one sent before. `text`: of the messages.
    """

    pictures: tuple[str, ...]
    numbers: tuple[int, ...]
    forms: Mapping[str, Any]
    tokens: int
    max_tokens: int
    jpegs: tuple[bytes, ...] = ()
    asking: str = ""
    text: str = ""


class BadRequest(ValueError):
    """The request is refused. `kind`: of the error, see `errors.STANDARD`; `values`: what it names."""

    def __init__(self, detail: str, kind: str = "request", **values: object) -> None:
        super().__init__(detail)
        self.kind = kind
        self.values = {"detail": detail, **values}


def caption_of(pictures: tuple[str, ...], number: int) -> str:
    """What the model says of region `number` of the pictures with these digests."""
    return f"A cat with {number} bells in photo {'+'.join(pictures)}."


def digest_of(jpeg: bytes) -> str:
    """What identifies a picture in an answer: the first half of the sha256 of the file."""
    return hashlib.sha256(jpeg).hexdigest()[:32]


def parse_request(body: Mapping[str, Any]) -> ParsedRequest:
    """What a chat completion request asks for. Raises BadRequest for one without a picture that can be decoded."""
    jpegs, texts, tokens = [], [], 0
    for message in body.get("messages", []):
        content = message["content"]
        for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            if part["type"] == "text":
                texts.append(part["text"])
                continue
            jpeg = _jpeg(part["image_url"]["url"])
            tokens += _visual_tokens(jpeg)
            jpegs.append(jpeg)
    if not jpegs:
        raise BadRequest("there is no picture in the request")
    text = "\n".join(texts)
    forms = {name: form for name, of in FORMS.items() if (form := of(body))}
    numbers = LABEL.findall(text) or re.findall(r"\"region(\d+)\": \"…\"", text)
    most = body.get("max_tokens") or body.get("max_completion_tokens") or DEFAULT_MAX_TOKENS
    pictures = tuple(map(digest_of, jpegs))
    return ParsedRequest(
        pictures,
        tuple(map(int, numbers)),
        forms,
        tokens + len(text) // 4,
        int(most),
        jpegs=tuple(jpegs),
        text=text,
    )


def _jpeg(url: str) -> bytes:
    head, _, data = url.partition(",")
    if head != "data:image/jpeg;base64":
        raise BadRequest(f"expected a JPEG data URL, got {head[:60]!r}")
    return base64.b64decode(data)


def decoded(jpeg: bytes) -> npt.NDArray[np.uint8]:
    """The pixels of a JPEG: HxWx3 uint8, BGR. Raises BadRequest if it cannot be decoded."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise BadRequest("a picture cannot be decoded")
    return image.astype(np.uint8, copy=False)


def _visual_tokens(jpeg: bytes) -> int:
    height, width = decoded(jpeg).shape[:2]
    return int(-(-height // PATCH) * -(-width // PATCH))


def matching(regex: str, texts: Mapping[int, str]) -> str:
    """A text that matches `regex`, of the kind that RegionCap sends: a line for each region, its label first.

    `texts`: by region number; "a" for one that is not there. Raises BadRequest for a regex of another kind.
    """
    lines: list[str] = []
    for line in regex.split("\\n<"):
        prefix = ("<" if lines else "") + line.split("[")[0]
        number = re.match(r"<region(\d+)>: $", prefix)
        longest = re.search(r"\{0,(\d+)\}$", line)
        text = texts.get(int(number.group(1)), "") if number else "a"
        lines.append(prefix + (text[: int(longest.group(1)) + 1] if longest and number else text))
    found = "\n".join(lines)
    if re.fullmatch(regex, found) is None:
        raise BadRequest(f"cannot make a text that matches {regex!r}")
    return found
