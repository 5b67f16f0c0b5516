"""Descriptions of settings. They name other settings in backticks, which the help, the run form and the documentation
each call their own way: `--max-boxes`, "Regions per picture", `max_boxes`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NAMED = re.compile(r"`([a-z][a-z0-9_]*)`")


def with_names(description: str, names: Mapping[str, str]) -> str:
    """`description` with each setting in it called what `names` has for it.

    >>> with_names("At most `max_boxes`; `[]` is none.", {"max_boxes": "--max-boxes"})
    'At most --max-boxes; `[]` is none.'
    """
    return _NAMED.sub(lambda found: names.get(found[1], found[0]), description)


def use_titles(schema: dict[str, Any]) -> None:
    """Have the descriptions of a JSON schema call settings by their titles, in place."""
    fields = schema["properties"]
    titles = {name: f"“{field['title']}”" for name, field in fields.items()}
    for field in fields.values():
        field["description"] = with_names(field["description"], titles)
