"""Outputs to read back, among them one whose rows are up to no good."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_photo

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


@pytest.fixture
def make_output(tmp_path: Path) -> Make:
    """`make_output(rows, rejects=())`: an output file, as it would lie beside its photos."""

    def make(rows: list[dict[str, Any]], rejects: tuple[dict[str, Any], ...] = (), name: str = "out.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / name.replace(".jsonl", ".rejects.jsonl")).write_text(
            "".join(json.dumps(row) + "\n" for row in rejects)
        )
        return path

    return make


@pytest.fixture
def evil(tmp_path: Path, make_output: Make) -> Path:
    """An output with every kind of text that breaks pages and tables."""
    rows = []
    for number, image in enumerate(EVIL_NAMES):
        write_photo(tmp_path / image, number)
        captions = EVIL_CAPTIONS[number * 2 : number * 2 + 2] or ["nothing"]
        fields = {"label": ["</style><b>", "x\0y"][: len(captions)], "score": [0.5, None][: len(captions)]}
        meta = {"region_fields": fields, "flags": [["refusal"], []][: len(captions)]}
        rows.append(output_row(image, captions, id=f"{number:03d}", note="a\0b\r\n'\"<x>", meta=meta))
    rows.append(output_row(EVIL_NAMES[0], EVIL_CAPTIONS[-1:]))
    reject = {"line": 9, "row": {"image": "<b>gone</b>.png"}, "step": "extract", "code": "image_missing",
              "message": "line 9: <script>alert(1)</script>"}  # fmt: skip
    raw = {
        "line": 10,
        "row": '{"image": </pre><script>alert(2)</script>',
        "step": "load",
        "code": "bad_json",
        "message": "x",
    }
    return make_output(rows, (reject, raw))
