"""Messages name settings by the flags of the command; for readers who have a form or a deployment, by their names."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from regioncap.config.model import RegionCapConfig

_FLAG = re.compile(
    r"`[^`]*`|"  # a command, which stays as it is
    r"(?<![\w-])--(?P<no>no-)?(?P<name>[a-z][a-z0-9-]*)"
    r"(?: (?P<value>'[^']*'|[a-z][a-z0-9]*://\S*[\w/]|-?\d[\d.-]*\b|[A-Z]+\b|\w[\w.-]*/[\w./-]*\w|[\w-]+))?"
)


def by_setting_names(text: str) -> str:
    """`text` with settings called by their names; flags of anything else stay.

    >>> by_setting_names("Lower --max-boxes to 5, or use --captioner pixels --no-box-check (vLLM: --dtype half).")
    'Lower `max_boxes` to 5, or use `captioner=pixels` `box_check=false` (vLLM: --dtype half).'
    """
    return _FLAG.sub(_named, text)


def _named(found: re.Match[str]) -> str:
    name, value = (found["name"] or "").replace("-", "_"), found["value"]
    if name not in RegionCapConfig.model_fields:
        return found[0]
    if found["no"]:
        return f"`{name}=false`" + (f" {value}" if value else "")
    if value is None:
        return f"`{name}`"
    if value.islower() and "/" not in value and value not in _choices(name):  # the next word of the sentence
        return f"`{name}` {value}"
    return f"`{name}={value}`"


@cache
def _choices(name: str) -> frozenset[str]:
    """Values of a setting that are words."""
    field: dict[str, Any] = _fields()[name]
    described = [field, field.get("items", {}), *field.get("anyOf", ())]
    return frozenset(str(one) for part in described for key in ("enum", "examples") for one in part.get(key, ()))


@cache
def _fields() -> dict[str, Any]:
    return dict(RegionCapConfig.model_json_schema()["properties"])
