"""LLaVA training conversations: https://github.com/haotian-liu/LLaVA/blob/main/docs/Finetune_Custom_Data.md.

The questions are those of LLaVA-1.5's region data (Visual Genome, RefCOCO).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from regioncap.exports.base import Array, Coords, ExportOptions, ExportResult, Rows
from regioncap.exports.coco import image_id_of
from regioncap.output.reading import Captioned
from regioncap.records import Row, dumps
from regioncap.storage.filesystem import Place
from regioncap.vision.boxes import clip_xywh

BOX_TO_TEXT = "Please provide a short description for this region: {box}."
TEXT_TO_BOX = "Please provide the bounding box coordinate of the region this sentence describes: {text}"
IMAGE = "<image>"
_TOKEN = re.compile(r"<(/?(?:image|im_start|im_end|im_patch|s))>", re.IGNORECASE)
"""Tokens with a meaning to the trainer: one `<image>` too many breaks a batch."""


def write_llava(rows: Rows, out: Place, setting: ExportOptions) -> ExportResult:
    """Write one JSON array with a conversation per picture and a turn per region. Boxes are xyxy corners, clipped to
    the picture, as fractions of its width and height with 3 decimals, as 0 to 1000, or in pixels."""
    done = ExportResult(files=[out.url])
    with out.writer() as file:
        conversations = Array(file)
        for row in rows():
            conversation = done.made(row, partial(_made, row, setting))
            if conversation is not None:
                conversations.add(conversation)
                done.count(row)
        conversations.close()
        file.write(b"\n")
    return done


def _made(row: Captioned, setting: ExportOptions) -> bytes:
    return dumps(_conversation(row, setting))


def _conversation(row: Captioned, setting: ExportOptions) -> Row:
    turns = list(_turns(row, setting))
    turns[0]["value"] = f"{IMAGE}\n{turns[0]['value']}"
    given = row.row.get("id", image_id_of(row))
    return {"id": str(row.number if given is None else given), "image": str(row.ref), "conversations": turns}


def _turns(row: Captioned, setting: ExportOptions) -> Iterator[dict[str, Any]]:
    for box, caption in zip(row.bbox, row.captions, strict=True):
        place, text = corners(box, row.width, row.height, setting.coords), _TOKEN.sub(r"\1", caption)
        question, answer = BOX_TO_TEXT.format(box=place), text
        if setting.direction == "text2box":
            question, answer = TEXT_TO_BOX.replace("{text}", text), place
        yield {"from": "human", "value": question}
        yield {"from": "gpt", "value": answer}


def corners(box: list[float], width: int, height: int, coords: Coords) -> str:
    """`[x1, y1, x2, y2]` of an xywh pixel box on a picture of `width` x `height`.

    >>> corners([64, 120, 128, 240], 640, 480, "0-1"), corners([64, 120, 128, 240], 640, 480, "0-1000")
    ('[0.100, 0.250, 0.300, 0.750]', '[100, 250, 300, 750]')
    """
    x, y, w, h = clip_xywh(box, width, height)
    if coords == "px":
        return f"[{round(x)}, {round(y)}, {round(x + w)}, {round(y + h)}]"
    parts = (x / width, y / height, (x + w) / width, (y + h) / height)
    if coords == "0-1000":
        return "[" + ", ".join(str(round(1000 * part)) for part in parts) + "]"
    return "[" + ", ".join(f"{part:.3f}" for part in parts) + "]"
