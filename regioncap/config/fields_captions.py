"""The settings of captions: who is asked, with which words, and how hard."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, field_validator

from regioncap.config.coordinates import CoordinatesName
from regioncap.config.fields_find import BaseUrls, FindSettings, Names, split_commas
from regioncap.config.fields_input import JsonObject
from regioncap.config.plugin_names import CAPTIONER, plugin_name
from regioncap.config.roles import setting
from regioncap.config.templates import FOCAL_PROMPT, PROMPT, REGION_PROMPT, SYSTEM_PROMPT

CaptionerName = Annotated[str, BeforeValidator(lambda value: plugin_name(value, CAPTIONER))]
PromptMode = Literal["marks", "focal", "auto", "marks+coords", "coords"]
StructureName = Literal["auto", "regex", "guided_regex", "json_schema", "none"]
FlagName = Literal["mentions_mark", "refusal", "duplicate_in_row", "too_short", "repeats", "inconsistent"]

FlagNames = Annotated[tuple[FlagName, ...], BeforeValidator(split_commas)]


class CaptionSettings(FindSettings):
    """Those of input and regions, and what decides the captions."""

    # --- captions
    captioner: CaptionerName = setting(
        "auto",
        "Captioner",
        "Where captions come from. auto: openai if an endpoint is given, vllm (started on this machine) if only "
        "a model is given; pixels needs no model and states only what can be measured. Also the name of an installed "
        "plugin, or the dotted path of a class or function of your own (my_pkg.blip:Captioner).",
        "words",
        examples=[*CAPTIONER.known, CAPTIONER.example],
    )
    captioner_options: JsonObject = setting(
        {},
        "Captioner options",
        'Arguments of a captioner of your own, as JSON: {"device": "cuda:0"}. Other values are other captions.',
        "words",
        read_by=("secrets",),
        when=lambda config: bool(config.captioner_options),
    )
    model: str | None = setting(
        None, "Model", "Name of the vision-language model; for vllm also a local folder.", "words"
    )
    endpoint: BaseUrls = setting(
        (),
        "Endpoints",
        "Base URL of an OpenAI-compatible server (http://host:8000/v1), or of several with the same model.",
        "place",
        heading="Captions",
    )
    api_key_block: str | None = setting(
        None,
        "API key block",
        "Name of a Prefect Secret block with the endpoint's key. Default: REGIONCAP_API_KEY or OPENAI_API_KEY from the "
        "environment.",
        "place",
        heading="Captions",
    )
    model_id: str | None = setting(
        None,
        "Model identity",
        "Name that answers are cached under instead of the model's: for a model with several names.",
        "words",
    )
    prompt_mode: PromptMode = setting(
        "marks",
        "Prompt mode",
        "marks: one request per picture, for all regions; focal: one per region, with a crop of it; auto: marks, then "
        "focal for regions that are still missing; marks+coords: as marks, with each region's box in the prompt; "
        "coords: the prompt gives the boxes, and no marks are drawn.",
        "words",
        read_by=("identity",),
    )
    coordinates: CoordinatesName = setting(
        "none",
        "Coordinates",
        "Numbers in which prompts give {box}, for models that were trained with boxes: px of the picture that the "
        "model gets, 0-1 or 0-1000, as x1, y1, x2, y2, or with -yxyx as y1, x1, y2, x2. auto: those of the model's "
        "family, by its name. Default: none, and auto with the prompt modes marks+coords and coords.",
        "words",
        read_by=("templates",),
        when=lambda config: config.box_coordinates is not None,
    )
    prompt: str = setting(
        PROMPT,
        "Prompt",
        "Prompt for a picture. {num_regions}, {regions} and the row's keys are filled in; write braces as {{ and }}.",
        "words",
        read_by=("templates",),
        when=lambda config: config.uses_model and config.prompt_mode != "focal",
        min_length=1,
    )
    focal_prompt: str = setting(
        FOCAL_PROMPT,
        "Focal prompt",
        "Prompt for a single region, {n}; otherwise as `prompt`.",
        "words",
        read_by=("templates",),
        when=lambda config: config.uses_model and config.asks_closer,
        min_length=1,
    )
    region_prompt: str = setting(
        REGION_PROMPT,
        "Region in prompt",
        "How {regions} names each region: {n}, the keys listed in `region_fields`, and {box} where `coordinates` gives "
        "boxes.",
        "words",
        read_by=("templates",),
        when=lambda config: config.uses_model,
        min_length=1,
    )
    region_fields: Names = setting(
        (),
        "Region fields",
        "Keys of the row that hold a list with one value per box (labels, scores), for prompts, output and exports; "
        "dropped boxes drop their values. COCO input adds its own; tables with one row per box default to all their "
        "columns.",
        "words",
    )
    system_prompt: str = setting(
        SYSTEM_PROMPT,
        "System prompt",
        "System prompt, by the rules of `prompt`; empty sends none.",
        "words",
        read_by=("templates",),
        when=lambda config: config.uses_model,
    )
    temperature: float | None = setting(
        0.0,
        "Temperature",
        "Sampling temperature. 0 gives the same answer each time; -1 uses the server's default.",
        "words",
        read_by=("identity",),
        ge=-1,
        le=2,
    )
    top_p: float | None = setting(
        None,
        "Top p",
        "Sample from the most likely tokens whose probabilities add up to this, 0 to 1. Default: the server's.",
        "words",
        read_by=("identity", "request"),
        gt=0,
        le=1,
    )
    top_k: int | None = setting(
        None,
        "Top k",
        "Sample from this many of the most likely tokens. Default: the server's (vLLM and compatible servers only).",
        "words",
        read_by=("identity", "request"),
        ge=-1,
    )
    repetition_penalty: float | None = setting(
        None,
        "Repetition penalty",
        "Penalty factor for tokens that occurred before; 1 is none. Default: the server's (vLLM and compatible servers "
        "only).",
        "words",
        read_by=("identity", "request"),
        gt=0,
    )
    seed: int | None = setting(None, "Seed", "Random seed for sampling. Default: none.", "words", read_by=("identity",))
    max_tokens: int = setting(2048, "Max tokens", "Maximum number of tokens per answer.", "effort", ge=16)
    max_caption_chars: int | None = setting(
        None,
        "Max caption length",
        "Maximum number of characters per caption, on servers that enforce a regex. Default: no limit.",
        "effort",
        ge=8,
    )
    structure: StructureName = setting(
        "auto",
        "Structure",
        "Structured output that makes the server give one caption per region. auto: detected with the first request.",
        "effort",
    )
    accept_finish_reasons: Names = setting(
        (),
        "Accepted finish reasons",
        "Further finish reasons that mean a complete answer, besides stop and its synonyms; absent stands for no "
        "finish reason at all.",
        "effort",
        when=lambda config: bool(config.accept_finish_reasons),
    )
    max_repairs: int = setting(
        2,
        "Repairs",
        "Maximum number of times that missing regions of a picture are requested again.",
        "effort",
        ge=0,
        le=10,
    )
    repair_flags: FlagNames = setting(
        (),
        "Repair flags",
        "Captions with one of these flags are requested once more, each with a closer view of its region: "
        "mentions_mark, refusal, duplicate_in_row, too_short, repeats, or inconsistent (found by `regioncap audit`).",
        "words",
    )
    edits: str | None = setting(
        None,
        "Edits",
        "File of people's corrections, as the report page saves them (….edits.jsonl); a path or any fsspec URL. "
        "Approved and edited captions are taken from it and never requested; rejected ones are requested once more.",
        "look",
        read_by=("path",),
        heading="Captions",
    )

    @field_validator("accept_finish_reasons")
    @classmethod
    def _lower(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(word.strip().casefold() for word in value))
