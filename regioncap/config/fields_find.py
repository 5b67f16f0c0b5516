"""The settings of a model that finds regions: who is asked, and what for."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from regioncap.config.coordinates import FindCoordinatesName
from regioncap.config.fields_input import InputSettings
from regioncap.config.roles import setting
from regioncap.config.templates import FIND_PROMPT

_ADDED_PATH = re.compile(r"/(?:chat/completions|models)$")
"""What is added to a base URL; documentation often gives the whole address."""


def split_commas(value: Any) -> Any:
    """A list may be given as text, as environment variables and single flags do: "a,b"."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(split_commas)]
BaseUrls = Annotated[
    Names,
    AfterValidator(lambda urls: tuple(dict.fromkeys(_ADDED_PATH.sub("", url.strip().rstrip("/")) for url in urls))),
]


def _asks_for_regions(config: Any) -> bool:
    """Whether a model is asked for the regions."""
    return bool(config.extractor == "vlm")


class FindSettings(InputSettings):
    """Those of the input, and how a model is asked for regions."""

    # --- regions that a model finds
    find: str = setting(
        "",
        "Find",
        "What a model is asked to find (region finder vlm): dog, bicycle; the row's keys are filled in, as {tags}. "
        "Default: every object that is worth a caption.",
        "regions",
        read_by=("extract",),
        when=_asks_for_regions,
    )
    find_prompt: str = setting(
        FIND_PROMPT,
        "Find prompt",
        "The question for a picture's regions (region finder vlm). {find}, {box_form}, {box_key}, {max_boxes} and the "
        "row's keys are filled in.",
        "regions",
        read_by=("extract",),
        when=_asks_for_regions,
        min_length=1,
    )
    find_coordinates: FindCoordinatesName = setting(
        "auto",
        "Find coordinates",
        "Numbers in which the model gives boxes (region finder vlm): px of the picture that it gets, 0-1 or 0-1000, as "
        "x1, y1, x2, y2, or with -yxyx as y1, x1, y2, x2. auto: those of the model's family, by its name.",
        "regions",
        when=_asks_for_regions,
    )
    find_fallback: Literal["edges", "reject"] = setting(
        "reject",
        "Find fallback",
        "What becomes of a picture in which the model finds nothing (region finder vlm): its regions are found by "
        "edges, or the row is rejected.",
        "regions",
        read_by=("extract",),
        when=_asks_for_regions,
    )
    find_model: str | None = setting(
        None,
        "Find model",
        "Name of the model that finds regions (region finder vlm). Default: the one that captions.",
        "regions",
        when=_asks_for_regions,
    )
    find_endpoint: BaseUrls = setting(
        (),
        "Find endpoints",
        "Base URL of the server with `find_model`, or of several. Default: those of the captions.",
        "place",
        heading="Regions",
    )
    find_api_keys: Names = setting(
        (),
        "Find API keys",
        "Where the keys of `find_endpoint` are, as in `api_keys`: none that is set for the captions' endpoints is sent "
        "there. Default: REGIONCAP_API_KEY or OPENAI_API_KEY from the environment.",
        "place",
        read_by=("secrets",),
        heading="Regions",
    )
