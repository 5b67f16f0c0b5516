"""Prompts: templates become the text of one request.

Some names are ours (`BUILT_IN_NAMES`, `BOX_NAMES`), every other is a key of the row, or, in `region_prompt`, of the
region.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from regioncap.config.coordinates import Coordinates
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.records import dumps
from regioncap.row_work import words_of

Fields = Mapping[str, Any]
"""The values of a row, by the names that prompts use."""

RegionFields = Sequence[Fields]
"""Those of each region."""

IN_LINES = "Answer with one line for each region and nothing else, in this form:\n{form}"
IN_JSON = "Answer with one JSON object that has a text for each region: {form}"


def label(number: int) -> str:
    """The label of region `number` (from 1): `<region1>`."""
    return f"<region{number}>"


class _Filler(string.Formatter):
    """Fills in a name as a whole: its dots are those of a key, not of an attribute."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return kwargs[field_name], field_name


_FILLER = _Filler()


def fill(template: str, values: Mapping[str, Any]) -> str:
    """`template` with its `{name}`s filled in. Raises RowReject `bad_row` when the row lacks one of them."""
    try:
        return _FILLER.vformat(template, (), {name: _text(value) for name, value in values.items()})
    except KeyError as error:
        raise RowReject(
            "bad_row", f"the prompt uses {{{error.args[0]}}}, but this row has no key {error.args[0]!r}"
        ) from None
    except Exception as error:  # whatever a value has against its place: `{score:.2f}` of a text, or of 400 digits
        said = f"{type(error).__name__}: {words_of(error)}"
        raise RowReject("bad_row", f"the prompt {template!r} cannot be filled in: {said}") from None


def _text(value: Any) -> Any:
    """Numbers stay numbers, so that a template may format them; lists and objects become JSON."""
    if value is None:
        return ""
    return dumps(value).decode() if isinstance(value, list | dict) else value


@dataclass(frozen=True)
class Prompts:
    """The templates of a config; see there."""

    mode: str
    system: str
    marks: str
    focal: str
    region: str
    coordinates: Coordinates | None

    @classmethod
    def of(cls, config: RegionCapConfig) -> Prompts:
        """The templates of `config`."""
        texts = config.templates
        return cls(
            config.prompt_mode, texts["system_prompt"], texts["prompt"], texts["focal_prompt"], texts["region_prompt"],
            config.box_coordinates,
        )  # fmt: skip

    def system_text(self, count: int, fields: Fields, region_fields: RegionFields, backwards: bool = False) -> str:
        """The system prompt for a picture with `count` regions; `backwards`: naming the last first."""
        return _filled(self._system_text, count, fields, region_fields, backwards)

    def marks_text(self, count: int, fields: Fields, region_fields: RegionFields, backwards: bool = False) -> str:
        """The prompt for a picture with `count` regions; `backwards`: naming the last first."""
        return _filled(self._marks_text, count, fields, region_fields, backwards)

    def whole_text(self, count: int, fields: Fields, region_fields: RegionFields, backwards: bool = False) -> str:
        """All prompts that a picture may be sent with, as one text: the `prompt` of its output row, and part of its
        answer's key."""
        return _filled(self._whole_text, count, fields, region_fields, backwards)

    def focal_text(self, number: int, count: int, fields: Fields, region_fields: RegionFields) -> str:
        """The prompt for region `number` alone, of a picture with `count` regions."""
        name = self._region(number, fields, region_fields)
        return fill(self.focal, {**fields, "n": number, "num_regions": count, "regions": name})

    def _whole_text(self, count: int, fields: Fields, region_fields: RegionFields, backwards: bool) -> str:
        numbers = range(1, count + 1)
        focal = [self.focal_text(number, count, fields, region_fields) for number in numbers]
        if self.mode == "focal":
            return "\n".join(focal)
        marks = self.marks_text(count, fields, region_fields, backwards)
        return "\n".join([marks, *focal]) if self.mode == "auto" else marks

    def _system_text(self, count: int, fields: Fields, region_fields: RegionFields, backwards: bool) -> str:
        return self._picture(self.system, count, fields, region_fields, backwards)

    def _marks_text(self, count: int, fields: Fields, region_fields: RegionFields, backwards: bool) -> str:
        return self._picture(self.marks, count, fields, region_fields, backwards)

    def _picture(self, template: str, count: int, fields: Fields, region_fields: RegionFields, backwards: bool) -> str:
        numbers = range(count, 0, -1) if backwards else range(1, count + 1)
        names = [self._region(number, fields, region_fields) for number in numbers]
        return fill(template, {**fields, "num_regions": count, "regions": ", ".join(names)})

    def _region(self, number: int, fields: Fields, region_fields: RegionFields) -> str:
        own = region_fields[number - 1] if number <= len(region_fields) else {}
        return fill(self.region, {**fields, **own, "n": number})


def _filled(
    text: Callable[[int, Fields, RegionFields, bool], str],
    count: int,
    fields: Fields,
    region_fields: RegionFields,
    backwards: bool,
) -> str:
    """`text`, a method of `Prompts`, for a row; filled in once for all rows that bring nothing to fill in."""
    if fields or region_fields:
        return text(count, fields, region_fields, backwards)
    return _filled_without_fields(text, count, backwards)


@lru_cache(maxsize=1024)
def _filled_without_fields(text: Callable[[int, Fields, RegionFields, bool], str], count: int, backwards: bool) -> str:
    return text(count, {}, (), backwards)


def only(wanted: Sequence[int]) -> str:
    """Added to the prompt when not all regions are asked for."""
    names = [label(number) for number in wanted]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"Describe only {listed}."


def of_part(shown: Sequence[int]) -> str:
    """Added to the prompt when a picture shows only some of the regions, which are consecutive, up or down."""
    names = f"{label(shown[0])} to {label(shown[-1])}" if len(shown) > 1 else label(shown[0])
    return f"This image has the marks of {names} only; describe only these."


def form_of_answer(wanted: Sequence[int], *, json: bool) -> str:
    """Added to every prompt so that the answer can be split by region."""
    if json:
        pairs = ", ".join(f'"region{number}": "…"' for number in wanted)
        return IN_JSON.format(form="{" + pairs + "}")
    return IN_LINES.format(form="\n".join(f"{label(number)}: …" for number in wanted))
