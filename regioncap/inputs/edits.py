# ruff: noqa: RUF001 - sentences of other scripts are meant here.
"""People's corrections of captions: a JSON Lines file with one edit a line, as the report page saves it.

    {"image_sha256": "5e…", "bbox": [12, 16, 36, 40], "action": "edit", "caption": "A red mug.", …}

An edit belongs to a region by its image's bytes and its box, so that order, names and shards do not matter. A later
line for the same region replaces an earlier one. Further keys (`image`, `region`, `time`) inform people only.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from regioncap.errors import InputDamaged, RowReject, UsageError
from regioncap.inputs.lines import BOM, damage_at
from regioncap.inputs.streams import ReadProgress, open_stream
from regioncap.records import Row, is_number, loads_given, shorten
from regioncap.row_work import row_work
from regioncap.storage.filesystem import Place

Action = Literal["approve", "edit", "reject"]
Mark = Literal["approved", "edited", "rejected"]

MARKS: dict[Action, Mark] = {"approve": "approved", "edit": "edited", "reject": "rejected"}
"""What `meta_info.edited` says of a region, by the action of its edit."""

MAX_CAPTION_CHARS = 20_000
MAX_LINE_BYTES = 1_000_000
MAX_EDITS = 2_000_000
"""About 2 GB of memory."""
MAX_NAMED = 20
"""Wrong lines that a message names; the others are counted."""

EXPECTED = "expected an object with image_sha256, bbox, action and caption"

SAME_BOX_PX = 1e-3
"""Boxes are the same if no number differs by more, in pixels: numbers survive JSON whole, and 32-bit floats nearly."""

Box = tuple[float, float, float, float]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LABEL = re.compile(r"(?:^|[.!?。！？…])\s*<\s*region[\s_]*\d+\s*>", re.IGNORECASE)
_LINE_BREAK = re.compile("[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")
"""Control characters, signs that turn the direction of what follows, and halves of surrogate pairs."""


@dataclass(frozen=True)
class Edit:
    """A person's decision on one region's caption.

    `line`: where it stands in its file, from 1. `bbox`: xywh in pixels, as `meta_info.bbox` of an output row.
    `caption`: the text approved, the new text, or the text rejected. `text`: the line as it was read.
    """

    line: int
    image_sha256: str
    bbox: Box
    action: Action
    caption: str
    text: bytes

    @property
    def mark(self) -> Mark:
        """What `meta_info.edited` says of its region."""
        return MARKS[self.action]

    @property
    def final(self) -> bool:
        """Whether it says what the caption is; else it says what it must not be."""
        return self.action != "reject"

    def rejects(self, caption: str) -> bool:
        """Whether `caption` is the one that was rejected; white space does not count."""
        return not self.final and caption.split() == self.caption.split()

    def fits(self, bbox: Box) -> bool:
        """Whether the region with this box is meant."""
        return all(abs(one - other) <= SAME_BOX_PX for one, other in zip(self.bbox, bbox, strict=True))


class Edits:
    """The edits of one file. `sha256`: of its text, decompressed; "" for no file."""

    def __init__(self, edits: Sequence[Edit] = (), sha256: str = "") -> None:
        self.sha256 = sha256
        self._by_image: dict[str, dict[Box, Edit]] = {}
        for edit in edits:
            of_image = self._by_image.setdefault(edit.image_sha256, {})
            of_image.pop(edit.bbox, None)  # so that the latest comes last
            of_image[edit.bbox] = edit

    def __len__(self) -> int:
        return sum(len(of_image) for of_image in self._by_image.values())

    def __iter__(self) -> Iterator[Edit]:
        for of_image in self._by_image.values():
            yield from of_image.values()

    def fitting(self, row: Row) -> Iterator[tuple[int, Edit]]:
        """(region number from 1, edit) of a row from `normalize` on, region by region; of a region the latest comes
        last."""
        of_image = self._by_image.get(row.get("image_sha256", ""))
        for number, box in enumerate(row["bbox"] if of_image else (), start=1):
            place = _box(box)
            yield from ((number, edit) for edit in (of_image or {}).values() if edit.fits(place))

    def of_row(self, row: Row) -> dict[int, Edit]:
        """The edits of a row from `normalize` on, by region number from 1."""
        return dict(self.fitting(row))


def _box(numbers: Sequence[float]) -> Box:
    x, y, w, h = map(float, numbers)
    return x, y, w, h


def read_edits(place: Place) -> Edits:
    """The edits in a file, plain or compressed.

    Raises UsageError that names every wrong line with what was expected, and for what is no such file; StorageError.
    """
    edits: list[Edit] = []
    wrong: list[str] = []
    digest = hashlib.sha256()
    for number, line in _lines_of(place):
        digest.update(line)
        try:
            if line.strip():
                edits.append(_edit_of(number, line))
        except ValueError as error:
            wrong.append(f"line {number}: {error}")
        if len(edits) > MAX_EDITS:
            raise UsageError(f"edits: {place.url} has more than {MAX_EDITS:,} lines; expected a file of corrections")
    if wrong:
        more = f"\n… and {len(wrong) - MAX_NAMED:,} more" if len(wrong) > MAX_NAMED else ""
        lines = "1 wrong line" if len(wrong) == 1 else f"{len(wrong):,} wrong lines"
        raise UsageError(f"edits: {place.url} has {lines}; fix or remove:\n" + "\n".join(wrong[:MAX_NAMED]) + more)
    return Edits(edits, digest.hexdigest())


def _lines_of(place: Place) -> Iterator[tuple[int, bytes]]:
    """(number from 1, text) of each line; of one that is too long, only its begin. Raises UsageError, StorageError."""
    if place.size() is None or place.is_folder():
        raise UsageError(
            f"edits: there is no file {place.url}; expected one that the report page saved (….edits.jsonl)"
        )
    number = 1
    try:
        with open_stream(place, ReadProgress()) as stream, damage_at(place, lambda: f"line {number}"):
            line = stream.readline(MAX_LINE_BYTES + 1).removeprefix(BOM)
            while line:
                if len(line) > MAX_LINE_BYTES:
                    _skip_line(stream, line)
                yield number, line
                number += 1
                line = stream.readline(MAX_LINE_BYTES + 1)
    except InputDamaged as error:
        raise UsageError(f"edits: {error.url} is damaged at {error.place}: {error.reason}; save it again") from None


def _skip_line(stream: io.BufferedReader[Any], begin: bytes) -> None:
    piece = begin
    while piece and not piece.endswith(b"\n"):
        piece = stream.readline(MAX_LINE_BYTES)


def _edit_of(number: int, line: bytes) -> Edit:
    """The edit on a line. Raises ValueError, in words, for a wrong one."""
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES:,} bytes; expected one edit a line")
    try:
        with row_work("edits", f"line {number}"):
            row = _object_in(line)
            action = _action_of(row)
            caption = _caption_of(row, action)
            return Edit(number, _sha256_of(row), _bbox_of(row), action, caption, line.strip())
    except RowReject as reject:
        raise ValueError(reject.message) from None


class _Wrong(RowReject):
    """What is wrong with a line."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_row", message)


