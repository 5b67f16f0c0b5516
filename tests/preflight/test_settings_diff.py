"""Changed settings are reported by their own name, if other answers are asked for because of them, and else not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regioncap.errors import UsageError
from regioncap.output.join import redacted_config
from regioncap.preflight.settings_diff import check_settings, differences
from regioncap.storage.filesystem import Filesystems
from regioncap.storage.runs import entry_place, register_end
from tests.support.runs import config_of

MODEL: dict[str, Any] = {"captioner": "openai", "model": "m", "endpoint": "http://localhost/v1"}
PIXELS: dict[str, Any] = {"captioner": "pixels", "model": None, "endpoint": ()}
LABELLED = {"region_fields": ["label", "size"], "prompt": "Name {regions}.", "region_prompt": "{n} ({label})"}


def changes(folder: Path, then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is reported when the output's last run had the settings `then`, and this one has `now`."""
    (folder / "photos.jsonl").touch()
    files, earlier, config = Filesystems(), config_of(folder, **then), config_of(folder, **now)
    entry = entry_place(files.place(earlier.cache_path), earlier.file_name_prefix, earlier.output)
    register_end(entry, earlier.output, redacted_config(earlier), [])
    found = differences(config, files)
    refusing = config.model_copy(update={"on_config_change": "refuse"})
    if found:
        with pytest.raises(UsageError, match="had other settings"):
            check_settings(refusing, files)
    else:
        assert check_settings(refusing, files) == []
    return found


REPORTED: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "score_key": (
        {"box_order": "score", "score_key": "a"}, {"box_order": "score", "score_key": "b"},
        ["score_key 'a' -> 'b'"],
    ),
    "box_order": (
        {}, {"box_order": "score", "score_key": "b"}, ["box_order 'input' -> 'score'", "score_key 'scores' -> 'b'"],
    ),
    "box_order without a model": (PIXELS, {**PIXELS, "box_order": "area"}, ["box_order 'input' -> 'area'"]),
    "repair_flags": ({}, {"repair_flags": ["refusal"]}, ["repair_flags [] -> ['refusal']"]),
    "repair_flags, removed": ({"repair_flags": ["refusal"]}, {}, ["repair_flags ['refusal'] -> []"]),
    "focal_prompt in repairs": (
        {"repair_flags": ["refusal"], "focal_prompt": "A {n}"}, {"repair_flags": ["refusal"], "focal_prompt": "B {n}"},
        ["focal_prompt 'A {n}' -> 'B {n}'"],
    ),
    "prompt_mode": ({}, {"prompt_mode": "focal"}, ["prompt_mode 'marks' -> 'focal'"]),
    "region_fields": (
        LABELLED, {**LABELLED, "region_fields": ["size"]}, ["region_fields ['label', 'size'] -> ['size']"],
    ),
    "region_prompt": (LABELLED, {**LABELLED, "region_prompt": "{n}"}, ["region_prompt '{n} ({label})' -> '{n}'"]),
    "marks_per_request": (
        {"max_boxes": 25}, {"max_boxes": 25, "marks_per_request": 5}, ["marks_per_request 10 -> 5"],
    ),
    "min_score": ({}, {"min_score": -2}, ["min_score -3.0 -> -2.0"]),
    "model": ({}, {"model": "n"}, ["model 'm' -> 'n'"]),
    "model_id": ({}, {"model_id": "x"}, ["model_id None -> 'x'"]),
    "model and model_id": ({}, {"model": "n", "model_id": "n"}, ["model 'm' -> 'n'", "model_id None -> 'n'"]),
    "captioner": (
        {"prompt": "Old."}, {**PIXELS, "max_boxes": 5},
        ["captioner 'openai' -> 'pixels'", "max_boxes 3 -> 5"],
    ),
    "temperature": ({}, {"temperature": 0.5, "seed": 1}, ["temperature 0.0 -> 0.5", "seed None -> 1"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REPORTED)
def test_what_asks_for_other_answers_is_reported_and_refused(case: str, tmp_path: Path) -> None:
    then, now, expected = REPORTED[case]
    assert sorted(changes(tmp_path, {**MODEL, **then}, {**MODEL, **now})) == sorted(expected)


UNREPORTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "score_key that orders nothing": ({}, {"score_key": "b"}),
    "focal_prompt not in use": ({}, {"focal_prompt": "A {n}"}),
    "prompt not in use": ({"prompt_mode": "focal"}, {"prompt_mode": "focal", "prompt": "Other."}),
    "region_prompt that no prompt names": ({}, {"region_prompt": "{n}!"}),
    "region_fields that no prompt names": (LABELLED, {**LABELLED, "region_fields": ["label"]}),
    "marks_per_request above the regions": ({}, {"marks_per_request": 3}),
    "min_score of a finder without scores": ({"extractor": "canny"}, {"extractor": "canny", "min_score": -2}),
    "the same model by another name": ({}, {"model": "n", "model_id": "m"}),
    "order of repair_flags": ({"repair_flags": ["refusal", "repeats"]}, {"repair_flags": ["repeats", "refusal"]}),
    "another place": ({}, {"captioner": "vllm", "endpoint": (), "gpus": "1"}),
    "effort": ({}, {"max_tokens": 100, "max_repairs": 0, "structure": "none", "max_caption_chars": 80}),
    "limits": ({}, {"max_in_flight": 1, "request_timeout": 5, "retry_rejects": True, "max_image_pixels": 10**6}),
    "prompts without a model": (PIXELS, {**PIXELS, "prompt": "New.", "temperature": 1.0, "dim": 0.5}),
    "looks": ({}, {"output_key": "c", "record_style": "joined", "jpeg_quality": 70, "draw_visualization": False}),
}


@pytest.mark.parametrize("case", UNREPORTED)
def test_what_asks_for_the_same_answers_is_not_reported(case: str, tmp_path: Path) -> None:
    then, now = UNREPORTED[case]
    assert changes(tmp_path, {**MODEL, **then}, {**MODEL, **now}) == []
