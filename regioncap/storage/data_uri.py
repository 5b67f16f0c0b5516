"""Bytes that stand in a text: `data:` URIs (RFC 2397), base64 (RFC 4648), Python's literals; as programs write them."""

from __future__ import annotations

import ast
import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote, unquote_to_bytes

_DATA_URI = re.compile(r"\s*data:([^,]*),", re.IGNORECASE)
_TEXT = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_PYTHON_BYTES = re.compile(rf"\s*(b(?:{_TEXT}))\s*", re.DOTALL)
_PYTHON_OBJECT = re.compile(rf"\s*\[?\{{'bytes': (b(?:{_TEXT})|None), 'path': ({_TEXT}|None)\}}\]?\s*", re.DOTALL)
_URL_SAFE = str.maketrans("-_", "+/")


@dataclass(frozen=True)
class DataUri:
    """A `data:` URI in its parts. `payload`: what follows the comma, not decoded yet; `name`: of the file, if told."""

    is_base64: bool
    payload: str
    name: str = ""


def parse_data_uri(text: str) -> DataUri | None:
    """The parts of a `data:` URI, in upper or lower case, with any parameters; None for any other text."""
    found = _DATA_URI.match(text)
    if found is None:
        return None
    _, *parameters = (part.strip() for part in found[1].split(";"))
    named = dict(part.split("=", 1) for part in parameters if "=" in part)
    name = named.get("name") or named.get("filename") or ""
    is_base64 = any(part.lower() == "base64" for part in parameters)
    return DataUri(is_base64, text[found.end() :], unquote(name.strip('"')))


def decode_data_uri(uri: DataUri) -> bytes:
    """The bytes of a `data:` URI. Raises ValueError where its base64 is damaged."""
    if not uri.is_base64:
        return unquote_to_bytes(uri.payload.strip())
    # `+` is no blank here: this is no form.
    return decode_base64(unquote(uri.payload) if "%" in uri.payload else uri.payload)


def decode_base64(text: str) -> bytes:
    """The bytes of base64 in the standard or the URL-safe alphabet; white space and missing padding do not matter.

    Raises ValueError for anything else.
    """
    packed = "".join(text.split())
    if "-" in packed or "_" in packed:
        packed = packed.translate(_URL_SAFE)
    packed = packed.rstrip("=") if packed[-3:].count("=") <= 2 else packed
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(f"its base64 is damaged: {error}") from None


def python_image(text: str) -> tuple[bytes | None, str] | None:
    """(bytes, path) of what Python prints of bytes, `b'\\xff…'`, or of `{'bytes': b'\\xff…', 'path': 'a.jpg'}`: so
    `datasets` and pandas write images into CSV. One of the two may be None or ""; None for any other text."""
    found = _PYTHON_OBJECT.fullmatch(text) or _PYTHON_BYTES.fullmatch(text)
    if found is None:
        return None
    try:
        # Single literals: no row can make the parser go deep.
        data, path = (ast.literal_eval(literal) for literal in (*found.groups(), "None")[:2])
    except (ValueError, SyntaxError):
        return None
    return (data, path or "") if data is not None or path else None
