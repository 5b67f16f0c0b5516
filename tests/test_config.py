"""The one description of a run: what it accepts, and how it says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regioncap.config.model import RegionCapConfig, input_stem, load_config, make_config
from regioncap.errors import ConfigError, UsageError


def config(**values: Any) -> RegionCapConfig:
    return make_config(**{"input": "photos.jsonl", "captioner": "pixels", **values})


def test_only_the_input_is_needed() -> None:
    made = config()
    assert (made.output, made.cache_path, made.max_boxes) == ("./photos.regioncap.jsonl", "./.regioncap", 10)


@pytest.mark.parametrize("name", ["input", "input_jsonl_path", "first_entry_file_name"])
def test_the_names_of_dataflow_are_accepted(name: str) -> None:
    made = make_config(**{name: "a.jsonl", "captioner": "pixels", "output_jsonl_path": "b.jsonl"})
    assert (made.input, made.output) == ("a.jsonl", "b.jsonl")


WRONG: dict[str, tuple[Any, str]] = {
    "max_boxes": (0, "greater than or equal to 1"),
    "extractor": ("yolo", "'edges', 'canny' or 'adaptive'"),
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


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="max_box: there is no such setting; did you mean max_boxes"):
        config(max_box=3)


def test_a_missing_input_is_said() -> None:
    with pytest.raises(UsageError, match="input: is required"):
        make_config(captioner="pixels")


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
    made = load_config(str(tmp_path / name), captioner="pixels", max_boxes=5)
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
        load_config(str(tmp_path / name))


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


@pytest.mark.parametrize("name", RegionCapConfig.model_fields)
def test_every_field_explains_itself(name: str) -> None:
    schema = RegionCapConfig.model_json_schema(by_alias=False)["properties"][name]
    assert schema["title"]
    assert len(schema["description"]) > 10
    assert schema["group"] in {"Input", "Regions", "Marks", "Captions", "Server", "vLLM", "Output", "Run"}


def test_fields_are_values_by_name() -> None:
    assert config(max_boxes=4).fields(("max_boxes", "dim")) == {"max_boxes": 4, "dim": 1.0}
