"""Other settings than last time: a changed prompt or a mistyped model has every caption asked for again."""

from __future__ import annotations

import contextlib
from typing import Any

from regioncap.config.model import RegionCapConfig, make_config
from regioncap.errors import UsageError
from regioncap.output.outputs import config_of_output
from regioncap.storage.filesystem import Filesystems
from regioncap.storage.runs import entry_of, registered

REGION_FIELDS = (
    "extractor",
    "min_score",
    "max_boxes",
    "bbox_key",
    "rows",
    "bbox_format",
    "bbox_unit",
    "empty_bbox",
    "box_order",
)
MARK_FIELDS = ("dim", "max_pixels", "marks_per_request")
SAMPLING_FIELDS = ("temperature", "top_p", "top_k", "repetition_penalty", "seed", "region_fields", *MARK_FIELDS)

MOST_SHOWN = 60
"""Characters of a setting in a message."""


def differences(config: RegionCapConfig, files: Filesystems) -> list[str]:
    """In words, how the settings of captions differ from those that the output's last run began with."""
    entry = entry_of(files.place(config.cache_path), config.file_name_prefix, config.output)
    earlier = registered(entry).config or config_of_output(files.place(config.output)) or {}
    known = {name: value for name, value in earlier.items() if name in RegionCapConfig.model_fields}
    with contextlib.suppress(UsageError):  # by a version with other settings: nothing can be said
        then, now = _settings(make_config(**known)), _settings(config)
        names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        if "captioner" in names:  # then it matters no more how the other was asked
            names = ["captioner"]
        return [f"{name} {_shown(then.get(name))} -> {_shown(now.get(name))}" for name in names]
    return []


def check_settings(config: RegionCapConfig, files: Filesystems, *, deployed: bool = False) -> list[str]:
    """`differences`, unless they are to be refused. `deployed`: nobody looks on. Raises UsageError."""
    found = differences(config, files)
    choice = ("refuse" if deployed else "recaption") if config.on_config_change == "auto" else config.on_config_change
    if found and choice == "refuse":
        raise UsageError(
            f"on_config_change: the last run for this output had other settings: {'; '.join(found)}. Go back to those, "
            "choose another output, or let on_config_change=recaption ask for all captions anew."
        )
    return found


def _settings(config: RegionCapConfig) -> dict[str, Any]:
    """What decides which regions are captioned, and with which words."""
    found: dict[str, Any] = {"captioner": config.captioner_name, **config.fields(REGION_FIELDS)}
    if config.captioner_name in ("vllm", "openai"):
        # Answers are the same whoever runs the model, and whatever it is called.
        found = {**found, "captioner": "model", "model": config.model_id or config.model}
        found |= config.fields((*SAMPLING_FIELDS, "prompt_mode", *config.templates()))
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"
