"""The prompt of one request, from the templates of the config: for every captioner that is given words."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from regioncap.captioners.base import CaptionRequest, Prompt
from regioncap.captioners.box_texts import with_boxes
from regioncap.captioners.prompts import Prompts
from regioncap.config.model import RegionCapConfig


def prompt_of(prompts: Prompts, request: CaptionRequest) -> Prompt:
    """The texts for all of a picture's regions. Raises RowReject `bad_row` when the row lacks a field."""
    request = with_boxes(request, prompts.coordinates)
    count, fields, of_regions = len(request.bbox), request.fields, request.region_fields
    system = prompts.system_text(count, fields, of_regions, request.backwards)
    if request.again:
        texts = [prompts.focal_text(number, count, fields, of_regions) for number in request.wanted]
        return Prompt("\n".join(texts), system)
    return Prompt(prompts.whole_text(count, fields, of_regions, request.backwards), system)


def templates_of(config: RegionCapConfig) -> dict[str, Any]:
    """The prompts in use, and the keys of the regions that they may name."""
    coordinates = config.box_coordinates
    return {
        **config.values_read_by("templates"),
        **config.templates_in_use(),
        **({"coordinates": asdict(coordinates)} if coordinates else {}),
        **config.fields(("region_fields",)),
    }
