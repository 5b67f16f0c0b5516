"""The one description of a run: `RegionCapConfig`, flat, so that the same names work everywhere.

Python arguments, TOML and YAML keys, flags of `regioncap` and the fields of Prefect's run form are its fields. They are
defined in the modules `fields_….py` beside this one, each with what it is for and what reads it: see `roles.py`. No
field holds a secret; some name one: see `references.py`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

from pydantic import ConfigDict, ValidationError, model_validator

from regioncap.config import checks, described, form
from regioncap.config.delivery_checks import check_delivery
from regioncap.config.derived import DerivedSettings
from regioncap.config.finder_checks import check_finder
from regioncap.config.wrong_values import error_of


def _complete_schema(schema: dict[str, Any]) -> None:
    described.use_titles(schema)
    form.arrange(schema, RegionCapConfig.fields_by_heading())


class RegionCapConfig(DerivedSettings):
    """All settings of a run. Only `input` is required.

    Raises ConfigError with the field, what was expected and what was given; UsageError for values that contradict each
    other, and for names that are no settings.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=False,
        hide_input_in_errors=True,  # it may hold a secret by mistake
        json_schema_extra=_complete_schema,
    )

    if not TYPE_CHECKING:  # type checkers know the settings by their fields

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                fields = type(self).model_fields
                raise error_of(error, fields, self.fields_read_by("secrets")) from None

    @model_validator(mode="after")
    def _complete_and_check(self) -> Self:
        checks.check_texts(self)
        if not self.input.strip():
            raise ValueError("input: expected a path or URL, got an empty one")
        # The model is frozen for everyone else; here it is still being made.
        for name, path in self.values_read_by("path").items():
            if path and path.startswith("~"):  # no shell has expanded what stands in a file or behind `--output=`
                object.__setattr__(self, name, os.path.expanduser(path))  # noqa: PTH111 - a slash at the end counts
        if not self.output:
            object.__setattr__(self, "output", f"./{checks.input_stem(self.input)}.regioncap.jsonl")
        checks.check_addresses(self)
        checks.check_edits(self)
        checks.check_encoding(self)
        checks.check_box_key(self)
        checks.check_output_key(self)
        checks.check_allowed_images(self)
        checks.check_captioner(self)
        checks.check_plugins(self)
        checks.check_requests(self)
        checks.check_prices(self)
        checks.check_audit(self)
        checks.check_templates(self)
        checks.check_coordinates(self)
        check_finder(self)
        checks.check_runner(self)
        check_delivery(self)
        return self


def _basic_schema(schema: dict[str, Any]) -> None:
    _complete_schema(schema)
    form.keep_basic(schema)


class BasicForm(RegionCapConfig):
    """The same settings, for a run form that shows the basic ones."""

    model_config = ConfigDict(json_schema_extra=_basic_schema)
