"""In which numbers prompts give boxes: the setting, the families of models, and Qwen2.5-VL's resize."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from regioncap.config.coordinates import QWEN_25, Coordinates, coordinates_of_model
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError

CORNERS = (0.1, 0.25, 0.5, 1.0)
SIZE = (640, 480)


def config(**settings: Any) -> RegionCapConfig:
    return RegionCapConfig(**{"input": "a.jsonl", "endpoint": "http://h/v1", "model": "m", **settings})


TEXTS = {
    "px": "[64, 120, 320, 480]",
    "px-yxyx": "[120, 64, 480, 320]",
    "0-1": "[0.1, 0.25, 0.5, 1.0]",
    "0-1-yxyx": "[0.25, 0.1, 1.0, 0.5]",
    "0-1000": "[100, 250, 500, 1000]",
    "0-1000-yxyx": "[250, 100, 1000, 500]",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_box_in_each_kind_of_numbers(name: str) -> None:
    coordinates = Coordinates.named(name)
    assert coordinates.text(CORNERS, SIZE) == TEXTS[name]
    assert coordinates.form.startswith("[y1, x1, y2, x2]" if "yxyx" in name else "[x1, y1, x2, y2]")


def test_no_box_is_without_area() -> None:
    tiny = (0.5, 0.99996, 0.50001, 1.0)
    assert Coordinates.named("px").text(tiny, (300, 200)) == "[150, 199, 151, 200]"
    assert Coordinates.named("0-1").text(tiny, SIZE) == "[0.5, 0.999, 0.501, 1.0]"
    assert Coordinates.named("0-1000-yxyx").text(tiny, SIZE) == "[999, 500, 1000, 501]"
    assert Coordinates.named("px").text((0.0, 0.0, 1.0, 1.0), (1, 1)) == "[0, 0, 1, 1]"


MODELS = {
    "Qwen/Qwen2.5-VL-7B-Instruct": "px",
    "Qwen/Qwen2.5-VL-72B-Instruct-AWQ": "px",
    "qwen2.5vl:7b": "px",
    "Qwen/Qwen2-VL-2B-Instruct": "0-1000",
    "Qwen/Qwen3-VL-30B-A3B-Instruct": "0-1000",
    "OpenGVLab/InternVL3_5-8B": "0-1000",
    "zai-org/GLM-4.5V": "0-1000",
    "gemini-2.5-flash": "0-1000-yxyx",
    "google/gemini-3-pro": "0-1000-yxyx",
}


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_known_by_its_name(model: str) -> None:
    found = coordinates_of_model(model)
    expected = Coordinates.named(MODELS[model])
    assert found is not None
    assert (found.unit, found.y_first) == (expected.unit, expected.y_first)
    assert (found.resize is not None) == ("2.5" in model and "wen" in model)


@pytest.mark.parametrize("model", ["gpt-5", "llava-1.6", "Qwen/Qwen2.5-7B-Instruct", "m"])
def test_other_models_are_not_guessed(model: str) -> None:
    assert coordinates_of_model(model) is None
    with pytest.raises(UsageError, match=r"coordinates: .*not known.*Qwen2\.5-VL.*expected px, 0-1 or 0-1000"):
        config(model=model, prompt_mode="coords")


def test_a_local_folder_is_known_by_its_own_description(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    assert coordinates_of_model(str(tmp_path)) == coordinates_of_model("Qwen2.5-VL")
    (tmp_path / "config.json").write_text("[]")
    assert coordinates_of_model(str(tmp_path)) is None


def test_the_identity_of_a_model_counts_before_its_name() -> None:
    made = config(model="my-deployment", model_id="Qwen/Qwen3-VL-8B-Instruct", prompt_mode="coords")
    assert made.box_coordinates == Coordinates("0-1000")


SIZES = {(640, 480): (644, 476), (28, 28): (56, 56), (1, 100): (28, 560), (8000, 6000): (4116, 3080)}
"""From the image processor of transformers 5; a thousand more are compared by `make test-vllm`."""


@pytest.mark.parametrize("size", SIZES)
def test_the_resize_of_qwen(size: tuple[int, int]) -> None:
    assert QWEN_25.size(*size) == SIZES[size]


WITHOUT_EFFECT = {
    "default prompts": {"coordinates": "px"},
    "no list of regions": {"coordinates": "px", "region_prompt": "<region{n}> {box}", "prompt": "All {num_regions}."},
    "no box": {"prompt_mode": "coords", "coordinates": "px", "region_prompt": "<region{n}>,"},
    "own prompt without regions": {"prompt_mode": "marks+coords", "coordinates": "px", "prompt": "Describe all."},
}


@pytest.mark.parametrize("case", WITHOUT_EFFECT)
def test_coordinates_that_no_prompt_gives_are_refused(case: str) -> None:
    with pytest.raises(UsageError, match=r"coordinates: no prompt gives boxes.*\{regions\}.*\{box\}"):
        config(**WITHOUT_EFFECT[case])


def test_without_coordinates_a_key_named_box_is_the_rows_own() -> None:
    assert config(prompt="{regions}: {box}").prompt_fields() == ("box",)
    assert config(prompt="{regions}", region_prompt="{box}", coordinates="px").prompt_fields() == ()
    both = config(prompt="{regions}: {box} {box_form}", region_prompt="{box} {box_form}", coordinates="px")
    assert both.keys_in_templates() == {"box": "prompt"}


def test_pixels_needs_no_coordinates() -> None:
    made = RegionCapConfig(input="a.jsonl", captioner="pixels", prompt_mode="coords")
    assert made.box_coordinates is None
