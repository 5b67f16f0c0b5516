"""Keys are promises: whatever was cached under a key is found under it by every later version."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from regioncap.config.model import RegionCapConfig
from regioncap.output.join import key_of, row_format
from regioncap.records import Row, Step
from regioncap.run.context import RunContext
from regioncap.storage.steps import digest
from regioncap.tasks.answers import key_of_answer, request_of
from regioncap.tasks.cached_answer import retry_settings_key
from regioncap.tasks.shard import STEPS
from tests.support.commands import ROOT

GOLDEN = ROOT / "tests" / "golden" / "keys.json"
MODEL = {"captioner": "openai", "model": "m", "endpoint": "http://localhost/v1"}
VARIANTS: dict[str, dict[str, Any]] = {
    "pixels": {},
    "pixels_region_fields": {"region_fields": ["label"], "max_boxes": 25, "image_check": "head", "empty_bbox": "find"},
    "model": MODEL,
    "model_id": {**MODEL, "model_id": "the-model"},
    "focal": {**MODEL, "prompt_mode": "focal", "focal_prompt": "What is {n}, a {kind}?"},
    "auto": {**MODEL, "prompt_mode": "auto", "max_tokens": 100, "max_repairs": 0, "structure": "none"},
    "score": {**MODEL, "box_order": "score", "score_key": "conf", "bbox_key": "boxes", "image_key": "file"},
    "area": {**MODEL, "box_order": "area", "bbox_format": "xyxy", "bbox_unit": "0-1", "rows": "per_box"},
    "many": {**MODEL, "max_boxes": 25, "marks_per_request": 9, "max_image_pixels": 10**6},
    "flags": {**MODEL, "repair_flags": ["refusal", "mentions_mark"], "max_caption_chars": 80},
    "sampling": {**MODEL, "temperature": 0.7, "top_p": 0.9, "top_k": 40, "repetition_penalty": 1.1, "seed": 7},
    "body": {**MODEL, "request_body": {"reasoning_effort": "low", "provider": {"only": ["a"]}}},
    "looks": {**MODEL, "jpeg_quality": 70, "dim": 0.8, "max_pixels": 200_000, "draw_visualization": False},
    "texts": {**MODEL, "prompt": "In {place}: {regions}", "region_prompt": "{n} {label}", "region_fields": ["label"],
              "system_prompt": "Be brief.", "output_key": "c", "record_style": "joined"},
    "paths": {"bbox_key": "objects.bbox", "image_key": "image.path", "region_fields": ["objects.label"]},
    "row_size": {**MODEL, "box_size": "row"},
    "asked": {**MODEL, "extractor": "vlm", "find_coordinates": "0-1000-yxyx", "find": "dog, {kind}"},
    "asked_elsewhere": {"extractor": "vlm", "find_endpoint": "http://localhost/v1", "find_model": "qwen3-vl",
                        "find_fallback": "edges", "find_prompt": "Where is {find}?", "temperature": 0.5},
    "finder": {"extractor": "canny", "min_score": -2.0, "threads": 1, "shard_size": 7},
}  # fmt: skip
ROW: Row = {
    "image": "a.png", "image_sha256": "5e" * 32, "width": 640, "height": 480,
    "marked": {"sha256": "5e" * 32, "width": 640, "height": 480}, "type": "with_bbox",
    "bbox": [[10 * number, 10, 20, 20.5] for number in range(12)], "valid_bboxes_num": 12,
    "fields": {"place": "a zoo", "kind": "cat"}, "region_fields": [{"label": "cat"}] * 12,
}  # fmt: skip


def keys(**settings: Any) -> dict[str, str]:
    """The keys of the six steps, of an answer, of the effort and of the output under these settings."""
    made = RegionCapConfig(**{"input": "photos.jsonl", "captioner": "pixels", "max_boxes": 3, **settings})
    with closing(RunContext(made)) as context:
        step = Step(0, 0, "k", "b" * 64, 3, 1)
        found = {spec.name: digest(spec.parts(context, step)) for spec in STEPS}
        prompt = context.captioner.prompt(request_of(ROW, context))
        return found | {
            "answer": key_of_answer(ROW, prompt, context),
            "effort": retry_settings_key(context),
            "write": key_of([(step,) * 7], context, row_format(context)),
        }


def test_keys_are_those_of_earlier_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos.jsonl").touch()
    now = {name: keys(**settings) for name, settings in VARIANTS.items()}
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(now, indent=1) + "\n")
    then = json.loads(GOLDEN.read_text())
    for name in VARIANTS:
        assert now[name] == then[name], f"{name}: what was cached under these settings would not be found any more"
    assert len({tuple(found.values()) for found in now.values()}) == len(VARIANTS)
