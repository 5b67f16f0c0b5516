"""The job that every contestant does: a picture's regions, marks and question; RegionCap's own functions, no Prefect.

A row is what `throughput.make_photos` writes: `image` (a path beside the listing), `n` (its number), and for half of
the rows `bbox`. What a contestant does with these functions, and when, is its own affair.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

from regioncap.captioners.prompts import Prompts, form_of_answer
from regioncap.config.model import RegionCapConfig
from regioncap.registry import EXTRACTORS, load
from regioncap.vision.boxes import drop_reason, normalize_xywh
from regioncap.vision.drawing import draw_marks
from regioncap.vision.extraction import FINDER_MAX_LONG_SIDE, FINDER_MIN_LONG_SIDE, find_regions
from regioncap.vision.images import Picture, encode_jpeg

MODEL = "fake-vlm"
IN_FLIGHT = 37
"""Requests under way: 15 % more than the server's 32 slots, as many as RegionCap's own limit keeps there."""

DEFAULTS: dict[str, Any] = {name: field.default for name, field in RegionCapConfig.model_fields.items()}
SAMPLING = {"max_tokens": DEFAULTS["max_tokens"], "temperature": DEFAULTS["temperature"]}
_PROMPTS = Prompts.of(RegionCapConfig(input="photos.jsonl", endpoint="http://localhost/v1", model=MODEL))
SYSTEM = _PROMPTS.system_text(1, {}, [])
_FIND = load(EXTRACTORS[DEFAULTS["extractor"]])


def rows_of(listing: str) -> list[dict[str, Any]]:
    """The rows of the input, with paths that can be opened."""
    folder = Path(listing).parent
    rows = [json.loads(line) for line in Path(listing).read_text().splitlines()]
    return [{**row, "image": str(folder / row["image"])} for row in rows]


def draw(image: str, bbox: list[list[float]] | None) -> tuple[bytes, str] | None:
    """The marked JPEG and the question of one row; None for a picture in which no region is found."""
    picture = Picture(Path(image).read_bytes(), max_image_pixels=DEFAULTS["max_image_pixels"])
    picture.check()
    size = (picture.info.width, picture.info.height)
    if bbox is None:
        seen = picture.pixels(long_side=FINDER_MAX_LONG_SIDE, min_side=FINDER_MIN_LONG_SIDE, keep_full_size=True)
        most, least = DEFAULTS["max_boxes"], DEFAULTS["min_score"]
        bbox = find_regions(seen, _FIND, max_boxes=most, min_score=least, full_size_wh=size).tolist()
    boxes = [box for box in bbox if not drop_reason(box, *size)]
    if not boxes:
        return None
    for box in boxes:
        normalize_xywh(box, *size)
    pixels = picture.pixels(max_pixels=DEFAULTS["max_pixels"])
    marked = draw_marks(pixels, boxes, full_size_wh=size, dim=DEFAULTS["dim"], copy=False)
    form = form_of_answer(range(1, len(boxes) + 1), json=False)
    return encode_jpeg(marked, DEFAULTS["jpeg_quality"]), f"{_PROMPTS.marks_text(len(boxes), {}, [])}\n\n{form}"


def messages(jpeg: bytes, question: str) -> list[dict[str, Any]]:
    """The messages of a chat completion request, the picture as a data URL."""
    url = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]


def arguments() -> tuple[str, Path, str]:
    """A contestant's command line: the listing, a folder for all that it writes, the server's base URL."""
    listing, folder, url = sys.argv[1:]
    return listing, Path(folder), url


def say(**times: float) -> None:
    """Tell `peers.py` when the job `begun` and `ended`."""
    print(json.dumps(times), flush=True)


def now() -> float:
    """Seconds since 1970."""
    return time.time()
