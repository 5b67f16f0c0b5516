"""What the editing mode of a page needs to know of a row: which image and boxes it is about, and the exact texts.

The mode itself is `drafts.js` and `editing.js`; what it saves is read by a run's `--edits`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from regioncap.output.reading import Captioned
from regioncap.records import Row, dumps
from regioncap.report.card_picture import CardPicture

EXACT_BYTES = 30_000_000
"""Maximum size of all captions of a page that it holds a second time, since what is shown of them is not exact."""

MIN_EXACT, MAX_EXACT = 20_000, 1_000_000
"""Bounds of their size for one picture, in bytes."""

UNREAD = "The image could not be read when this page was made, and the output does not say which it was."
REPLACED = "The image is no longer the one that was captioned."
TOO_LONG = "Too long for a page of so many pictures; make one of fewer (--where, --rows)."


def exact_budget(count: int) -> int:
    """The bytes available for exact captions of one picture on a page of `count`."""
    return min(MAX_EXACT, max(MIN_EXACT, EXACT_BYTES // max(count, 1)))


def edit_target(recorded: str | None, picture: CardPicture) -> Row:
    """What edits of a row are kept for: `sha256` of its image, or why it cannot be edited (`locked`). `recorded`: the
    sha256 of the image that was captioned, where the output has it."""
    if recorded and picture.sha256 and recorded != picture.sha256:
        return {"sha256": "", "locked": REPLACED}
    sha256 = recorded or picture.sha256
    return {"sha256": sha256, "locked": "" if sha256 else UNREAD}


@dataclass
class ExactTexts:
    """The captions of one picture that a page cannot show as they are, as JSON, as long as there is `room` (bytes)."""

    room: int
    used: int = field(default=0, init=False)

    def of(self, caption: str, shown: str) -> Row:
        """`exact`: the caption as ASCII JSON where what is shown of it is not exact, else ""; `locked`: why it cannot
        be edited."""
        if caption == shown and not any("\ud800" <= sign <= "\udfff" for sign in caption):
            return {"exact": "", "locked": ""}
        exact = json.dumps(caption)
        if self.used + len(exact) > self.room:
            return {"exact": "", "locked": TOO_LONG}
        self.used += len(exact)
        return {"exact": exact, "locked": ""}


def edit_region(row: Captioned, place: int) -> Row:
    """`box`: the region's xywh as JSON, digit for digit; `edited`: approved, edited, renewed, or "".

    A caption that took the place of a rejected one is `renewed`: nobody has decided on it.
    """
    mark = str(row.edited[place] or "")
    return {"box": dumps(row.bbox[place]).decode(), "edited": "renewed" if mark == "rejected" else mark}


def edit_content(card: Row) -> bytes:
    """What of a card edits are about: the same for cards of the same image, boxes and captions."""
    return dumps([card["sha256"], [[region["box"], region["caption"]] for region in card["regions"]]])
