"""The one description of a run: what it accepts, and how it says what is wrong."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, get_args

import pytest

from regioncap.config.checks import input_stem
from regioncap.config.files import read_config_file
from regioncap.config.form import BASIC
from regioncap.config.model import RegionCapConfig
from regioncap.config.roles import HEADINGS, Role, Settings, StepName
from regioncap.errors import ConfigError, UsageError

MODEL: dict[str, Any] = {"captioner": "openai", "model": "m", "endpoint": "http://localhost/v1"}
SECRET = "sk-proj-0123456789abcdefghij"


def config(**values: Any) -> RegionCapConfig:
    return RegionCapConfig(**{"input": "photos.jsonl", "captioner": "pixels", **values})


def test_only_the_input_is_needed() -> None:
    made = config()
    assert (made.output, made.cache_path, made.max_boxes) == ("./photos.regioncap.jsonl", "./.regioncap", 10)


@pytest.mark.parametrize("name", ["input", "input_jsonl_path", "first_entry_file_name"])
def test_the_names_of_dataflow_are_accepted(name: str) -> None:
    made = RegionCapConfig(**{name: "a.jsonl", "captioner": "pixels", "output_jsonl_path": "b.jsonl"})
    assert (made.input, made.output) == ("a.jsonl", "b.jsonl")


WRONG: dict[str, tuple[Any, str]] = {
    "max_boxes": (0, "greater than or equal to 1"),
    "extractor": ("yolo", "edges, canny, adaptive, vlm, the name of an entry point"),
    "dim": (1.5, "less than or equal to 1"),
    "shard_size": ("many", "a valid integer"),
    "file_name_prefix": ("a/b", "pattern"),
    "jpeg_quality": (101, "less than or equal to 100"),
}


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_value_is_named_with_what_was_expected(field: str) -> None:
    value, expected = WRONG[field]
    with pytest.raises(ConfigError) as error:
        config(**{field: value})
    assert (error.value.field, error.value.actual) == (field, value)
    assert expected in error.value.expected
    assert repr(value) in str(error.value)


@pytest.mark.parametrize("key", ["meta_info", "photo", "objects", "objects.bbox"])
def test_captions_replace_nothing_else_of_an_output_row(key: str) -> None:
    with pytest.raises(UsageError, match=f"output_key: expected a key of its own, got '{key}', which holds"):
        config(output_key=key, image_key="photo", bbox_key="objects.bbox")
    assert config(output_key="image", image_key="photo").output_key == "image"


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="max_box: there is no such setting; did you mean max_boxes"):
        config(max_box=3)


def test_a_missing_input_is_reported() -> None:
    with pytest.raises(UsageError, match="input: is required"):
        RegionCapConfig(captioner="pixels")


CAPTIONERS = {("pixels", None): "pixels", ("auto", "Qwen/Qwen2.5-VL-7B-Instruct"): "vllm"}


@pytest.mark.parametrize(("captioner", "model"), CAPTIONERS)
def test_which_captioner_auto_means(captioner: str, model: str | None) -> None:
    assert config(captioner=captioner, model=model).captioner_name == CAPTIONERS[captioner, model]


def test_no_captioner_is_refused_with_the_ways_to_choose() -> None:
    with pytest.raises(UsageError, match="--captioner pixels"):
        config(captioner="auto")


INSIDE = [
    ("in.jsonl", "in.jsonl"),
    ("in.jsonl", "./x/../in.jsonl"),
    ("data", "data/out.jsonl"),
    ("d/*.jsonl", "d/o.jsonl"),
]


@pytest.mark.parametrize(("source", "output"), INSIDE)
def test_an_output_in_the_input_is_refused(source: str, output: str) -> None:
    with pytest.raises(UsageError, match="outside of the input"):
        config(input=source, output=output)


def test_an_output_that_is_a_link_to_the_input_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").touch()
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "in.jsonl")
    with pytest.raises(UsageError, match="outside of the input"):
        config(input=str(tmp_path / "in.jsonl"), output=str(tmp_path / "link.jsonl"))


@pytest.mark.parametrize(
    ("name", "text"), [("a.toml", 'input = "x.jsonl"\nmax_boxes = 4'), ("a.yml", "input: x.jsonl\nmax_boxes: 4")]
)
def test_settings_from_a_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    made = config(**{**read_config_file(str(tmp_path / name)), "max_boxes": 5})
    assert (made.input, made.max_boxes) == ("x.jsonl", 5)


FILES = {
    "gone.toml": (None, "No such file"),
    "a.ini": ("x", r"expected a \.toml"),
    "broken.toml": ("a = = b", "cannot be read"),
    "list.yaml": ("- a\n- b", "expected keys and values"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_settings_that_is_none(tmp_path: Path, name: str) -> None:
    text, message = FILES[name]
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        read_config_file(str(tmp_path / name))


STEMS = {
    "data/photos.jsonl.gz": "photos",
    "s3://bucket/a/photos.parquet": "photos",
    "shots/*.csv": "shots",
    "shots/": "shots",
    "*.jpg": "input",
}


@pytest.mark.parametrize("url", STEMS)
def test_the_name_that_an_input_goes_by(url: str) -> None:
    assert input_stem(url) == STEMS[url]


# --- wrong values

MISFITS: dict[str, Any] = {
    "nothing": None, "truth": True, "negative": -1, "huge": 10**30, "nan": float("nan"), "infinite": float("inf"),
    "empty": "", "word": "nonsense", "long": "x" * 100_000, "zero": "a\0b", "surrogate": "\ud800", "key": SECRET,
    "bytes": b"\xff", "list": [], "numbers": [1], "nones": [None], "nested": [[[]]], "zeros": ["\0"], "table": {},
    "numbered": {1: 2}, "deep": {"a": {"b": [object()]}}, "object": object(), "class": int, "set": {1, 2},
    "path": Path("a"), "keys": [SECRET], "table of keys": {"a": SECRET}, "error": ValueError("x"), "complex": 1j,
}  # fmt: skip


@pytest.mark.parametrize("name", RegionCapConfig.model_fields)
def test_every_wrong_value_of_a_setting_is_refused_in_words_that_name_it(name: str) -> None:
    refusals = [error for value in MISFITS.values() if (error := refusal_of(name, value))]
    assert refusals
    for error in refusals:
        assert name in str(error)
        assert len(str(error)) < 1_000
        assert SECRET not in str(error)
        assert not isinstance(error, ConfigError) or str(error).startswith(f"{error.field}: expected ")


def refusal_of(name: str, value: Any) -> UsageError | None:
    try:
        config(**{name: value})
    except UsageError as error:
        return error
    return None


# --- roles


@pytest.mark.parametrize("name", RegionCapConfig.model_fields)
def test_every_field_explains_itself(name: str) -> None:
    schema = RegionCapConfig.model_json_schema(by_alias=False)["properties"][name]
    assert schema["title"]
    assert len(schema["description"]) > 10
    assert schema["role"] in get_args(Role)
    assert schema["group"] in HEADINGS
    assert set(RegionCapConfig.use_of(name).read_by) <= set(all_readers())


def test_a_field_without_a_role_is_no_setting() -> None:
    with pytest.raises(TypeError, match=r"Careless\.speed: expected a field made by setting\(\), with a role"):

        class Careless(Settings):
            speed: int = 1


def all_readers() -> list[str]:
    return [*get_args(StepName), *(name for name in READ_BY if name not in get_args(StepName))]


READ_BY: dict[Any, set[str]] = {
    "load": {"image_key", "image_check"},
    "route": {"bbox_key", "empty_bbox", "score_key", "box_size"},
    "extract": {
        "extractor",
        "extractor_options",
        "max_boxes",
        "min_score",
        "max_image_pixels",
        "max_image_bytes",
        "image_timeout",
        "allowed_images",
        "find",
        "find_prompt",
        "find_fallback",
    },
    "normalize": {"max_boxes", "bbox_format", "bbox_unit", "box_order"},
    "visualize": {"max_pixels", "max_image_pixels", "jpeg_quality", "dim", "draw_visualization", "marks_per_request"},
    "caption": set(),
    "templates": {"system_prompt", "region_prompt", "prompt", "focal_prompt", "coordinates"},
    "identity": {"prompt_mode", "temperature", "top_p", "top_k", "repetition_penalty", "seed", "request_body"},
    "drawing": {"max_pixels", "dim"},
    "write": {"output_key", "record_style", "bbox_key", "image_key", "draw_visualization", "box_size"},
    "box_form": {"input", "image_root", "bbox_key", "rows", "bbox_format", "bbox_unit", "box_size"},
    "request": {"top_p", "top_k", "repetition_penalty"},
    "dask": {"max_in_flight", "max_requests", "max_usd", "requests_per_minute", "tokens_per_minute"},
    "storage": {"cache_path", "file_name_prefix", "s3_endpoint_url", "s3_region", "storage_block"},
    "secrets": {
        "api_keys",
        "request_headers",
        "request_query",
        "request_body",
        "extractor_options",
        "captioner_options",
        "find_api_keys",
    },
    "audit": {"audit_rows", "min_consistent"},
    "path": {"input", "output", "image_root", "cache_path", "ca_file", "edits", "batch_folder"},
}
"""Facts, not derived: what changes here changes keys of caches, unless the field applies only when it is set."""


@pytest.mark.parametrize("reader", READ_BY)
def test_what_each_reader_reads(reader: Any) -> None:
    assert set(RegionCapConfig.fields_read_by(reader)) == READ_BY[reader]


WITH_ROLE: dict[Role, set[str]] = {
    "effort": {"accept_finish_reasons", "max_tokens", "max_repairs", "structure", "max_caption_chars"},
    "marks": {"max_pixels", "dim", "marks_per_request"},
    "regions": {
        "bbox_key", "rows", "bbox_format", "bbox_unit", "box_size", "empty_bbox", "extractor", "min_score", "max_boxes",
        "extractor_options",
        "box_order", "score_key", "find", "find_prompt", "find_coordinates", "find_fallback", "find_model",
    },
    "words": {
        "captioner", "captioner_options", "model", "model_id", "prompt_mode", "coordinates", "prompt", "focal_prompt",
        "region_prompt",
        "region_fields",
        "system_prompt", "temperature", "top_p", "top_k", "repetition_penalty", "seed", "repair_flags",
        "request_body",
    },
}  # fmt: skip


@pytest.mark.parametrize("role", WITH_ROLE)
def test_which_fields_have_a_role(role: Role) -> None:
    assert set(RegionCapConfig.fields_with_role(role)) == WITH_ROLE[role]


APPLIES: dict[str, tuple[dict[str, Any], bool]] = {
    "score_key": ({"box_order": "area"}, False),
    "score_key ": ({"box_order": "score"}, True),
    "box_order": ({}, False),
    "marks_per_request": ({**MODEL, "max_boxes": 10}, False),
    "marks_per_request ": ({**MODEL, "max_boxes": 11}, True),
    "prompt": ({**MODEL, "prompt_mode": "focal"}, False),
    "prompt ": ({}, False),
    "focal_prompt": (MODEL, False),
    "focal_prompt ": ({**MODEL, "repair_flags": "refusal"}, True),
    "max_boxes": ({}, True),
    "extractor_options": ({}, False),
    "extractor_options ": ({"extractor": "my:find", "extractor_options": {"size": 640}}, True),
    "captioner_options": ({}, False),
    "captioner_options ": ({"captioner": "my:Own", "captioner_options": {"device": "cpu"}}, True),
    "request_body": (MODEL, False),
    "request_body ": ({**MODEL, "request_body": {"reasoning_effort": "low"}}, True),
}


@pytest.mark.parametrize("case", APPLIES)
def test_when_a_field_applies(case: str) -> None:
    values, expected = APPLIES[case]
    assert config(**values).applies(case.strip()) is expected


def test_values_are_json_by_name_and_only_those_that_apply() -> None:
    assert config(max_boxes=4).fields(("max_boxes", "endpoint")) == {"max_boxes": 4, "endpoint": []}
    assert config().values_read_by("route") == {"bbox_key": "bbox", "empty_bbox": "reject"}
    assert config(box_order="score").values_read_by("route")["score_key"] == "scores"


def test_the_form_has_the_basic_settings_then_the_others_by_heading() -> None:
    schema = RegionCapConfig.model_json_schema()
    names = list(schema["properties"])
    assert names[:6] == ["input", "output", "captioner", "model", "endpoint", "api_key_block"]
    assert set(names) == set(RegionCapConfig.model_fields)
    groups = [field["group"] for field in list(schema["properties"].values())[len(BASIC) :]]
    assert list(dict.fromkeys(groups)) == [group for group, _ in itertools.groupby(groups)] == list(HEADINGS)
    assert schema["required"] == ["input"]
    assert schema["properties"]["captioner"]["title"] == "Captioner"
    assert schema["properties"]["max_usd"]["title"] == "Limits: Max dollars"


def test_optional_settings_are_inputs_that_may_stay_empty() -> None:
    fields = RegionCapConfig.model_json_schema()["properties"]
    assert {"type", "title", "description", "minimum"} <= fields["limit"].keys()
    assert not [
        name for name, field in fields.items() if {"type": "null"} in field.get("anyOf", ()) and name != "temperature"
    ]
