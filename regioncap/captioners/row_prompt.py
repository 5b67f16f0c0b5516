"""The prompt of one request, from the templates of the config: for every captioner that is given words."""

from __future__ import annotations

from typing import Any

from regioncap.captioners.base import CaptionRequest, Prompt
from regioncap.captioners.prompts import Prompts
from regioncap.config.model import RegionCapConfig


def prompt_of(prompts: Prompts, request: CaptionRequest) -> Prompt:
    """The texts for all of a picture's regions. Raises RowReject `bad_row` when the row lacks a field."""
    count, fields, of_regions = len(request.bbox), request.fields, request.region_fields
    if request.again:
        texts = [prompts.focal_text(number, count, fields, of_regions) for number in request.wanted]
        return Prompt("\n".join(texts), prompts.system_text(fields))
    return Prompt(prompts.whole_text(count, fields, of_regions), prompts.system_text(fields))


def templates_of(config: RegionCapConfig) -> dict[str, Any]:
    """The prompts in use, and the keys of the regions that they may name."""
    return {**config.values_read_by("templates"), **config.fields(("region_fields",))}
