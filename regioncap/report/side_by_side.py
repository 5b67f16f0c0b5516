"""The page of a comparison: the same pictures, and beside each what became of its regions under every setting.

Self-contained and without a script; all that comes from rows, models and options is escaped.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import regioncap
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.output.pictures import Pictures
from regioncap.output.reading import Captioned
from regioncap.records import Row, dumps
from regioncap.report.card_picture import card_picture
from regioncap.report.cards import MAX_NAME_CHARS, MAX_RAW_CHARS, caption_budget, cut, picture_of, shown
from regioncap.report.page import embedded, environment, policy_of
from regioncap.report.source import ReportOptions
from regioncap.row_work import row_work
from regioncap.storage.filesystem import Place
from regioncap.storage.row_images import readable_name
from regioncap.storage.urls import redact_url
from regioncap.vision.drawing import PALETTE_RGB
from regioncap.vision.libraries import image_libraries

STYLES = ("report.css", "side_by_side.css")


@dataclass(frozen=True)
class Side:
    """What one setting made of the rows. `rows`, `rejects` (code, message, image): by their number in the sample.
    `note`: what is to be known about it; `stopped`: why it has no rows; "" where there is nothing to say."""

    name: str
    rows: Mapping[int, Captioned]
    rejects: Mapping[int, Row]
    note: str = ""
    stopped: str = ""


@dataclass(frozen=True)
class SideBySide:
    """A comparison. `figures`: (name, one text per side). `words`: what they mean, a sentence each."""

    title: str
    sides: Sequence[Side]
    figures: Sequence[tuple[str, Sequence[str]]]
    words: Sequence[str] = field(default_factory=list)

    def numbers(self) -> list[int]:
        """The numbers of all rows that any side has."""
        return sorted({number for side in self.sides for number in (*side.rows, *side.rejects)})


@image_libraries
def write_side_by_side(page: SideBySide, config: RegionCapConfig, pictures: Pictures, out: Place) -> int:
    """Write the page to `out`, all or nothing, and return its size in bytes. `config`: of any of the sides. Raises
    StorageError."""
    options = ReportOptions(page.title, config, pictures)
    size = 0
    with out.writer() as file:
        for text in _render(page, _cards(page, options)):
            size += file.write(text.encode("utf-8", "replace"))
    return size


def _render(page: SideBySide, cards: Iterable[Row]) -> Iterator[str]:
    style, style_hash = embedded(*STYLES)
    begin, card = (environment().get_template(f"{name}.html.j2") for name in ("side_by_side", "side_by_side_card"))
    yield begin.render(
        title=page.title,
        made=dt.datetime.now(dt.UTC).strftime("created %Y-%m-%d %H:%M UTC"),
        policy=policy_of(style_hash),
        style=style,
        version=regioncap.__version__,
        sides=page.sides,
        figures=page.figures,
        words=page.words,
    )
    sides = _carried_through(page)
    for one in cards:
        yield card.render(card=one, sides=sides)
        yield "\n"
    yield "</main>\n</body>\n</html>\n"


def _cards(page: SideBySide, options: ReportOptions) -> Iterator[Row]:
    numbers = page.numbers()
    for number in numbers:
        try:
            with row_work("compare", f"row {number}"):
                yield _card(_carried_through(page), number, options, len(numbers))
        except RowReject as reject:
            yield {**_plain_card(number), "gone": shown(reject.message, MAX_NAME_CHARS)}


def _carried_through(page: SideBySide) -> list[Side]:
    """The sides that have something to show beside the pictures."""
    return [side for side in page.sides if not side.stopped]


def _plain_card(number: int) -> Row:
    return {"number": number, "image": "", "thumb": "", "gone": "", "boxes": [], "regions": [], "rejects": {}}


def _card(sides: Sequence[Side], number: int, options: ReportOptions, count: int) -> Row:
    rows = {place: side.rows[number] for place, side in enumerate(sides) if number in side.rows}
    rejects = {place: side.rejects[number] for place, side in enumerate(sides) if number in side.rejects}
    card = {**_plain_card(number), "rejects": {place: _reject(reject) for place, reject in rejects.items()}}
    if not rows:
        image = next((str(reject.get("image", "")) for reject in rejects.values()), "")
        return {**card, "image": _name(image), "gone": "rejected under every setting"}
    first = next(iter(rows.values()))
    boxes = list({dumps(box): box for row in rows.values() for box in row.bbox}.values())
    picture = card_picture(first.ref, first, options, count)
    room = caption_budget(count) // max(1, len(boxes) * len(sides))
    return {
        **card,
        **picture_of(picture, dict(enumerate(boxes, start=1)), (first.width, first.height)),
        "image": _name(str(first.ref)),
        "regions": [_region(at, box, rows, room) for at, box in enumerate(boxes)],
    }


def _name(image: str) -> str:
    return shown(redact_url(readable_name(image)), MAX_NAME_CHARS)


def _reject(reject: Row) -> dict[str, str]:
    return {"code": shown(reject.get("code"), 40), "message": shown(reject.get("message"), MAX_RAW_CHARS)}


def _region(at: int, box: Sequence[float], rows: Mapping[int, Captioned], room: int) -> Row:
    """The region with this box: by the place of each side that captioned the row, its caption or None."""
    cells: dict[int, Any] = {}
    for place, row in rows.items():
        index = row.bbox.index(box) if box in row.bbox else None
        if index is None:
            cells[place] = None
            continue
        caption, whole = cut(row.captions[index], room)
        cells[place] = {"caption": caption, "cut": whole, "flags": row.flags[index]}
    first = next((cell["caption"] for cell in cells.values() if cell is not None), "")
    for place, cell in cells.items():
        if cell is not None:
            cell["same"] = cell["caption"] == first and place != next(iter(cells))
    return {"n": at + 1, "colour": at % len(PALETTE_RGB), "cells": cells}
