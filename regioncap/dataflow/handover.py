"""A row of a storage as a line of JSON, with the images that it may hold itself."""

from __future__ import annotations

import base64
import io
from typing import Any

from regioncap.errors import RowReject
from regioncap.records import Row, dumps, shorten
from regioncap.row_work import row_work


def row_line(row: Row, image_key: str) -> bytes:
    """The row as one line of JSON. Bytes and Pillow images under `image_key` become `data:` URIs.

    A row that cannot be written is a line that is no object, which the run rejects with what it says.
    """
    try:
        with row_work("read", shorten(row)):
            return dumps({**row, image_key: _image(row[image_key])} if image_key in row else row)
    except RowReject as reject:
        return dumps(reject.message)


def _image(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_image(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return _data_uri(bytes(value), "application/octet-stream")
    if callable(getattr(value, "save", None)) and hasattr(value, "getexif"):  # Pillow's, which is not imported here
        return _data_uri(_png(value), "image/png")
    return value


def _png(image: Any) -> bytes:
    """A Pillow image as PNG, with its orientation."""
    out = io.BytesIO()
    plain = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else image.convert("RGB")
    plain.save(out, "PNG", exif=image.getexif())
    return out.getvalue()


def _data_uri(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
