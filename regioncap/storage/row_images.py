"""The images that rows held themselves: kept in the cache by content, and named by their digest in all rows.

An image that a row holds as text (see `regioncap.inputs.inline_images`) is one file,
`{cache_path}/images/{sha256[:2]}/{sha256}`. Steps, outputs and reports name it
`data:image/jpeg;name=cat.jpg;sha256=…`; the name of its file only if the row told it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from urllib.parse import quote, unquote

from regioncap.errors import RowReject
from regioncap.storage.filesystem import Place

FOLDER = "images"
"""The folder inside the cache."""

_NAME = re.compile(
    r"data:[\w.+/-]*(?:;name=(?P<file>[^;,\"\s]*))?;(?P<what>sha256|undecodable)=(?P<digest>[0-9a-f]{64})"
)
_IN_ROWS = re.compile(rb";sha256=([0-9a-f]{64})\"")

MAX_NAME_CHARS = 120


def name_of(data: bytes, media_type: str, file_name: str = "") -> str:
    """The name of an image that a row holds. `file_name`: its file, where the row tells it; else ""."""
    return f"data:{media_type}{_parameter(file_name)};sha256={hashlib.sha256(data).hexdigest()}"


def undecodable_name(text: str, file_name: str = "") -> str:
    """The name that stands for a text that should be an image but cannot be decoded."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"data:{_parameter(file_name)};undecodable={digest}"


def _parameter(file_name: str) -> str:
    return f";name={quote(file_name[-MAX_NAME_CHARS:], safe='/', errors='replace')}" if file_name else ""


def digest_in(name: str) -> str | None:
    """The sha256 in a name that `name_of` made; None for any other name."""
    found = _NAME.fullmatch(name)
    return found["digest"] if found and found["what"] == "sha256" else None


def file_name_in(name: str) -> str:
    """The name of the image's file in a name that `name_of` made; "" if the row told none."""
    found = _NAME.fullmatch(name)
    return unquote(found["file"] or "") if found else ""


def readable_name(name: str) -> str:
    """A name for people: of an image that a row held, its file's name, else its type and the begin of its digest; any
    other name as it is.

    >>> readable_name(name_of(b"", "image/png", "a b.png")), readable_name(name_of(b"", "image/png"))
    ('a b.png', 'image/png e3b0c44298fc')
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return name
    media_type = name.removeprefix("data:").partition(";")[0] or "undecodable"
    return unquote(found["file"] or "") or f"{media_type} {found['digest'][:12]}"


def digests_in(rows: bytes) -> Iterator[str]:
    """The sha256 of every image that these rows, as JSON, name as `name_of` does; repeated ones each time."""
    return (found[1].decode() for found in _IN_ROWS.finditer(rows))


def is_row_image(name: str) -> bool:
    """Whether this is a name that `name_of` or `undecodable_name` made."""
    return name.startswith("data:") and _NAME.fullmatch(name) is not None


class RowImages:
    """The images that rows held, in the first of these caches that has them; new ones go to the first."""

    def __init__(self, *caches: Place) -> None:
        self._folders = [cache.child(FOLDER) for cache in caches]

    def address(self, digest: str) -> str:
        """Path or URL where a new image with this sha256 goes; "" if there is no cache."""
        return _place(self._folders[0], digest).address if self._folders else ""

    def put_all(self, images: Mapping[str, bytes], pool: Executor) -> None:
        """Keep images by their names, those that are not kept yet. Raises StorageError."""
        on_disk = not images or self._folders[0].is_local
        for _ in (map if on_disk else pool.map)(self._put, images, images.values()):
            pass

    def _put(self, name: str, data: bytes) -> None:
        digest = digest_in(name)
        if digest is None:
            return
        place = _place(self._folders[0], digest)
        if place.size() != len(data):
            # No fsync: it is in the input, and whatever reads it compares the digest.
            place.write(data, durable=False)

    def read(self, name: str) -> bytes:
        """The bytes of an image by its name. Raises RowReject, StorageError."""
        digest = digest_in(name)
        if digest is None:
            raise RowReject(
                "image_unreadable",
                "the row's image cannot be decoded; expected base64, or bytes percent-encoded, behind `data:…,`",
            )
        for folder in self._folders:
            place = _place(folder, digest)
            try:
                data = place.read()
            except FileNotFoundError:
                continue
            if hashlib.sha256(data).hexdigest() == digest:
                return data
            place.remove()  # else the next run would take it for whole
        raise RowReject(
            "image_unavailable",
            f"the image that the row held (sha256 {digest[:12]}…) is not in the cache; a run of its input puts it "
            "there again (see cache_path)",
        )


def _place(folder: Place, digest: str) -> Place:
    return folder.child(digest[:2], digest)
