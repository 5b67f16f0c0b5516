"""The samples of a WebDataset tar, and the row that each becomes.

The rules are those of the `webdataset` library: a sample is a run of members with one key, their path up to the first
dot of its last part; what follows is the member's extension.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from regioncap.image_ref import ImageRef, tar_name, with_place
from regioncap.inputs.sharding import MAX_BYTES
from regioncap.inputs.streams import KEPT_BYTES, row_text
from regioncap.records import dumps, loads_given, not_a_row, shorten
from regioncap.storage.tar_headers import Member
from regioncap.vision.headers import EXTENSIONS

JSON_EXTENSION = "json"
TEXT_EXTENSIONS = frozenset({"txt", "text", "caption", "cls"})

KEY = "__key__"
"""The row's key for the key of its sample, named as `webdataset` does."""

_KEY_AND_EXTENSION = re.compile(r"((?:.*/)?[^./]+)\.([^/]*)", re.DOTALL)
_META = re.compile(r"__[^/]*__($|/)")
"""Names of members that are about the tar, as `webdataset` has them."""


@dataclass
class Sample:
    """Members with one key. `members`: by extension, in the order of the tar."""

    key: str
    members: dict[str, Member] = field(default_factory=dict)


def key_and_extension(name: str) -> tuple[str, str] | None:
    """The key and the extension of a member, in lower case; None for one that belongs to no sample.

    >>> key_and_extension("train/0001.seg.PNG")
    ('train/0001', 'seg.png')
    """
    found = None if _META.match(name) else _KEY_AND_EXTENSION.fullmatch(name)
    return (found[1], found[2].lower()) if found else None


def is_read(member: Member) -> bool:
    """Whether a member's bytes become part of a row's text."""
    known = key_and_extension(member.name)
    return known is not None and _is_field(known[1]) and member.size <= MAX_BYTES


def samples_of(members: Iterable[Member], left_out: Counter[str]) -> Iterator[Sample]:
    """The samples of a tar that hold an image or a field. Members that no row has are counted by kind in `left_out`.

    An extension that comes once more begins another sample of the same key.
    """
    sample = Sample("")
    for member in members:
        known = key_and_extension(member.name) if member.is_file else None
        if known is None or not (_is_image(known[1]) or _is_field(known[1])):
            if not member.is_folder:
                left_out[_kind(member.name) if member.is_file else "links"] += 1
            continue
        key, extension = known
        if sample.members and (key != sample.key or extension in sample.members):
            yield sample
            sample = Sample("")
        sample.key = key
        sample.members[extension] = member
    if sample.members:
        yield sample


def text_of(sample: Sample, container: str, image_key: str) -> bytes:
    """The text of a sample's row, with the place of its image. `container`: path or URL of the tar."""
    for extension, member in sample.members.items():
        if _is_field(extension) and member.data is None:
            what = f"a .{extension} of {member.size:,} bytes; expected at most {MAX_BYTES:,}"
            return not_a_row(f"the sample {shorten(sample.key)} holds {what}")
    broken, row = _fields(sample)
    chosen = _image(sample, image_key)
    if isinstance(chosen, str):
        return not_a_row(chosen, dumps(row)[:KEPT_BYTES])
    place = ImageRef(tar_name(chosen.name, container), (chosen.offset, chosen.size))
    text = row_text({**row, image_key: place.name, KEY: sample.key}) if broken is None else broken
    return with_place(text, place)


def _fields(sample: Sample) -> tuple[bytes | None, dict[str, Any]]:
    """The text of the first member that should be JSON and is not, or None; and the keys and values of all others."""
    broken: bytes | None = None
    row: dict[str, Any] = {}
    for extension, member in sample.members.items():
        if not _is_field(extension):
            continue
        data = (member.data or b"").removeprefix(b"\xef\xbb\xbf")
        if extension.rpartition(".")[2] != JSON_EXTENSION:
            row[extension] = data.decode("utf-8", "replace")
            continue
        try:
            found = loads_given(data)
        except ValueError:
            broken = broken or data.replace(b"\n", b" ") or b" "
            continue
        row |= found if extension == JSON_EXTENSION and isinstance(found, dict) else {extension: found}
    return broken, row


def _image(sample: Sample, image_key: str) -> Member | str:
    """The member that is the sample's image, or what is wrong with it, in words.

    The one whose extension is `image_key`; else the one whose extension has a single part (`jpg`, not `seg.png`); else
    the only one.
    """
    images = {extension: member for extension, member in sample.members.items() if _is_image(extension)}
    plain = {extension: member for extension, member in images.items() if "." not in extension}
    if image_key.lower() in images:
        return images[image_key.lower()]
    for some in (plain, images):
        if len(some) == 1:
            return next(iter(some.values()))
    names = ", ".join(images or sample.members)
    if images:
        return (
            f"the sample {shorten(sample.key)} holds {len(images)} images: {names[:200]}; choose one by its extension: "
            f"image_key={next(iter(plain or images))}"
        )
    return (
        f"the sample {shorten(sample.key)} holds no image, but {names[:200]}; expected the members of a sample one "
        "after another, with one name up to the first dot"
    )


def _is_image(extension: str) -> bool:
    return f".{extension.rpartition('.')[2]}" in EXTENSIONS


def _is_field(extension: str) -> bool:
    last = extension.rpartition(".")[2]
    return last == JSON_EXTENSION or last in TEXT_EXTENSIONS


def _kind(name: str) -> str:
    return PurePosixPath(name.lower()).suffix or "without extension"
