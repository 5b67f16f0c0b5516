"""The one description of a run: `RegionCapConfig`, flat, so that the same names serve everywhere.

Python arguments, TOML and YAML keys, flags of `regioncap` and the fields of Prefect's run form are these fields, in
this order; `title` names a field and `group` its heading. No field holds a secret.
"""

from __future__ import annotations

import difflib
import fnmatch
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tasks.errors import ConfigError, UsageError

CaptionerName = Literal["auto", "vllm", "openai", "pixels"]
ExtractorName = Literal["edges", "canny", "adaptive"]
BoxFormat = Literal["xywh", "xyxy", "cxcywh"]
BoxUnit = Literal["px", "0-1", "0-1000"]


def _field(default: Any, title: str, description: str, group: str, **more: Any) -> Any:
    return Field(default, title=title, description=description, json_schema_extra={"group": group}, **more)


class RegionCapConfig(BaseModel):
    """Everything that a run can be told. Only `input` is required.

    Raises ConfigError (through `make_config` and `load_config`) when a value is wrong.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, use_attribute_docstrings=False)

    # --- input
    input: str = Field(
        title="Input",
        description="JSON Lines (.jsonl, .jsonl.gz), JSON array, CSV, Parquet, or a folder or glob of these or of "
        "images; a path or any fsspec URL.",
        validation_alias=AliasChoices("input", "input_jsonl_path", "first_entry_file_name"),
        json_schema_extra={"group": "Input"},
    )
    output: str = _field(
        "",
        "Output",
        "Where the captions go, JSON Lines; beside it come the rejects and the summary. "
        "Default: ./{input's stem}.regioncap.jsonl",
        "Input",
        validation_alias=AliasChoices("output", "output_jsonl_path"),
    )
    image_root: str | None = _field(
        None, "Image root", "Where relative image paths start. Default: the input's folder.", "Input"
    )
    image_key: str = _field("image", "Image key", "The row's key that holds the image's path or URL.", "Input")
    bbox_key: str = _field("bbox", "Box key", "The row's key that holds its boxes.", "Input")
    bbox_format: BoxFormat = _field("xywh", "Box format", "Order of a box's four numbers.", "Input")
    bbox_unit: BoxUnit = _field("px", "Box unit", "Pixels, or parts of the picture's width and height.", "Input")
    empty_bbox: Literal["reject", "find"] = _field(
        "reject",
        "Empty box list",
        "What `[]` means: nothing there (reject the row), or find regions.",
        "Input",
    )
    limit: int | None = _field(None, "Limit", "Read the first N rows only.", "Input", ge=1)
    sample: int | None = _field(
        None, "Sample", "N rows chosen by hash; a larger sample contains the smaller.", "Input", ge=1
    )

    # --- regions
    extractor: ExtractorName = _field("edges", "Region finder", "How rows without boxes get regions.", "Regions")
    max_boxes: int = _field(10, "Regions per picture", "At most so many regions of a picture.", "Regions", ge=1, le=100)
    min_score: float = _field(
        -3.0, "Lowest score", "Found regions that rank below this are left out (edges on photos only).", "Regions"
    )

    # --- marks
    draw_visualization: bool = _field(
        True, "Keep marked pictures", "Keep the pictures with numbered boxes that the model saw.", "Marks"
    )
    max_pixels: int = _field(
        1_003_520, "Picture size", "Pixels of the picture that the model sees, at most.", "Marks", ge=4096
    )
    max_image_pixels: int = _field(
        100_000_000,
        "Largest image",
        "Images of more pixels are rejected before they are decoded.",
        "Marks",
        ge=1,
    )
    jpeg_quality: int = _field(85, "JPEG quality", "Of the marked pictures, 1 to 100.", "Marks", ge=1, le=100)
    dim: float = _field(
        1.0,
        "Dim",
        "Brightness of the picture under the marks, 0 to 1; 0.8 is the look of the seed.",
        "Marks",
        gt=0,
        le=1,
    )

    # --- captions
    captioner: CaptionerName = _field(
        "auto",
        "Captioner",
        "Who describes the regions: `pixels` needs no model; vllm and openai come later.",
        "Captions",
    )
    model: str | None = _field(None, "Model", "Name or local folder of the vision-language model.", "Captions")

    # --- output
    output_key: str = _field("mdvp_record", "Output key", "The row's key for its captions.", "Output")
    record_style: Literal["list", "joined"] = _field(
        "list",
        "Record style",
        "One string a region, or all joined in a list of one (as the seed does).",
        "Output",
    )
    max_reject_share: float = _field(
        0.5,
        "Largest share of rejects",
        "With more rejects the output is kept aside as incomplete.",
        "Output",
        ge=0,
        le=1,
    )

    # --- run
    cache_path: str = _field(
        "./.regioncap",
        "Cache",
        "Folder or URL of step files, marked pictures and answers; may be shared.",
        "Run",
    )
    file_name_prefix: str = _field(
        "regioncap", "Prefix", "First part of the step folders' names.", "Run", pattern=r"^[A-Za-z0-9._-]+$"
    )
    shard_size: int = _field(1000, "Shard size", "Rows of a shard, about.", "Run", ge=1, le=20_000)
    image_check: Literal["head", "never"] = _field(
        "head", "Image check", "How a rerun finds changed images: ask for size and time, or never.", "Run"
    )
    threads: int | None = _field(
        None, "Threads", "Threads for decoding and drawing. Default: one a processor.", "Run", ge=1, le=256
    )

    @model_validator(mode="after")
    def _check_and_complete(self) -> Self:
        if not self.input.strip():
            raise ValueError("input: expected a path or URL, got an empty one")
        if not self.output:
            # The model is frozen for everyone else; here it is still being made.
            object.__setattr__(self, "output", f"./{input_stem(self.input)}.regioncap.jsonl")
        _check_output(self.input, self.output)
        if self.captioner == "auto" and self.captioner_name == "auto":
            raise ValueError(NO_CAPTIONER)
        return self

    @property
    def captioner_name(self) -> CaptionerName:
        """The captioner that `auto` stands for: `openai` with an endpoint, `vllm` with a model only."""
        if self.captioner != "auto":
            return self.captioner
        if getattr(self, "endpoint", None):
            return "openai"
        return "vllm" if self.model else "auto"

    def fields(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The values of the fields `names`, as JSON values: what a step declares to depend on."""
        return self.model_dump(mode="json", include=set(names))


