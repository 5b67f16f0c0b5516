"""Rows of a storage as lines of JSON for the run, and the run's rows as the storage takes them back.

An output names an image that a row held by its digest. The next operator gets the image itself again.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping
from typing import Any

from regioncap.errors import RowReject
from regioncap.records import Row, dumps, shorten
from regioncap.row_work import row_work
from regioncap.storage.row_images import digest_in

_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


class Handover:
    """What goes out to the run and comes back. `image_key`: the rows' key of their image, at the top of the row."""

    def __init__(self, image_key: str) -> None:
        self._image_key = image_key
        self._images: dict[str, Any] = {}

    def line(self, row: Row) -> bytes:
        """The row as one line of JSON; bytes and Pillow images are `data:` URIs.

        A row that cannot be written is a line that is no object, which the run rejects with what it says.
        """
        try:
            with row_work("read", shorten(row)):
                return dumps(self._changed(row, self._as_text))
        except RowReject as reject:
            return dumps(reject.message)

    def back(self, row: Row) -> Row:
        """An output row, with its image as the storage gave it."""
        return self._changed(row, self._as_given)

    def _changed(self, row: Row, change: Any) -> Row:
        return {**row, self._image_key: change(row[self._image_key])} if self._image_key in row else row

    def _as_text(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._as_text(item) for item in value]
        data, media_type = _content(value)
        if data is None:
            return value
        self._images[hashlib.sha256(data).hexdigest()] = value
        return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"

    def _as_given(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._as_given(item) for item in value]
        digest = digest_in(value) if isinstance(value, str) else None
        return self._images.get(digest, value) if digest else value


def _content(value: Any) -> tuple[bytes | None, str]:
    """The file that an image held in a row is, and its media type; None for what is no such image."""
    if isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes):  # as datasets keeps images
        value = value["bytes"]
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value), "application/octet-stream"
    if callable(getattr(value, "save", None)) and callable(getattr(value, "getexif", None)):  # Pillow's
        return _png(value), "image/png"
    return None, ""


def _png(image: Any) -> bytes:
    """A Pillow image as PNG, with its orientation."""
    out = io.BytesIO()
    plain = image if image.mode in _PNG_MODES else image.convert("RGB")
    plain.save(out, "PNG", exif=image.getexif())
    return out.getvalue()
