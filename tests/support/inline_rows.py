"""Pictures as texts of rows, in the forms that programs write."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import cv2

from tests.support.photos import draw_photo


def photo_file(seed: int, ending: str = ".png") -> bytes:
    """The file of a drawn photo."""
    done, data = cv2.imencode(ending, draw_photo(seed))
    assert done
    return bytes(data)


def base64_of(data: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(data).decode()


def data_uri(data: bytes, head: str = "data:image/png;base64,") -> str:
    """A `data:` URI with base64."""
    return head + base64_of(data)


def forms_of(data: bytes) -> dict[str, Any]:
    """An image as values of a row: all that mean it."""
    text = base64_of(data)
    lines = "\n".join(text[at : at + 76] for at in range(0, len(text), 76))
    return {
        "uri": data_uri(data),
        "upper case": data_uri(data, "DATA:IMAGE/PNG;BASE64,"),
        "parameters": data_uri(data, "data:image/png;charset=utf-8;name=a%20b.png;base64,"),
        "without type": data_uri(data, "data:;base64,"),
        "wrong type": data_uri(data, "data:image/jpeg;base64,"),
        "blanks": data_uri(data, " \n data: image/png ; base64 , \r\n"),
        "percent": "data:image/png," + quote(data),
        "base64 in percent": "data:image/png;base64," + quote(text),
        "base64 unsaid": "data:image/png," + text,
        "base64": text,
        "base64 in lines": lines,
        "URL-safe": base64.urlsafe_b64encode(data).decode(),
        "no padding": text.rstrip("="),
        "object": {"bytes": text, "path": "photos/a b.png"},
        "object without path": {"bytes": text, "path": None},
        "object with a uri": {"bytes": data_uri(data)},
        "object as text": json.dumps({"bytes": text, "path": "photos/a b.png"}),
        "object as Python prints it": str({"bytes": data, "path": "photos/a b.png"}),
        "bytes as Python prints them": str(data),
        "uri as path": {"bytes": None, "path": data_uri(data)},
    }
