"""Where a row's image is: a file of its own, a member of a tar, or a cell of a Parquet file.

Readers of containers hand each row's place inside the container along with the row's text; steps carry it as
`image_at`, outputs as `image_range` or `image_row` of `meta_info`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from regioncap.records import Row, dumps, loads

_MARK = b"\0image at: "
"""Begins a row's text that says where its image is; no JSON text holds a zero byte."""


_TAR = "tar://"


def tar_name(member: str, container: str) -> str:
    """The name of an image that is a member of the tar at the path or URL `container`, as fsspec writes it.

    >>> tar_name("a.jpg", "s3://bucket/0.tar")
    'tar://a.jpg::s3://bucket/0.tar'
    """
    if "::" in member or member.endswith(":"):
        member = member.replace(":", "%3A")
    return f"{_TAR}{member}::{container}"


def split_tar_name(name: str) -> tuple[str, str] | None:
    """(member, path or URL of the tar) of what `tar_name` gave; None for any other name."""
    member, sign, container = name.removeprefix(_TAR).partition("::")
    return (member, container) if sign and name.startswith(_TAR) else None


@dataclass(frozen=True)
class ImageRef:
    """Where an image is.

    `name`: path or URL as the row names it, `tar://member::url` for a member of a tar, the file for a cell of Parquet.
    `byte_range`: (offset, size) in bytes of a tar's member in the tar. `row`: number of a Parquet file's row, from 1,
    and `column` the one that holds its image, by its path (`image`, `sample.image`). `sha256`: the image's digest,
    where it is known: what lies there now may be another.
    """

    name: str
    byte_range: tuple[int, int] | None = None
    row: int | None = None
    column: str = ""
    sha256: str = ""

    def __str__(self) -> str:
        """What tells this image from all others: its name, and the row where many share one file."""
        return self.name if self.row is None else f"{self.name} row {self.row}"

    @property
    def in_container(self) -> bool:
        """Whether the input's reader found the image inside a file of many."""
        return self.byte_range is not None or self.row is not None

    def at(self) -> Row:
        """The place inside the container, as JSON."""
        found: Row = {}
        if self.byte_range is not None:
            found["range"] = list(self.byte_range)
        if self.row is not None:
            found |= {"row": self.row, "column": self.column}
        return found

    def meta(self) -> Row:
        """What `meta_info` of an output row holds, so that the image can be read later; nothing for a plain file."""
        named = {"image_range": self.byte_range and list(self.byte_range), "image_row": self.row}
        return {name: value for name, value in named.items() if value is not None}


def ref_at(name: str, at: Row) -> ImageRef:
    """The image of that name at the place that `ImageRef.at` gave."""
    offset_size = at.get("range")
    return ImageRef(
        name, (offset_size[0], offset_size[1]) if offset_size else None, at.get("row"), at.get("column", "")
    )


def ref_of(row: Row) -> ImageRef:
    """The image of a row between steps."""
    return ref_at(row["image"], row.get("image_at") or {})


def ref_in_output(name: str, meta: Row, column: str) -> ImageRef:
    """The image of an output row. `column`: where the run's rows had their images. Raises TypeError, ValueError."""
    byte_range, row, sha256 = (meta.get(f"image_{name}") for name in ("range", "row", "sha256"))
    if byte_range is not None:
        offset, size = byte_range
        return ImageRef(name, (int(offset), int(size)))
    if row is None:
        return ImageRef(name)
    return ImageRef(name, row=int(row), column=column, sha256=str(sha256 or ""))


def with_place(text: bytes, ref: ImageRef) -> bytes:
    """A row's text, as a reader of containers gives it: with the place of its image before it."""
    return b"%s%s\0%s" % (_MARK, dumps(ref.at()), text)


def without_place(text: bytes) -> tuple[bytes, dict[str, Any]]:
    """A row's own text, and the place of its image in its container (empty for a row of any other reader)."""
    if not text.startswith(_MARK):
        return text, {}
    at, _, own = text.removeprefix(_MARK).partition(b"\0")
    return own, loads(at)