def _object_in(line: bytes) -> Mapping[str, Any]:
    try:
        row = loads_given(line)
    except ValueError:
        raise _Wrong(f"not JSON; {EXPECTED}, got {shorten(line.strip().decode('utf-8', 'replace'))}") from None
    if not isinstance(row, dict):
        raise _Wrong(f"{EXPECTED}, got {shorten(row)}")
    return row


def _action_of(row: Mapping[str, Any]) -> Action:
    action = row.get("action")
    if isinstance(action, str) and action in MARKS:
        return action
    raise _Wrong(f"action: expected approve, edit or reject, got {shorten(action)}")


def _sha256_of(row: Mapping[str, Any]) -> str:
    sha256 = row.get("image_sha256")
    if isinstance(sha256, str) and _SHA256.fullmatch(sha256.lower()):
        return sha256.lower()
    raise _Wrong(f"image_sha256: expected 64 hex digits, as meta_info.image_sha256 has them, got {shorten(sha256)}")


def _bbox_of(row: Mapping[str, Any]) -> Box:
    bbox = row.get("bbox")
    if isinstance(bbox, list) and len(bbox) == 4 and all(map(is_number, bbox)) and bbox[2] > 0 and bbox[3] > 0:
        return _box(bbox)
    raise _Wrong(f"bbox: expected [x, y, width, height] in pixels, as meta_info.bbox has it, got {shorten(bbox)}")


def _caption_of(row: Mapping[str, Any], action: Action) -> str:
    caption = row.get("caption")
    if not isinstance(caption, str):
        raise _Wrong(f"caption: expected text, got {shorten(caption)}")
    caption = caption.strip()
    problem = "expected text, got an empty one" if not caption else action != "reject" and problem_of(caption)
    if problem:
        raise _Wrong(f"caption: {problem}")
    return caption


def problem_of(caption: str) -> str:
    """What a person may not write as a caption, in words; "" for one that is as it should be.

    >>> problem_of("A red mug."), problem_of("A mug. <region2> A spoon.")
    ('', 'expected no label of a region at the beginning of a sentence, got '<region2>'')
    """
    if len(caption) > MAX_CAPTION_CHARS:
        return f"expected at most {MAX_CAPTION_CHARS:,} characters, got {len(caption):,}"
    if found := _LINE_BREAK.search(caption):
        return f"expected one line, got a line break (U+{ord(found[0]):04X}) after {shorten(caption[: found.start()])}"
    if found := _NO_TEXT.search(caption):
        return f"expected no control characters, got U+{ord(found[0]):04X} after {shorten(caption[: found.start()])}"
    if found := _LABEL.search(caption):
        label = found[0].lstrip(".!?。！？… ")
        return f"expected no label of a region at the beginning of a sentence, got {shorten(label)}"
    return ""
