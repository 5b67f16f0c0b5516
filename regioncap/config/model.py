"""The one description of a run: `RegionCapConfig`, flat, so that the same names serve everywhere.

Python arguments, TOML and YAML keys, flags of `regioncap` and the fields of Prefect's run form are these fields, in
this order; `title` names a field and `group` its heading. No field holds a secret.
"""

from __future__ import annotations

import difflib
import fnmatch
import itertools
import string
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from regioncap.errors import ConfigError, UsageError

CaptionerName = Literal["auto", "vllm", "openai", "pixels"]
ExtractorName = Literal["edges", "canny", "adaptive"]
BoxFormat = Literal["xywh", "xyxy", "cxcywh"]
BoxUnit = Literal["px", "0-1", "0-1000"]
BoxOrder = Literal["input", "area", "score"]
PromptMode = Literal["marks", "focal", "auto"]
StructureName = Literal["auto", "regex", "guided_regex", "json_schema", "none"]
FlagName = Literal["mentions_mark", "refusal", "duplicate_in_row", "too_short", "repeats"]

SYSTEM_PROMPT = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)
PROMPT = (
    "Describe the content of each marked region in the image. "
    "There are {num_regions} regions: <region1> to <region{num_regions}>."
)
"""Both as in DataFlow's operator `ImageRegionCaptionGenerate`."""

FOCAL_PROMPT = (
    "The first picture has numbered regions; the second shows <region{n}> of it closer. "
    "Describe the content of <region{n}>."
)


def _field(default: Any, title: str, description: str, group: str, **more: Any) -> Any:
    return Field(default, title=title, description=description, json_schema_extra={"group": group}, **more)


