"""Output rows to read back, among them some that are up to no good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

LONG = "word " * 20_000
EVIL_NAMES = ['a"b.png', "c'd.png", "<img src=x onerror=alert(1)>.png", "ü 名前.png", "e&amp;f.png"]
EVIL_CAPTIONS = [
    "</script><script>document.title='owned'</script>",
    "\"><img src=x onerror=\"document.title='owned'\">",
    "{{ 7 * 7 }} {% raw %} ${1+1} <%= 1 %>",
    "שלום עולם, \u202egnp.exe\u202c a dog",
    LONG,
    "👩‍👩‍👧‍👦 🏳️‍🌈 a family",
    "=HYPERLINK(\"http://evil\",\"x\")",
    "a,b;c\td \"quoted\" 'single' \\back",
    "line\u2028separator\u0085and\rreturn",
    "<image> <image>",
    "\ud800 half a pair",
]  # fmt: skip


def output_row(image: str, captions: list[str], **more: Any) -> dict[str, Any]:
    """A row as a run writes it, of a picture of 96 x 64 pixels."""
    bbox = [[4 + 2 * n, 5, 20.5, 30] for n in range(len(captions))]
    meta = {
        "type": "with_bbox", "bbox": bbox, "normalized_bbox": [], "image_with_bbox": "",
        "valid_bboxes_num": len(bbox), "bbox_index": list(range(len(bbox))), "dropped_bbox": [], "width": 96,
        "height": 64, "prompt": "What?", "captioner": "openai", "model": "m", "usage": {}, "warnings": [],
    }  # fmt: skip
    meta |= more.pop("meta", {})
    texts = [f"<region{n}> {text}" for n, text in enumerate(captions, 1)]
    return {"image": image, "bbox": bbox, **more, "mdvp_record": texts, "meta_info": meta}


Make = Callable[..., Path]
"""`make_output(rows, rejects=())`: an output file, a fixture."""
