"""Whether the rows have the keys that the settings name, so that a misspelt key costs nothing.

A key that is wrong would not fail by itself: rows without boxes are rows whose regions are found.
"""

from __future__ import annotations

from collections.abc import Iterator

from regioncap.config.model import RegionCapConfig
from regioncap.config.templates import BOX_NAMES, BUILT_IN_NAMES, TEMPLATES
from regioncap.errors import UsageError
from regioncap.preflight.first_rows import MAX_ROWS, FirstRows
from regioncap.row_keys import MISSING, keys_in_words, paths_of, value_at

FOUND_FIELDS = ("label", "score")
"""Those that found regions may have, of whatever row, where what finds them says what they are."""

ROWS_WITH_KEYS = 100
"""Rows whose keys are offered in the place of a wrong one."""


def check_named_keys(config: RegionCapConfig, rows: FirstRows) -> None:
    """Raises UsageError for a key that a setting names and that no row has.

    That is certain where the input has no more than the first rows. Beyond that the first rows decide, unless
    `box_check` is off.
    """
    wanted = {key: setting for setting, key in named_keys(config)}
    known: dict[str, None] = {}
    number = -1
    for number, row in enumerate(rows.objects() if wanted else ()):
        wanted = {key: setting for key, setting in wanted.items() if value_at(row, key) is MISSING}
        if not wanted:
            return
        if number < ROWS_WITH_KEYS:
            known.update(dict.fromkeys(paths_of(row)))
    exact = rows.whole_input() is not None
    if number >= 0 and (exact or config.box_check):
        key, setting = next(iter(wanted.items()))
        which = "no row" if exact else f"none of the first {MAX_ROWS:,} rows"
        later = "" if exact else ". Set --no-box-check if it is right and only later rows have it"
        hint = _filled_in_elsewhere(config, setting, key) or keys_in_words(key, known)
        raise UsageError(f"{setting}: {which} has the key {key!r}; {hint}{later}")


def named_keys(config: RegionCapConfig) -> Iterator[tuple[str, str]]:
    """(setting, key of the row) for every key that the user named."""
    for setting in ("image_key", "bbox_key", "score_key"):
        key = getattr(config, setting)
        # Four columns are made into one key; that the table has them was checked when its columns were read.
        if key != type(config).model_fields[setting].default and not (setting == "bbox_key" and config.box_columns):
            yield setting, key
    for key in config.region_fields:
        if not (config.names_regions and key in FOUND_FIELDS):
            yield "region_fields", key
    for key, template in config.keys_in_templates().items():
        if not (config.names_regions and key in FOUND_FIELDS):
            yield template, key
    for key, template in config.keys_in_question().items():
        yield template, key


def _filled_in_elsewhere(config: RegionCapConfig, setting: str, key: str) -> str:
    """In words, where `{key}` is filled in without being a key of the row, if it is and `setting` is a template."""
    if setting not in TEMPLATES:
        return ""
    if places := [name for name in TEMPLATES if key in BUILT_IN_NAMES[name]]:
        return f"{{{key}}} is filled in only in {' and '.join(places)}"
    if config.box_coordinates is None and key in BOX_NAMES[setting]:
        return f"{{{key}}} is filled in where coordinates are set, such as coordinates='0-1000'"
    return f"{{{key}}} is filled in only in region_prompt" if key in BOX_NAMES["region_prompt"] else ""
