"""What each setting is for and what reads it: declared once, in the field's definition; all else is derived.

Keys of steps and answers, "settings changed", the order of Prefect's run form and the headings of the help are derived
here from the definitions in `regioncap/config/model.py`, so that no list of settings can drift from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, Field

Role = Literal["source", "regions", "marks", "words", "effort", "limits", "place", "look"]

HEADING_OF_ROLE: dict[Role, str] = {
    "source": "Input",  # which rows and images are read, and how
    "regions": "Regions",  # which regions are captioned, and their numbers
    "marks": "Marks",  # what the model sees of them
    "words": "Captions",  # decides the text of an answer
    "effort": "Captions",  # may let a row succeed that failed
    "limits": "Limits",  # what is refused or ends the run; changes no answer
    "place": "Run",  # where things are and what does the work; changes no result
    "look": "Output",  # the form of results; changes no answer
}
"""The heading of a role's settings, unless a field declares another."""

HEADINGS = ("Input", "Regions", "Marks", "Captions", "Limits", "vLLM", "Output", "Run")
"""All headings, in the order of the help and of Prefect's run form."""

StepName = Literal["load", "route", "extract", "normalize", "visualize", "caption"]

Reader = Literal[
    StepName,  # the step's key
    "templates",  # the key of `caption`: the prompts in use
    "identity",  # the keys of `caption` and of answers: how the model is asked
    "drawing",  # the keys of answers: how the marks are drawn
    "write",  # the key of the output
    "audit",  # the key of the summary: what a run measures before it writes
    "box_form",  # the check of the boxes' format, skipped while these are unchanged
    "request",  # every request to the model, as they are
    "dask",  # limits of the run that hold over all of its processes
    "storage",  # the filesystem of the cache
    "secrets",  # may name secrets, and be given one by mistake: shown in no error
    "path",  # a path or URL: absolute for other processes, shown without credentials
]  # fmt: skip


def always(config: Any) -> bool:
    """The condition of a setting that always applies."""
    return True


@dataclass(frozen=True)
class Use:
    """What a field declares of itself. As `json_schema_extra` of the field it also tells the field's JSON schema.

    `read_by`: the keys and consumers that it is part of. `when`: whether the field has an effect, given the rest of the
    config; where it has none, `values_read_by` omits it.
    """

    role: Role
    heading: str
    read_by: tuple[Reader, ...] = ()
    when: Callable[[Any], bool] = always

    def __call__(self, schema: dict[str, Any]) -> None:
        """Add the role and the heading to the field's JSON schema."""
        schema.update(role=self.role, group=self.heading)
        if schema.get("default") == {}:  # a text in the form, empty there
            schema["default"] = ""


def setting(
    default: Any,
    title: str,
    description: str,
    role: Role,
    *,
    read_by: tuple[Reader, ...] = (),
    when: Callable[[Any], bool] = always,
    heading: str = "",
    **constraints: Any,
) -> Any:
    """A field of the config; see `Use`. `title`, `description`: shown in the form and the help; a description names
    other settings in backticks.

    `constraints`: passed on to pydantic's `Field`.
    """
    use = Use(role, heading or HEADING_OF_ROLE[role], read_by, when)
    return Field(default, title=title, description=description, json_schema_extra=use, **constraints)


class Settings(BaseModel):
    """A model whose fields are all made by `setting`. Raises TypeError when a subclass has a field that is not."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        for name in cls.model_fields:
            cls.use_of(name)

    @classmethod
    def use_of(cls, name: str) -> Use:
        """What the field `name` declares. Raises TypeError if it declares nothing."""
        use = cls.model_fields[name].json_schema_extra
        if not isinstance(use, Use):
            raise TypeError(f"{cls.__name__}.{name}: expected a field made by setting(), with a role")
        return use

    @classmethod
    @cache
    def fields_with_role(cls, *roles: Role) -> tuple[str, ...]:
        """Names of the fields with one of these roles, in order of definition."""
        return tuple(name for name in cls.model_fields if cls.use_of(name).role in roles)

    @classmethod
    @cache
    def fields_read_by(cls, reader: Reader) -> tuple[str, ...]:
        """Names of the fields that `reader` reads, in order of definition."""
        return tuple(name for name in cls.model_fields if reader in cls.use_of(name).read_by)

    @classmethod
    def fields_by_heading(cls) -> tuple[str, ...]:
        """Names of all fields in the order of their headings."""
        return tuple(sorted(cls.model_fields, key=lambda name: HEADINGS.index(cls.use_of(name).heading)))

    def applies(self, name: str) -> bool:
        """Whether the field `name` has an effect in this config."""
        return self.use_of(name).when(self)

    def values_read_by(self, reader: Reader) -> dict[str, Any]:
        """JSON values of the fields that `reader` reads and that apply."""
        return self.fields(tuple(name for name in self.fields_read_by(reader) if self.applies(name)))

    def values_with_role(self, *roles: Role) -> dict[str, Any]:
        """JSON values of the fields with one of these roles that apply."""
        return self.fields(tuple(name for name in self.fields_with_role(*roles) if self.applies(name)))

    def fields(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The JSON values of the fields `names`."""
        return self.model_dump(mode="json", include=set(names))
