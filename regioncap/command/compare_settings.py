"""The settings that `regioncap compare` compares: those given, and with each `--with` some of them changed.

All of them are made before anything is asked, so that a wrong name or value is refused then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from regioncap.command.options import flag_of
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.masking import mask
from regioncap.preflight.settings_diff import asked_for
from regioncap.printable import printable
from regioncap.records import cut_text, shorten

AS_GIVEN = "as given"
"""The name of the settings without any change."""

MAX_NAME_CHARS = 60

_NAME = r"(?:--)?[A-Za-z][\w-]*"
_SETTING = "|".join(name.replace("_", "[_-]") for name in sorted(RegionCapConfig.model_fields, reverse=True))
_PART = re.compile(
    rf"(?P<name>{_NAME})=(?P<value>'[^']*'|\"[^\"]*\"|.*?)"
    rf"(?:\s*$|\s*,?\s+(?={_NAME}=)|\s*,\s*(?=(?:--)?(?:{_SETTING})=))",  # a comma alone may be one of the value
    re.DOTALL,
)

ONE_FOR_ALL = frozenset(
    {"output", "runner", "dask_address", "processes", "max_usd", "max_requests", "max_reject_share", "on_config_change",
     "audit_rows", "min_consistent"}
)  # fmt: skip
"""Settings that concern the comparison as a whole, or an output, which there is none of."""


@dataclass(frozen=True)
class Setting:
    """One of the settings to compare.

    `name`: what tables call it. `option`: the option that it comes from, for errors; "" for the settings as given.
    `same_as`: the name of an earlier one that asks for the same answers, so that there is little to compare.
    """

    name: str
    option: str
    config: RegionCapConfig
    same_as: str = ""


def settings_of(base: RegionCapConfig, changes: Sequence[str], rows: int) -> list[Setting]:
    """The settings to compare on a sample of `rows` rows: `base`, and `base` with each of the `changes`.

    Raises UsageError that names the option for a name or a value that is wrong, or has no place here.
    """
    if not changes:
        raise UsageError("--with: expected at least one setting to compare with, such as --with prompt_mode=focal")
    base = base.model_copy(update=_for_sample(base, rows))
    found = {"": Setting(AS_GIVEN, "", base)}
    for text in changes:
        made = _changed(base, text)
        if made.option in found:
            raise UsageError(f"{made.option}: it is given twice; remove one of them")
        if any(made.name == other.name for other in found.values()):  # their beginnings are the same
            made = replace(made, name=f"{made.name} ({len(found) + 1})")
        same = next((other.name for other in found.values() if asked_for(other.config) == asked_for(made.config)), "")
        found[made.option] = replace(made, same_as=same)
    return [replace(setting, config=_audited(setting.config)) for setting in found.values()]


def _for_sample(base: RegionCapConfig, rows: int) -> dict[str, Any]:
    # No output is written, so it does not matter what its last run had, and processes elsewhere are not needed; all
    # rows are audited anyway.
    sample = min(rows, base.sample or rows)
    return {
        "sample": sample, "on_config_change": "recaption", "runner": "threads", "dask_address": None, "processes": None,
        "audit_rows": 0, "min_consistent": None,
    }  # fmt: skip


def _audited(config: RegionCapConfig) -> RegionCapConfig:
    """For the plan: all rows are audited, where there is something to audit."""
    return config.model_copy(update={"audit_rows": config.sample}) if config.uses_model else config


def _changed(base: RegionCapConfig, text: str) -> Setting:
    option = f"--with {_shown(text)!r}"
    try:
        values = {name: _value(name, value) for name, value in _parts(text)}
        config = RegionCapConfig(**{**base.model_dump(exclude_unset=True), **values})
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from None
    return Setting(printable(cut_text(_shown(text), MAX_NAME_CHARS)), option, config)


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """(name, value) of each setting in the text of an option: `prompt_mode=focal coordinates=auto`."""
    at, seen = 0, set[str]()
    text = text.strip()
    while at < len(text) or not text:
        part = _PART.match(text, at)
        if part is None:
            raise UsageError(f"expected name=value, or several of them with spaces between, got {shorten(text[at:])}")
        name = part["name"].removeprefix("--").replace("-", "_")
        if name in seen:
            raise UsageError(f"{name}: it is given twice; remove one of them")
        seen.add(name)
        at = part.end()
        yield name, part["value"]


def _value(name: str, text: str) -> str | None:
    """The value of a setting, as text; None where an empty one stands for none. Raises UsageError."""
    field = RegionCapConfig.model_fields.get(name)
    if field is None:
        return text  # the config refuses it, and says what it may be
    _check_may_differ(name)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    return None if not text and field.default is None else text


def _check_may_differ(name: str) -> None:
    use = RegionCapConfig.use_of(name)
    if use.role == "source" or name == "rows":
        why = "decides which rows are read, and all settings are compared on the same ones"
    elif use.role == "look":
        why = "decides the form of an output, and a comparison writes none"
    elif name in ONE_FOR_ALL or "storage" in use.read_by:
        why = "applies to the whole comparison"
    else:
        return
    instead = "INPUT" if name == "input" else flag_of(name)
    raise UsageError(f"{name}: it {why}; remove it here, and give {instead} instead if it is needed")


def _shown(text: str) -> str:
    """The text of an option as messages and tables show it: without what may be a secret, on one line."""
    try:
        parts = list(_parts(text))
    except UsageError:
        return shorten(text, MAX_NAME_CHARS).strip("'\"")
    hidden = RegionCapConfig.fields_read_by("secrets")
    return " ".join(f"{name}={'…' if name in hidden else mask(' '.join(value.split()))}" for name, value in parts)
