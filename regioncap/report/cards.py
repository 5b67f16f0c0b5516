"""Builds the cards of a page: for every picture, the dict that the template `card.html.j2` renders."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from regioncap.output.reading import Captioned
from regioncap.records import Row, dumps
from regioncap.report.card_picture import CardPicture
from regioncap.report.editable import MIN_EXACT, ExactTexts, edit_region, edit_target
from regioncap.report.thumbs import place_boxes
from regioncap.storage.row_images import readable_name
from regioncap.storage.urls import redact_url
from regioncap.vision.drawing import PALETTE_RGB

TEXT_BYTES = 8_000_000
"""Maximum size of all captions of a page together, as HTML."""

MIN_BYTES, MAX_BYTES = 1_500, 20_000
"""Bounds of the size of one picture's captions, as HTML."""

MIN_CUT_CHARS = 80
"""A caption is never truncated to fewer characters than this."""

MAX_RAW_CHARS = 2_000
MAX_FIELDS = 6
MAX_NAME_CHARS = 300
MAX_DIFF_WORDS = 400
FONT_SHARE = 26
"""The numbers on a picture have 1/26 of the length of its longer side as font size."""

_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")
_WORDS = re.compile(r"\s+|[^\s]+")


def shown(value: Any, most: int) -> str:
    """A value as text of at most `most` characters, without those that HTML does not allow."""
    text = value if isinstance(value, str) else dumps(value).decode("utf-8", "replace")
    text = _UNSEEN.sub("\ufffd", text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def caption_budget(count: int) -> int:
    """The bytes available for the captions of one picture on a page of `count`."""
    return min(MAX_BYTES, max(MIN_BYTES, TEXT_BYTES // max(count, 1)))


def cut(text: str, room: int) -> tuple[str, int]:
    """`text` truncated to `room` bytes of HTML, and its full length in characters; 0 if it was not truncated."""
    text = _UNSEEN.sub("\ufffd", text)
    # No character weighs 6 bytes, so a short text needs no counting.
    if len(text) * 6 <= room or sum(map(_weight, text)) <= room:
        return text, 0
    used = end = 0
    for sign in text:
        used += _weight(sign)
        if used > room and end >= MIN_CUT_CHARS:
            break
        end += 1
    return text[:end].rstrip(), len(text)


def _weight(sign: str) -> int:
    """The bytes of a character in the page, HTML escapes included."""
    return 5 if sign in "<>&\"'" else len(sign.encode("utf-8", "replace"))


def card_of(row: Captioned, order: int, picture: CardPicture, room: int, exact_room: int) -> Row:
    """The card of a captioned row.

    `order`: position on the page. `room`: bytes available for its captions; `exact_room`: for those that are shown
    truncated, once more as they are.
    """
    each, exact = room // max(1, len(row.bbox)), ExactTexts(exact_room)
    longest = max((len(caption) for caption in row.captions), default=0)
    return {
        **picture_of(picture, dict(zip(row.regions, row.bbox, strict=True)), (row.width, row.height)),
        **edit_target(row.meta.get("image_sha256"), picture),
        "id": f"r{row.number}",
        "label": f"#{row.number:,}",
        "order": order,
        "image": shown(redact_url(readable_name(str(row.ref))), MAX_NAME_CHARS),
        "size": f"{row.width} × {row.height}",  # noqa: RUF001 - the multiplication sign
        "kind": row.kind,
        "code": "",
        "flags": list(dict.fromkeys(name for names in row.flags for name in names)),
        "flags_before": [],
        "flagged": sum(map(len, row.flags)),
        "longest": longest,
        "shortest": min((len(caption) for caption in row.captions), default=0),
        "regions": [_region(row, place, each, exact) for place in range(len(row.bbox))],
        "notes": [shown(note, MAX_NAME_CHARS) for note in _notes(row)],
        "raw": shown(row.row, MAX_RAW_CHARS) if row.row else "",
        "change": "",
    }


def reject_card(reject: Row, number: int, order: int, image: str, picture: CardPicture) -> Row:
    """The card of a rejected row, with the captions it received. `number`: position among the rejects, from 1."""
    boxes = dict(enumerate(reject.get("bbox") or (), start=1))
    line = reject.get("line", number)
    return {
        **picture_of(picture, boxes, (int(reject.get("width", 1)), int(reject.get("height", 1)))),
        **(edit_target(reject.get("image_sha256"), picture) if boxes else {"sha256": "", "locked": ""}),
        "id": f"x{number}",
        "label": f"line {line}",
        "order": order,
        "image": shown(redact_url(readable_name(image)), MAX_NAME_CHARS) or "no image",
        "size": f"step {shown(reject.get('step'), 40)}",
        "kind": "",
        "code": shown(reject.get("code"), 40),
        "message": shown(reject.get("message"), MAX_RAW_CHARS),
        "flags": [],
        "flags_before": [],
        "flagged": 0,
        "longest": 0,
        "shortest": 0,
        "regions": _received(reject, boxes),
        "notes": [],
        "raw": shown(reject.get("row"), MAX_RAW_CHARS),
        "change": "",
    }


def _received(reject: Row, boxes: Mapping[int, Sequence[float]]) -> list[Row]:
    """The regions of a rejected row, as far as they are known: those with a box, or with a caption."""
    given = reject.get("captions")
    received = given.items() if isinstance(given, dict) else ()
    captions = {int(key) if str(key).isdigit() else 0: str(text) for key, text in received}
    exact, regions = ExactTexts(MIN_EXACT), []
    for number in sorted({*boxes, *captions}):
        text = captions.get(number, "")
        caption, whole = cut(text, MIN_BYTES)
        box = dumps(boxes[number]).decode() if number in boxes else ""
        own = {"caption": caption, "cut": whole, "box": box, **exact.of(text, caption)}
        regions.append({**_plain_region(number), **own})
    return regions


def picture_of(picture: CardPicture, boxes: Mapping[int, Sequence[float]], size: tuple[int, int]) -> Row:
    """A card's picture with its boxes by number (xywh, in pixels of the picture of `size`), or why it has none."""
    thumb = picture.thumb
    if thumb is None:
        return {"thumb": "", "gone": shown(picture.gone, MAX_NAME_CHARS), "boxes": []}
    font = max(thumb.width, thumb.height) / FONT_SHARE
    placed: list[Row] = [dict(box) for box in place_boxes(thumb, boxes, size, font)]
    for box in placed:
        box["colour"] = (box["n"] - 1) % len(PALETTE_RGB)
    size_on_page = {"width": thumb.width, "height": thumb.height, "font": round(font, 1)}
    return {**size_on_page, "thumb": thumb.data, "gone": "", "boxes": placed}


def _plain_region(number: int) -> Row:
    colour = (number - 1) % len(PALETTE_RGB)
    texts = {"fields": "", "parts": None, "box": "", "exact": "", "edited": "", "locked": ""}
    return {"n": number, "colour": colour, "flags": [], "flags_before": [], "audit": [], **texts}


def _region(row: Captioned, place: int, room: int, exact: ExactTexts) -> Row:
    caption, whole = cut(row.captions[place], room)
    values = {name: values[place] for name, values in row.fields.items()}
    fields = [f"{shown(name, 40)}: {shown(value, 80)}" for name, value in values.items() if value is not None]
    texts = {"caption": caption, "cut": whole, "fields": " · ".join(fields[:MAX_FIELDS]), "flags": row.flags[place]}
    edits = {**edit_region(row, place), **exact.of(row.captions[place], caption)}
    return {**_plain_region(row.regions[place]), **texts, **edits}


def _notes(row: Captioned) -> list[str]:
    dropped = row.meta.get("dropped_bbox") or []
    reasons = ", ".join(dict.fromkeys(str(drop.get("reason")) for drop in dropped))
    notes = [f"{len(dropped)} box{'es' if len(dropped) > 1 else ''} dropped ({reasons})"] if dropped else []
    return [*notes, *map(str, row.meta.get("warnings") or [])]


# --- two runs


def changed_words(was: str, now: str) -> tuple[Row, int]:
    """Both texts split into equal and changed parts, `{"was": [...], "now": [...]}`, and the number of changed words.

    Two texts too long to be diffed are one part each, and the number is an estimate.

    >>> parts, count = changed_words("a red dog", "a brown dog")
    >>> [part["text"] for part in parts["now"] if part["changed"]], count
    (['brown'], 2)
    """
    old, new = _WORDS.findall(was), _WORDS.findall(now)
    if max(len(old), len(new)) > 2 * MAX_DIFF_WORDS:
        whole = {"was": [{"text": was, "changed": was != now}], "now": [{"text": now, "changed": was != now}]}
        return whole, 0 if was == now else abs(len(old) - len(new)) // 2 + 1
    parts: Row = {"was": [], "now": []}
    count = 0
    for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        for side, words in (("was", old[a1:a2]), ("now", new[b1:b2])):
            if words:
                parts[side].append({"text": "".join(words), "changed": tag != "equal"})
                count += sum(not word.isspace() for word in words) if tag != "equal" else 0
    return parts, count
