"""The model that is asked which regions a picture has: the one that captions, or one of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from regioncap.captioners.base import Captioner, CaptionerOptions
from regioncap.captioners.vlm import OpenAICaptioner
from regioncap.config.model import RegionCapConfig


def settings_of_finder(config: RegionCapConfig) -> RegionCapConfig:
    """`config` as it is for a model that finds regions and does not caption: with its endpoints, its name and its keys.
    What is set for the captions' endpoints is not sent to others."""
    own: dict[str, Any] = {
        "captioner": "openai", "model": config.finder_model, "model_id": None, "structure": "none",
        "prompt_mode": "marks", "repair_flags": (), "edits": None, "captioner_options": {},
    }  # fmt: skip
    if config.find_endpoint:
        own |= {
            "endpoint": config.find_endpoint, "api_keys": config.find_api_keys, "api_key_block": None,
            "request_headers": (), "request_query": (), "request_body": {},
        }  # fmt: skip
    return config.model_copy(update=own)


def make_region_model(options: CaptionerOptions, captioner: Captioner) -> Captioner:
    """A captioner for the model that finds regions, made from `options`, whose config is that of `settings_of_finder`;
    it shares the limits of `captioner`, if that asks a model itself."""
    return OpenAICaptioner(replace(options, beside=getattr(captioner, "session", None)))
