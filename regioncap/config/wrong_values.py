"""What pydantic says of a wrong value, in the terms of the settings."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from regioncap.errors import ConfigError, UsageError
from regioncap.masking import mask


def error_of(error: ValidationError, settings: Collection[str], secrets: Collection[str]) -> ConfigError | UsageError:
    """The first of pydantic's errors: ConfigError for one wrong value; UsageError for values that contradict each
    other, for a name that is no setting, and for what is missing.

    `settings`: the names of all settings. `secrets`: of those whose values no message may show.
    """
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, settings, 1)
        hint = f"; did you mean {near[0]}?" if near else "; see `regioncap run --help`"
        return UsageError(f"{name}: there is no such setting{hint}")
    if first["type"] == "missing":
        return UsageError(f"{name}: is required")
    if not name:  # from one of our own checks: its text names the field already
        return UsageError(first["msg"].removeprefix("Value error, "))
    expected = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return ConfigError(name, expected, Hidden() if name in secrets else _masked(first["input"]))


class Hidden:
    """The value of a setting that may be a secret, in an error."""

    def __repr__(self) -> str:
        return "something else"


def _masked(value: Any) -> Any:
    """`value`, of which a message is made, with what looks like a key masked in all its texts."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {_masked(name): _masked(part) for name, part in value.items()}
    return type(value)(map(_masked, value)) if isinstance(value, list | set) else value
