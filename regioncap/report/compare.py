"""Compares two runs: finds for every row of one (A) what the other (B) made of the same picture."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef
from regioncap.inputs.grouping import Lookup
from regioncap.output.reading import Captioned
from regioncap.records import Row, dumps, loads
from regioncap.report.cards import changed_words, cut
from regioncap.report.source import NOT_YET, Source, reject_image
from regioncap.row_work import row_work

Change = Literal["same", "changed", "reject_gained", "reject_lost", "only_here", "not_yet"]

CHANGES: dict[Change, str] = {
    "changed": "captions, regions or reject code differ from B",
    "same": "the same captions, or the same reject code",
    "reject_gained": "rejected here, captioned in B",
    "reject_lost": "captioned here, rejected in B",
    "only_here": "B has no row with this picture",
    "not_yet": "not captioned by this run yet",
}


@dataclass
class Other:
    """The other run's result for a picture: parallel lists of `boxes` (xywh as JSON), `captions` and `flags`; or `code`
    and `message` of a reject."""

    boxes: list[bytes]
    captions: list[str]
    flags: list[list[str]]
    code: str
    message: str

    def flag_names(self) -> list[str]:
        """The flags of any of its regions."""
        return list(dict.fromkeys(name for names in self.flags for name in names))


@dataclass
class Comparison:
    """Counts over all rows of both runs. `words`: changed words; `only_there`: rows of B whose picture A lacks; of B
    also its flags and reject codes."""

    changes: Counter[str] = field(default_factory=Counter)
    captions_same: int = 0
    captions_changed: int = 0
    words: int = 0
    flags_before: Counter[str] = field(default_factory=Counter)
    flagged_before: int = 0
    codes_before: Counter[str] = field(default_factory=Counter)
    only_there: int = 0


class Against:
    """The rows of B, looked up by picture; each is returned only once."""

    def __init__(self, source: Source, image_key: str) -> None:
        self._lookup = Lookup()
        self.flags: Counter[str] = Counter()
        self.flagged = 0
        self.codes: Counter[str] = Counter()
        for row in source.rows():
            with contextlib.suppress(RowReject), row_work("report", row.image):
                entry = {"boxes": row.bbox, "captions": row.captions, "flags": row.flags}
                key, exact, text = _key(row.ref), dumps(row.bbox), dumps(entry)
                self.flagged += sum(map(bool, row.flags))
                for names in row.flags:
                    self.flags.update(names)
                self._lookup.put(key, exact, text)
        for reject in source.rejects():
            code, message = str(reject.get("code")), str(reject.get("message"))
            self.codes[code] += 1
            entry = {"code": code, "message": message}
            self._lookup.put(_key(reject_image(reject, image_key)), b"", dumps(entry))

    def of_row(self, row: Captioned) -> Other | None:
        """B's result for the picture of a captioned row, preferably one with the same boxes; None if there is none."""
        return _other(self._lookup.take(_key(row.ref), dumps(row.bbox)))

    def of_reject(self, image: ImageRef | None) -> Other | None:
        """B's result for the picture of a rejected row; None if there is none."""
        return _other(self._lookup.take(_key(image), b""))

    def left(self) -> int:
        """The number of rows of B that were never looked up."""
        return self._lookup.count()


def _key(image: ImageRef | None) -> bytes:
    return str(image or "").encode("utf-8", "surrogatepass")


def _other(text: bytes | None) -> Other | None:
    if text is None:
        return None
    entry: dict[str, Any] = loads(text)
    boxes = [dumps(box) for box in entry.get("boxes", [])]
    captions, flags = entry.get("captions", []), entry.get("flags", [])
    return Other(boxes, captions, flags, entry.get("code", ""), entry.get("message", ""))


def change_of_row(row: Captioned, other: Other | None) -> Change:
    """How a captioned row differs from B's result for it."""
    if other is None:
        return "only_here"
    if other.code:
        return "reject_lost"
    same = other.captions == row.captions and other.boxes == [dumps(box) for box in row.bbox]
    return "same" if same else "changed"


def change_of_reject(code: str, other: Other | None) -> Change:
    """How a rejected row differs from B's result for it."""
    if code == NOT_YET:
        return "not_yet"
    if other is None:
        return "only_here"
    if not other.code:
        return "reject_gained"
    return "same" if other.code == code else "changed"


def pairs(row: Captioned, other: Other) -> Iterator[tuple[int, int | None]]:
    """Pair every region with one of B that has the same box: yield (index in A, index in B or None)."""
    free = dict(enumerate(other.boxes))
    for place, box in enumerate(row.bbox):
        found = next((there for there, its in free.items() if its == dumps(box)), None)
        if found is not None:
            del free[found]
        yield place, found


def words_changed(row: Captioned, other: Other) -> tuple[int, int, int]:
    """The numbers of (equal captions, changed captions, changed words)."""
    same = changed = words = 0
    for here, there in pairs(row, other):
        was = other.captions[there] if there is not None else ""
        if was == row.captions[here]:
            same += 1
        else:
            changed += 1
            words += changed_words(was, row.captions[here])[1]
    return same, changed, words


def add_comparison(card: Row, row: Captioned, other: Other | None, change: Change, room: int) -> None:
    """Add the other run's captions to a card, in place. `room`: bytes available for its captions."""
    card["change"], card["changed"] = change, 0
    if other is None:
        return
    card["flags_before"] = other.flag_names()
    if other.code:
        card["code_before"], card["message_before"] = other.code, other.message
        return
    each, paired = room // max(1, len(row.bbox)), 0
    for here, there in pairs(row, other):
        region = card["regions"][here]
        paired += there is not None
        was = other.captions[there] if there is not None else ""
        if there is not None:
            region["flags_before"] = other.flags[there]
        if was != row.captions[here]:
            region["parts"], words = changed_words(cut(was, each)[0], region["caption"])
            card["changed"] += words
    only = len(other.boxes) - paired
    if only:
        card["notes"].append(f"B has {only} more region{'s' if only > 1 else ''} with other boxes")


def add_reject_comparison(card: Row, other: Other | None) -> None:
    """Add to the card of a rejected row what B made of its picture, in place."""
    card["change"], card["changed"] = change_of_reject(card["code"], other), 0
    if other is None:
        return
    card["flags_before"] = other.flag_names()
    if other.code and other.code != card["code"]:
        card["code_before"], card["message_before"] = other.code, other.message
    if other.captions:
        card["notes"].append(f"B has captions for {len(other.captions)} region{'s' if len(other.captions) > 1 else ''}")