NO_CAPTIONER = (
    "captioner: expected a way to caption, got none; choose one: --captioner pixels (no model: says only what can be "
    "measured). Captions from a model (a vLLM of its own, or an endpoint) are not in this version yet"
)


def input_stem(url: str) -> str:
    """The name that an input goes by: `s3://b/photos.jsonl.gz` is `photos`, `shots/*.csv` is `shots`.

    >>> input_stem("data/photos.jsonl.gz")
    'photos'
    """
    path = PurePosixPath(url.split("://", 1)[-1].split("?", 1)[0] if "://" in url else url)
    parts = [part for part in path.parts if part not in ("/", ".", "..")]
    fixed = [part for i, part in enumerate(parts) if not any(set(p) & set("*?[") for p in parts[: i + 1])]
    name = fixed[-1] if fixed else "input"
    return name.split(".")[0] or name.strip(".") or "input"


def _check_output(source: str, output: str) -> None:
    """Refuse an output that is the input, or would be read as part of it the next time."""
    where, what = _absolute(output), _absolute(source)
    inside = fnmatch.fnmatchcase(where, what) or where.startswith(what.rstrip("/") + "/")
    if where == what or inside:
        raise ValueError(
            f"output: expected a place outside of the input, got {output!r}, which is or lies in {source!r}; "
            "choose another with --output"
        )
    if output.endswith((".gz", ".csv", ".parquet")):
        raise ValueError(f"output: expected a JSON Lines file (….jsonl), got {output!r}")


def _absolute(url: str) -> str:
    """`url` in a form that compares: absolute and normalised when it is a path on disk."""
    path = url.removeprefix("file://")
    return path if "://" in path else str(Path(path).resolve())


def make_config(**values: Any) -> RegionCapConfig:
    """A config from `values`. Raises ConfigError that names the field, what was expected and what was given."""
    try:
        return RegionCapConfig(**values)
    except ValidationError as error:
        raise _config_error(error, values) from None


def load_config(path: str, **values: Any) -> RegionCapConfig:
    """A config from a TOML or YAML file; `values` win over the file's. Raises UsageError when it cannot be read."""
    return make_config(**{**read_config_file(path), **values})


def read_config_file(path: str) -> dict[str, Any]:
    """The keys of a TOML or YAML config file. Raises UsageError that names the file and what is wrong."""
    file = Path(path)
    if file.suffix not in {".toml", ".yaml", ".yml"}:
        raise UsageError(f"--config {path}: expected a .toml, .yaml or .yml file")
    try:
        text = file.read_text(encoding="utf-8")
        found = tomllib.loads(text) if file.suffix == ".toml" else yaml.safe_load(text)
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror or error}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(f"--config {path}: cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"--config {path}: expected keys and values, such as max_boxes: 10")
    return found


def _config_error(error: ValidationError, values: dict[str, Any]) -> ConfigError | UsageError:
    """The first of pydantic's complaints in our words."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, RegionCapConfig.model_fields, 1)
        hint = f"; did you mean {near[0]}?" if near else "; see `regioncap run --help`"
        return UsageError(f"{name}: there is no such setting{hint}")
    if first["type"] == "missing":
        return UsageError(f"{name}: is required")
    if not name:  # one of our own validators: its text names the field already
        return UsageError(first["msg"].removeprefix("Value error, "))
    expected = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return ConfigError(name, expected, first["input"])
