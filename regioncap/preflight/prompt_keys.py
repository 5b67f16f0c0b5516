"""Whether the prompts fit the rows, so that a misspelt key costs nothing."""

from __future__ import annotations

import contextlib
import difflib

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.image_ref import without_place
from regioncap.preflight.first_rows import FirstRows
from regioncap.records import cut_text, loads_given, shorten

ROWS_TO_READ = 100


def check_prompt_keys(config: RegionCapConfig, rows: FirstRows) -> None:
    """Raises UsageError when none of the first rows has a key that the prompts name."""
    needed = [*config.prompt_fields(), *config.region_fields]
    keys = list(_keys(rows)) if needed else []
    for key in needed:
        if keys and key not in keys:
            near = difflib.get_close_matches(key, keys, 1)
            hint = f"did you mean {shorten(near[0])}?" if near else f"their keys: {cut_text(', '.join(keys[:12]))}"
            raise UsageError(f"prompt: none of the first rows has the key {key!r}; {hint}")


def _keys(rows: FirstRows) -> dict[str, None]:
    """The keys of the first rows, in the order in which they first come."""
    found: dict[str, None] = {}
    for _, _, text in rows.lines(ROWS_TO_READ):
        with contextlib.suppress(ValueError):
            row = loads_given(without_place(text)[0])
            found.update(dict.fromkeys(row if isinstance(row, dict) else ()))
    return found
