"""Prefect's run form: what it shows of the settings, made from the config's JSON schema.

A form has no groups that open and close: every property of the schema is shown, in order. So the settings that most
runs need come first, and there are two forms: of all settings, and of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

BASIC = (
    "input", "output", "captioner", "model", "endpoint", "api_key_block", "limit", "max_boxes", "prompt", "report",
    "cache_path", "on_config_change",
)  # fmt: skip
"""The settings that most runs need, in the order of the form."""

ALL_DESCRIPTION = "Settings of the run. Only Input and a way to caption are required: see Captioner."
BASIC_DESCRIPTION = (
    "The settings that most runs need. Only Input and a way to caption are required: see Captioner. All others are in "
    "the form of manual-all, and here as JSON (menu at the right); those that this deployment sets stay."
)


def arrange(schema: dict[str, Any], by_heading: Iterable[str]) -> None:
    """Make the form of all settings of the config's `schema`, in place: the basic ones first, the others as they are
    `by_heading`."""
    fields = {name: _without_null(field) for name, field in schema["properties"].items()}
    for name in fields.keys() - set(BASIC):
        field = fields[name]
        heading, title = field["group"], field["title"]
        if not title.startswith(heading):  # a form shows no headings
            field["title"] = f"{heading}: {title}"
    rest = [name for name in by_heading if name not in BASIC]
    schema["description"] = ALL_DESCRIPTION
    schema["properties"] = {name: fields[name] for name in (*BASIC, *rest)}


def keep_basic(schema: dict[str, Any]) -> None:
    """Make the form of the basic settings of one that `arrange` has made, in place.

    The others are taken and checked as before: a form shows `properties` (and `allOf`) alone, Prefect's server knows
    all of JSON Schema.
    """
    fields = schema["properties"]
    schema["description"] = BASIC_DESCRIPTION
    schema["properties"] = {name: fields[name] for name in BASIC}
    every = {name: _with_null(field) for name, field in fields.items()}
    schema["if"], schema["then"] = {}, {"properties": every, "additionalProperties": schema.pop("additionalProperties")}


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """An optional setting as an input that may stay empty. As "this or null", it would be one to choose the type of.

    Prefect's server takes null for an optional property without a default.
    """
    match field:
        case {"anyOf": [dict(kind), {"type": "null"}], "default": None}:
            rest = {key: value for key, value in field.items() if key not in ("anyOf", "default")}
            return {**kind, **rest}
    return field


def _with_null(field: dict[str, Any]) -> dict[str, Any]:
    """`_without_null`, undone: Prefect's server does so for properties alone."""
    if "default" in field or "anyOf" in field:
        return field
    return {"anyOf": [field, {"type": "null"}]}
