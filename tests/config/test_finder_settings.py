"""The settings of a model that finds regions: what fits together, and what is refused before anything is asked."""

from __future__ import annotations

from typing import Any

import pytest

from regioncap.captioners.region_model import settings_of_finder
from regioncap.config.coordinates import QWEN_25, Coordinates
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError

URL, OTHER = "http://captions/v1", "http://regions/v1"
MODEL = {"captioner": "openai", "model": "m", "endpoint": URL}
VLM = {**MODEL, "extractor": "vlm", "find_coordinates": "px"}


def config(**settings: Any) -> RegionCapConfig:
    return RegionCapConfig(input="a.jsonl", **settings)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "find without a model that finds": ({**MODEL, "find": "dog"}, "find: extractor 'edges' asks no model"),
    "an endpoint for nothing": ({**MODEL, "find_endpoint": OTHER}, "find_endpoint: extractor 'edges' asks no model"),
    "keys for no endpoint": ({**VLM, "find_api_keys": "env:KEY"}, "find_api_keys: expected find_endpoint with it"),
    "a key itself": (
        {**VLM, "find_endpoint": OTHER, "find_api_keys": "sk-12345678"}, "find_api_keys: expected env:VARIABLE",
    ),
    "a score": ({**VLM, "min_score": 0.5}, "min_score: extractor 'vlm' gives no scores"),
    "options": ({**VLM, "extractor_options": {"a": 1}}, "extractor_options: only extractors of your own"),
    "nobody to ask": (
        {"captioner": "pixels", "extractor": "vlm"}, "find_endpoint: captioner 'pixels' has no model",
    ),
    "a plugin": (
        {"captioner": "my_pkg:Captioner", "extractor": "vlm"}, "find_endpoint: captioner 'my_pkg:",
    ),
    "no name of a model": (
        {"captioner": "pixels", "extractor": "vlm", "find_endpoint": OTHER}, "find_model: expected the name",
    ),
    "another model in our vLLM": (
        {"captioner": "vllm", "model": "m", "extractor": "vlm", "find_model": "n"},
        "find_model: captioner 'vllm' starts the model 'm' alone",
    ),
    "two models on a cluster": (
        {**VLM, "find_model": "n", "runner": "processes"}, "runner: expected 'threads' where regions",
    ),
    "unknown coordinates": ({**MODEL, "extractor": "vlm"}, "find_coordinates: which ones the model 'm' was trained"),
    "no URL": ({**VLM, "find_endpoint": "regions"}, "find_endpoint: expected a URL such as http://host:8000/v1"),
    "half a template": ({**VLM, "find": "a {dog"}, "find: "),
    "a template without a name": ({**VLM, "find_prompt": "{}"}, "find_prompt: expected a name in every pair of braces"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named(case: str) -> None:
    settings, expected = WRONG[case]
    with pytest.raises(UsageError) as error:
        config(**settings)
    assert expected in str(error.value)
    assert "sk-1234" not in str(error.value)


def test_by_default_the_model_that_captions_finds() -> None:
    made = config(**VLM)
    assert (made.finder_model, made.finds_apart) == ("m", False)
    assert not config(**VLM, find_endpoint=f"{URL}/", find_model="m").finds_apart
    assert config(**VLM, find_model="n").finds_apart
    assert config(**VLM, find_endpoint=OTHER).finds_apart
    assert not config(**MODEL, find_model=None).finds_apart


def test_its_coordinates_are_those_of_its_family() -> None:
    settings = {**MODEL, "extractor": "vlm", "find_model": "Qwen2.5-VL-7B"}
    assert config(**settings).find_box_coordinates == Coordinates("px", resize=QWEN_25)
    assert config(**settings, find_coordinates="0-1").find_box_coordinates == Coordinates("0-1")
    assert config(**{**VLM, "find_coordinates": "auto", "model_id": "qwen3-vl"}).find_box_coordinates is not None


def test_what_is_for_the_captions_endpoints_is_sent_to_no_other() -> None:
    secrets = {
        "api_keys": "env:A",
        "request_headers": ["x-team: a"],
        "request_query": ["v=1"],
        "request_body": {"a": 1},
    }
    own = settings_of_finder(config(**VLM, **secrets, find_endpoint=OTHER, find_api_keys="env:B"))
    assert (own.endpoint, own.model, own.api_keys) == ((OTHER,), "m", ("env:B",))
    assert (own.request_headers, own.request_query, own.request_body) == ((), (), {})
    same_place = settings_of_finder(config(**VLM, **secrets, find_model="n"))
    assert (same_place.endpoint, same_place.model, same_place.api_keys) == ((URL,), "n", ("env:A",))


def test_the_rows_keys_of_the_question_are_carried_along() -> None:
    made = config(**VLM, find="{tags}", find_prompt="{find} of {place}: {box_form}", prompt="In {town}: {regions}")
    assert made.carried_keys == ("place", "tags", "town")
    assert made.prompt_fields() == ("town",)
    assert config(**MODEL, prompt="In {town}").carried_keys == ("town",)