class RegionCapConfig(BaseModel):
    """Everything that a run can be told. Only `input` is required.

    Raises ConfigError (through `make_config` and `load_config`) when a value is wrong.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=False,
        json_schema_extra=lambda schema: _as_form(schema),
    )

    # --- input
    input: str = Field(
        title="Input",
        description="JSON Lines (.jsonl, .jsonl.gz), JSON array, COCO instances (.json), CSV, Parquet, or a folder or "
        "glob of these or of images; a path or any fsspec URL.",
        validation_alias=AliasChoices("input", "input_jsonl_path", "first_entry_file_name"),
        json_schema_extra={"group": "Input"},
    )
    output: str = _field(
        "",
        "Output",
        "Where the captions go, JSON Lines; beside it come the rejects and the summary. One that ends in / is a "
        "folder: a part for each shard as it finishes. "
        "Default: ./{input's stem}.regioncap.jsonl",
        "Input",
        validation_alias=AliasChoices("output", "output_jsonl_path"),
    )
    image_root: str | None = _field(
        None, "Image root", "Where relative image paths start. Default: the input's folder.", "Input"
    )
    image_key: str = _field("image", "Image key", "The row's key that holds the image's path or URL.", "Input")
    bbox_key: str = _field(
        "bbox",
        "Box key",
        "The row's key that holds its boxes; with one row a box also four columns: xmin,ymin,xmax,ymax.",
        "Input",
    )
    rows: Literal["per_image", "per_box"] = _field(
        "per_image",
        "Rows",
        "What a row of a table is: an image, or (per_box) one of its boxes; the rows of an image then become one, "
        "wherever they stand.",
        "Input",
    )
    bbox_format: BoxFormat = _field("xywh", "Box format", "Order of a box's four numbers.", "Input")
    bbox_unit: BoxUnit = _field("px", "Box unit", "Pixels, or parts of the picture's width and height.", "Input")
    empty_bbox: Literal["reject", "find"] = _field(
        "reject",
        "Empty box list",
        "What `[]` means: nothing there (reject the row), or find regions.",
        "Input",
    )
    region_fields: tuple[str, ...] = _field(
        (),
        "Region fields",
        "Keys of the row that hold a list with one value a box (labels, scores): filtered as the boxes are, for "
        "prompts, the output and exports. COCO brings its own; of a table with a row a box they are all its columns.",
        "Input",
    )
    box_check: bool = _field(
        True,
        "Look at the boxes",
        "Before the first run, see by the first 1,000 rows whether the boxes are of the format and unit given.",
        "Input",
    )
    limit: int | None = _field(None, "Limit", "Read the first N rows only.", "Input", ge=1)
    sample: int | None = _field(
        None, "Sample", "N rows chosen by hash; a larger sample contains the smaller.", "Input", ge=1
    )

    # --- regions
    extractor: ExtractorName = _field("edges", "Region finder", "How rows without boxes get regions.", "Regions")
    max_boxes: int = _field(10, "Regions per picture", "At most so many regions of a picture.", "Regions", ge=1, le=100)
    box_order: BoxOrder = _field(
        "input",
        "Box order",
        "How given boxes are numbered, and which are left out beyond Regions per picture: as they come, largest first, "
        "or best score first. Found regions keep their rank.",
        "Regions",
    )
    score_key: str = _field(
        "scores", "Score key", "The row's key with a list of one score a box, for Box order.", "Regions", min_length=1
    )
    min_score: float = _field(
        -3.0, "Lowest score", "Found regions that rank below this are left out (edges on photos only).", "Regions"
    )

    # --- marks
    draw_visualization: bool = _field(
        True, "Keep marked pictures", "Keep the pictures with numbered boxes that the model saw.", "Marks"
    )
    marks_per_request: int = _field(
        10,
        "Marks per request",
        "A picture with more regions is shown several times, with so many of them each: more marks cannot be read.",
        "Marks",
        ge=1,
        le=100,
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
        "Who describes the regions. auto: an endpoint means openai, only a model means vllm (started on this "
        "machine); pixels needs no model and says only what can be measured.",
        "Captions",
    )
    model: str | None = _field(
        None, "Model", "Name of the vision-language model; for vllm also a local folder.", "Captions"
    )
    endpoint: tuple[str, ...] = _field(
        (),
        "Endpoints",
        "Base URL of an OpenAI-compatible server (http://host:8000/v1), or several of the same model.",
        "Captions",
    )
    api_key_block: str | None = _field(
        None,
        "API key block",
        "Name of a Prefect Secret block with the endpoint's key. Default: REGIONCAP_API_KEY or OPENAI_API_KEY of the "
        "environment.",
        "Captions",
    )
    model_id: str | None = _field(
        None,
        "Model identity",
        "What answers are kept under instead of the model's name: for one model that goes by several names.",
        "Captions",
    )
    prompt_mode: PromptMode = _field(
        "marks",
        "Prompt mode",
        "marks: one request a picture, with all regions; focal: one a region, with its crop; auto: marks, then focal "
        "for regions that are still missing.",
        "Captions",
    )
    prompt: str = _field(
        PROMPT,
        "Prompt",
        "What is asked. {num_regions}, {regions} and the row's keys are filled in; {{ and }} are braces.",
        "Captions",
        min_length=1,
    )
    focal_prompt: str = _field(
        FOCAL_PROMPT, "Focal prompt", "What is asked of one region, {n}; as Prompt otherwise.", "Captions", min_length=1
    )
    region_prompt: str = _field(
        "<region{n}>",
        "Region in prompt",
        "How {regions} names each region: {n}, and the keys named in Region fields.",
        "Captions",
        min_length=1,
    )
    system_prompt: str = _field(SYSTEM_PROMPT, "System prompt", "As Prompt; empty sends none.", "Captions")
    temperature: float | None = _field(
        0.0, "Temperature", "0 gives the same answer each time; -1 leaves it to the server.", "Captions", ge=-1, le=2
    )
    top_p: float | None = _field(
        None,
        "Top p",
        "Share of probability, 0 to 1, that the likeliest next tokens must make up to be sampled from. Default: the "
        "server's.",
        "Captions",
        gt=0,
        le=1,
    )
    top_k: int | None = _field(
        None,
        "Top k",
        "So many of the likeliest next tokens are sampled from. Default: the server's (vLLM and alike only).",
        "Captions",
        ge=-1,
    )
    repetition_penalty: float | None = _field(
        None,
        "Repetition penalty",
        "Factor against tokens that were used before; 1 is none. Default: the server's (vLLM and alike only).",
        "Captions",
        gt=0,
    )
    seed: int | None = _field(None, "Seed", "Number that the sampling begins with. Default: none.", "Captions")
    max_tokens: int = _field(2048, "Answer's tokens", "Tokens of one answer, at most.", "Captions", ge=16)
    max_caption_chars: int | None = _field(
        None,
        "Caption's characters",
        "Where the structure ends a caption, on servers that keep to a regex. Default: no end.",
        "Captions",
        ge=8,
    )
    structure: StructureName = _field(
        "auto",
        "Structure",
        "How the server is held to one caption a region. auto: found out with the first request.",
        "Captions",
    )
    max_repairs: int = _field(
        2, "Repairs", "How often the missing regions of a picture are asked for again.", "Captions", ge=0, le=10
    )

    repair_flags: tuple[FlagName, ...] = _field(
        (),
        "Repair flags",
        "Captions with one of these flags are asked for once more, each with a closer view of its region: "
        "mentions_mark, refusal, duplicate_in_row, too_short, repeats.",
        "Captions",
    )
    retry_rejects: bool = _field(
        False,
        "Retry rejects",
        "Ask again for rows that failed for their own sake in three runs (refused, never complete) and rest since.",
        "Captions",
    )
    on_config_change: Literal["auto", "recaption", "refuse"] = _field(
        "auto",
        "On other settings",
        "What to do when the output's last run had other settings for its captions: ask for all captions anew, or "
        "refuse to run. auto: a deployment refuses, else they are asked for.",
        "Captions",
    )

    # --- server
    max_in_flight: int | None = _field(
        None,
        "In flight",
        "Requests at the server at once, over all endpoints. Default: grows until the server queues.",
        "Server",
        ge=1,
        le=16_384,
    )
    request_timeout: float = _field(120.0, "Timeout", "Seconds that one request may take.", "Server", gt=0)
    max_requests: int | None = _field(
        None, "Most requests", "The run stops after so many; the same command goes on.", "Server", ge=1
    )
    max_usd: float | None = _field(
        None, "Most dollars", "The run stops at this price; needs both prices below.", "Server", gt=0
    )
    usd_per_m_in: float | None = _field(None, "Price in", "US dollars for a million prompt tokens.", "Server", ge=0)
    usd_per_m_out: float | None = _field(
        None, "Price out", "US dollars for a million tokens of answers.", "Server", ge=0
    )

    # --- vLLM of our own
    gpus: str = _field("all", "GPUs", "all, how many (2), which (0,1,3), or none for a CPU build of vLLM.", "vLLM")
    tensor_parallel_size: int = _field(1, "Tensor parallel size", "GPUs that share one model.", "vLLM", ge=1)
    max_model_len: int | None = _field(
        None, "Context length", "Tokens. Default: what the largest picture and answer need.", "vLLM", ge=256
    )
    gpu_memory_utilization: float = _field(
        0.9, "GPU memory", "Share of each GPU's memory that vLLM may take.", "vLLM", gt=0, le=1
    )
    vllm_args: str = _field(
        "", "More arguments", "Anything else for vLLM, as on its command line: --dtype half.", "vLLM"
    )
    vllm_python: str | None = _field(
        None, "vLLM's Python", "The Python of an environment that has vLLM. Default: this one.", "vLLM"
    )

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

    report: bool = _field(
        False,
        "Report",
        "Write a page to look at (….report.html) beside the output, when the run is complete.",
        "Output",
    )
    report_rows: int = _field(2000, "Rows in the report", "Pictures in the page, at most.", "Output", ge=1, le=20_000)

    # --- run
    cache_path: str = _field(
        "./.regioncap",
        "Cache",
        "Folder or URL of step files, marked pictures and answers; may be shared.",
        "Run",
    )
    s3_endpoint_url: str | None = _field(
        None, "S3 endpoint", "URL of an S3-compatible store. Default: the environment's, else AWS.", "Run"
    )
    s3_region: str | None = _field(
        None, "S3 region", "Region of the S3 store, such as eu-central-1. Default: the environment's.", "Run"
    )
    storage_block: str | None = _field(
        None,
        "Storage block",
        "Prefect block with the storage's credentials, TYPE/NAME: remote-file-system/… or secret/… (JSON of fsspec "
        "options for s3). Default: the environment's credentials.",
        "Run",
    )
    file_name_prefix: str = _field(
        "regioncap", "Prefix", "First part of the step folders' names.", "Run", pattern=r"^[A-Za-z0-9._-]+$"
    )
    shard_size: int = _field(1000, "Shard size", "Rows of a shard, about.", "Run", ge=1, le=20_000)
    image_check: Literal["listing", "head", "never"] = _field(
        "listing",
        "Image check",
        "How a rerun finds changed images. listing: S3 by the pages of listings, all else as head; head: each image is "
        "asked for its size and time, or etag; never: not at all.",
        "Run",
    )
    threads: int | None = _field(
        None, "Threads", "Threads for decoding and drawing. Default: one a processor.", "Run", ge=1, le=256
    )
    runner: Literal["threads", "dask"] = _field(
        "threads",
        "Runner",
        "Who works on the shards: threads of this process, or the processes of a Dask cluster (regioncap[dask]).",
        "Run",
    )
    dask_address: str | None = _field(
        None,
        "Dask address",
        "Of the cluster's scheduler, such as tcp://host:8786. Input, images and cache must be reachable from every "
        "worker.",
        "Run",
    )
    page_pictures: int = _field(
        3,
        "Pictures on the run's page",
        "Marked pictures that the run's page in Prefect shows small, with their captions; 0: none is sent to Prefect.",
        "Run",
        ge=0,
        le=20,
    )

    @field_validator("endpoint", "region_fields", "repair_flags", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("endpoint")
    @classmethod
    def _without_slash(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(url.strip().rstrip("/") for url in value))

    @model_validator(mode="after")
    def _check_and_complete(self) -> Self:
        if not self.input.strip():
            raise ValueError("input: expected a path or URL, got an empty one")
        if not self.output:
            # The model is frozen for everyone else; here it is still being made.
            object.__setattr__(self, "output", f"./{input_stem(self.input)}.regioncap.jsonl")
        _check_output(self.input, self.output)
        if self.s3_endpoint_url is not None:
            _check_url(self.s3_endpoint_url, "s3_endpoint_url", "http://host:9000", "keys come from the environment")
        self._check_box_key()
        self._check_captions()
        self._check_runner()
        return self

    def _check_runner(self) -> None:
        if self.runner == "threads":
            if self.dask_address is not None:
                raise ValueError("dask_address: runner 'threads' uses none; choose runner=dask, or leave it away")
            return
        if not self.dask_address:
            raise ValueError(
                "dask_address: expected the address of a Dask scheduler, such as tcp://host:8786, got none; "
                "`dask scheduler` and `dask worker tcp://host:8786` start a cluster"
            )
        if self.captioner_name == "vllm":
            raise ValueError(
                "runner: 'dask' cannot start vLLM, since every process would start one of its own. Start the servers "
                "with `regioncap serve-model MODEL --gpus all --host ADDRESS` on the machines with the GPUs, and name "
                "what it prints with --endpoint"
            )

    def _check_box_key(self) -> None:
        columns = self.box_columns
        if columns and (len(columns) != 4 or not all(columns)):
            raise ValueError(f"bbox_key: expected one key, or four columns a,b,c,d, got {self.bbox_key!r}")
        if columns and self.rows != "per_box":
            raise ValueError(
                f"bbox_key: four columns ({self.bbox_key}) hold one box a row; expected rows='per_box' with them"
            )

    def _check_captions(self) -> None:
        if self.captioner_name == "auto":
            raise ValueError(NO_CAPTIONER)
        if self.captioner_name == "openai" and not self.endpoint:
            raise ValueError("endpoint: expected the server's base URL, such as http://host:8000/v1, got none")
        if self.captioner_name != "pixels" and not self.model:
            raise ValueError("model: expected the name of a vision-language model, got none; give it with --model")
        if self.captioner in ("vllm", "pixels") and self.endpoint:
            raise ValueError(f"endpoint: captioner {self.captioner!r} uses none; leave one of the two away")
        for url in self.endpoint:
            _check_url(url, "endpoint", "http://host:8000/v1", "keys come from REGIONCAP_API_KEY or api_key_block")
        if self.max_usd is not None and (self.usd_per_m_in is None or self.usd_per_m_out is None):
            raise ValueError("max_usd: expected the prices usd_per_m_in and usd_per_m_out with it, got none")
        if self.repair_flags and self.captioner_name == "pixels":
            raise ValueError("repair_flags: captioner 'pixels' says the same again; expected a model, or none of them")
        for name in ("prompt", "focal_prompt", "region_prompt", "system_prompt"):
            template_names(getattr(self, name), name)

    @property
    def captioner_name(self) -> CaptionerName:
        """The captioner that `auto` stands for: `openai` with an endpoint, `vllm` with a model only."""
        if self.captioner != "auto":
            return self.captioner
        if self.endpoint:
            return "openai"
        return "vllm" if self.model else "auto"

    @property
    def box_columns(self) -> tuple[str, ...]:
        """The four columns that hold a box's numbers; none where one key holds them."""
        return tuple(part.strip() for part in self.bbox_key.split(",")) if "," in self.bbox_key else ()

    @property
    def boxes_key(self) -> str:
        """The row's key for its list of boxes, once a table's rows are grouped."""
        return "bbox" if self.box_columns else self.bbox_key

    @property
    def asks_closer(self) -> bool:
        """Whether requests may hold a closer view of a region beside the marked picture."""
        return self.prompt_mode != "marks" or bool(self.repair_flags)

    @property
    def prices(self) -> tuple[float, float] | None:
        """US dollars for a million tokens of prompts and of answers; None when they are not both given."""
        if self.usd_per_m_in is None or self.usd_per_m_out is None:
            return None
        return self.usd_per_m_in, self.usd_per_m_out

    def prompt_fields(self) -> tuple[str, ...]:
        """The row's keys that the prompts name."""
        named = [name for field in self.templates() for name in template_names(getattr(self, field), field)]
        return tuple(sorted(set(named) - {"num_regions", "regions", "n"} - set(self.region_fields)))

    def templates(self) -> tuple[str, ...]:
        """The fields with the prompts that are in use."""
        if self.captioner_name == "pixels":
            return ()
        shared = ("system_prompt", "region_prompt")
        by_mode = {"marks": ("prompt",), "focal": ("focal_prompt",), "auto": ("prompt", "focal_prompt")}
        used = by_mode[self.prompt_mode]
        return (*shared, *used, *(("focal_prompt",) if self.repair_flags and "focal_prompt" not in used else ()))

    def groups_of(self, regions: int) -> list[tuple[int, ...]]:
        """The numbers, from 1, of so many regions as they are shown together: at most `marks_per_request` in a
        picture, in pictures of about equally many. All in one for `pixels`, which is shown none.

        >>> make_config(input="a", captioner="openai", endpoint="http://a/v1", model="m").groups_of(12)
        [(1, 2, 3, 4, 5, 6), (7, 8, 9, 10, 11, 12)]
        """
        most = regions if self.captioner_name == "pixels" else self.marks_per_request
        count = max(1, -(-regions // max(most, 1)))
        ends = [regions * number // count for number in range(count + 1)]
        return [tuple(range(first + 1, last + 1)) for first, last in itertools.pairwise(ends)]

    def fields(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The values of the fields `names`, as JSON values: what a step declares to depend on."""
        return self.model_dump(mode="json", include=set(names))


def _as_form(schema: dict[str, Any]) -> None:
    """What Prefect's run form shows: there, titles are all that can say which fields belong together."""
    schema["description"] = "What the run is told. Only the input is needed, and a way to caption: see Captioner."
    for field in schema["properties"].values():
        group, title = field["group"], field["title"]
        if group != "Input" and not title.startswith(group):
            field["title"] = f"{group}: {title}"


NO_CAPTIONER = (
    "captioner: expected a way to caption, got none; choose one: "
    "--model Qwen/Qwen2.5-VL-7B-Instruct (starts vLLM on this machine's GPUs), "
    "--endpoint http://host:8000/v1 --model NAME (a server that is there), "
    "--captioner pixels (no model: says only what can be measured)"
)


def template_names(template: str, field: str) -> tuple[str, ...]:
    """The names that a prompt template wants filled in, in order of appearance, each once.

    Raises ValueError that names `field` for what is no template of plain `{name}`s.

    >>> template_names("{num_regions} things: {label}", "prompt")
    ('num_regions', 'label')
    """
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ValueError(f"{field}: {error} in {template!r}; braces that are meant are written {{{{ and }}}}") from None
    for name in names:
        if not name or name.isdigit():
            raise ValueError(f"{field}: expected a name in every pair of braces, got {{{name}}} in {template!r}")
        if "[" in name or "." in name:
            raise ValueError(f"{field}: expected plain names such as {{label}}, got {{{name}}}")
    return tuple(dict.fromkeys(names))


def _check_url(url: str, field: str, example: str, secrets: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{field}: expected a URL such as {example}, got {url!r}")
    if parts.username or parts.password or parts.query:
        raise ValueError(
            f"{field}: expected a URL without user, password or query, got one for {parts.hostname}; {secrets}"
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
    if is_part_of(output, source):
        raise ValueError(
            f"output: expected a place outside of the input, got {output!r}, which is or lies in {source!r}; "
            "choose another with --output"
        )
    if output.endswith((".gz", ".csv", ".parquet")):
        raise ValueError(f"output: expected a JSON Lines file (….jsonl), got {output!r}")


def is_part_of(address: str, source: str) -> bool:
    """Whether a file at `address` is the input `source`, or would be read as part of it the next time."""
    where, what = _absolute(address), _absolute(source)
    return where == what or fnmatch.fnmatchcase(where, what) or where.startswith(what.rstrip("/") + "/")


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
