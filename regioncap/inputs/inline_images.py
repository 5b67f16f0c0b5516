"""Images that stand in the rows themselves: `data:` URIs, base64, `{"bytes": …, "path": …}`.

Taken out of a row as soon as it is read, so that no step, message or output holds them: the row names its image by the
digest, and the bytes go beside the rows to whoever starts the shard (see `regioncap.storage.row_images`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from regioncap.errors import RowReject
from regioncap.records import Shard, dumps, loads_given
from regioncap.row_keys import holders_at
from regioncap.row_work import row_work
from regioncap.storage.data_uri import decode_base64, decode_data_uri, parse_data_uri, python_image
from regioncap.storage.row_images import is_row_image, name_of, undecodable_name
from regioncap.vision.headers import MEDIA_TYPES, format_of, open_header

_BEGINNINGS = (
    rb"(?:\{|b'|b\\|[dD][aA][tT][aA]:|"
    rb"\\?/9j|_9j|iVBORw0K|R0lGOD|UklGR|Qk[0-3]|SUkq|TU0A|AAAA|\\?/0\\?/|_0_|UD[E-b])"
)
"""How an object, Python's bytes, a `data:` URI, or the base64 of a picture of any format begins in the text of a JSON
string."""

_LONG_RUN = re.compile(rb"[A-Za-z0-9+/_=-]{4096}")
"""More than any path has between its dots."""

LONGEST_PATH = 4096
"""What is longer is no path."""

SURE_BYTES = 64
"""So many bytes of base64 that begin like a picture are no accident; fewer must have the whole header of one."""


@dataclass(frozen=True)
class Inline:
    """An image that a row holds. `name`: what stands for it in the row; `data`: None where it cannot be decoded, or
    the row holds its path in a wrapping; `bare`: whether nothing but its content told that it is one."""

    name: str
    data: bytes | None
    bare: bool = False


def images_apart(shard: Shard, image_key: str) -> tuple[Shard, int]:
    """The shard with names in the place of the images that its rows hold, and these images by name; and how many of
    its rows hold bare base64."""
    holds_image = _pattern(image_key).search
    places = [
        place
        for place, (_, text) in enumerate(shard.lines)
        if holds_image(text) or (len(text) > LONGEST_PATH and _LONG_RUN.search(text))
    ]
    if not places:
        return shard, 0
    lines, images, bare = list(shard.lines), dict[str, bytes](), 0
    for place in places:
        number, text = lines[place]
        with suppress(RowReject), row_work("load", f"line {number}"):
            text, found = _apart(text, image_key)
            lines[place] = number, text
            images.update((one.name, one.data) for one in found if one.data is not None)
            bare += any(one.bare for one in found)
    return replace(shard, lines=lines, images=images), bare


@cache
def _pattern(image_key: str) -> re.Pattern[bytes]:
    """Found in the text of every row that may hold its image; searching costs next to nothing for one that does not."""
    *_, name = [name for name in image_key.split(".") if not name.isdecimal()] or [image_key]
    # Of a list the first value is looked at, unless the key names another.
    closer = rb"[\[{]" if name != image_key.rpartition(".")[2] else rb"\{"
    value = rb"(?:" + closer + rb'|"(?:\s|\\[nrt])*' + _BEGINNINGS + rb")"
    # With its dots the key may be one of the row itself.
    found = dumps(name)[1:] if "." in image_key else dumps(name)
    return re.compile(re.escape(found) + rb"\s*:[\s\[]*?" + value)


def _apart(text: bytes, image_key: str) -> tuple[bytes, list[Inline]]:
    """A row's text with names in the place of its images, and these."""
    try:
        row = loads_given(text)
    except ValueError:  # `load` says what is wrong with it
        return text, []
    found = []
    for holder, key in _holders(row, image_key):
        inline = inline_of(holder[key])
        if inline is not None:
            holder[key] = inline.name
            found.append(inline)
    return (dumps(row), found) if found else (text, [])


def _holders(row: Any, image_key: str) -> Iterator[tuple[Any, Any]]:
    """(object or list, key or index) of what a row has at `image_key`, a list of images item by item."""
    for holder, place in holders_at(row, image_key):
        if isinstance(holder[place], list):
            yield from ((holder[place], index) for index in range(len(holder[place])))
        else:
            yield holder, place


def inline_of(value: Any) -> Inline | None:
    """The image that a row's value holds itself; None for a path, a URL and anything else."""
    match value:
        case str():
            return _of_text(value)
        case {"bytes": str(text)}:
            path = value.get("path")
            return _of_bytes(text, path if isinstance(path, str) else "")
        case {"bytes": None, "path": str(path)}:
            return _of_text(path)
    return None


def _of_text(text: str) -> Inline | None:
    if is_row_image(text):
        return None
    if _is_uri(text):
        return _of_bytes(text)
    if text.lstrip()[:2] in ("b'", 'b"') or text.lstrip()[:1] == "{":
        return _of_cell(text)
    with suppress(ValueError):
        data = decode_base64(text)
        if len(text) > LONGEST_PATH or _is_picture(data):
            return _named(data, bare=True)
    return None


def _of_cell(text: str) -> Inline | None:
    """The image in a cell of CSV: an object as JSON, or what Python prints of one or of bytes."""
    if (printed := python_image(text)) is not None:
        data, path = printed
        return _named(data, path) if data is not None else _of_text(path) or Inline(path, None)
    with suppress(ValueError):
        match loads_given(text.encode("utf-8", "surrogatepass")):
            case {"path": str(path)} as found:
                return inline_of(found) or (Inline(path, None) if found.get("bytes") is None else None)
            case dict() as found:
                return inline_of(found)
    return None


def _is_uri(text: str) -> bool:
    # What begins so and has no comma is shown as it is, if it is short: it may be the name of a file.
    return parse_data_uri(text) is not None or (len(text) > LONGEST_PATH and text.lstrip()[:5].lower() == "data:")


def _of_bytes(text: str, file_name: str = "") -> Inline:
    """The image in a text that is said to hold one."""
    uri = parse_data_uri(text)
    file_name = uri.name if uri is not None and uri.name else file_name
    try:
        data = decode_base64(text) if uri is None else decode_data_uri(uri)
    except ValueError:
        return Inline(undecodable_name(text, file_name), None)
    if uri is not None and not uri.is_base64 and not format_of(data):
        with suppress(ValueError):  # `;base64` was forgotten
            packed = decode_base64(uri.payload)
            data = packed if _is_picture(packed) else data
    return _named(data, file_name)


def _named(data: bytes, file_name: str = "", *, bare: bool = False) -> Inline:
    media_type = MEDIA_TYPES.get(format_of(data), "application/octet-stream")
    return Inline(name_of(data, media_type, file_name), data, bare)


def _is_picture(data: bytes) -> bool:
    if len(data) >= SURE_BYTES:
        return bool(format_of(data))
    with suppress(RowReject):
        return bool(open_header(data))
    return False
