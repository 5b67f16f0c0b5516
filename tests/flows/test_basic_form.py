"""The form of the basic settings: what Prefect's server takes from it, and from whoever else asks for a run."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools import validate
from prefect.utilities.schema_tools.validation import ValidationError

from regioncap.config.form import BASIC
from regioncap.config.model import RegionCapConfig
from regioncap.flows.basic_form import region_caption as basic
from regioncap.flows.region_caption import region_caption as complete

FLOWS = {"basic": basic, "complete": complete}


def schema_of(form: str) -> dict[str, Any]:
    """As a deployment has it."""
    return parameter_schema(FLOWS[form]).model_dump()


def check(form: str, **config: Any) -> None:
    """Raises ValidationError if Prefect's server would refuse a run with this config."""
    validate({"config": {"input": "photos.jsonl", **config}}, schema_of(form), raise_on_error=True)


def test_it_shows_the_basic_settings_alone() -> None:
    (shown,) = schema_of("basic")["definitions"].values()
    (every,) = schema_of("complete")["definitions"].values()
    assert tuple(shown["properties"]) == BASIC
    assert shown["properties"] == {name: every["properties"][name] for name in BASIC}
    assert set(every["properties"]) == set(RegionCapConfig.model_fields)


@pytest.mark.parametrize("form", FLOWS)
def test_every_setting_is_taken_at_its_default(form: str) -> None:
    defaults = RegionCapConfig(input="photos.jsonl", captioner="pixels").model_dump(mode="json", exclude={"input"})
    check(form, **{name: "" if value == {} else value for name, value in defaults.items()})  # texts in the form


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_boxes": 0}, "'config.max_boxes'. Failure reason: 0 is less than the minimum of 1"),
    ({"shard_size": "many"}, "'config.shard_size'. Failure reason: 'many' is not of type 'integer'"),
    ({"bbox_unit": "metre"}, "'config.bbox_unit'. Failure reason: 'metre' is not one of"),
    ({"max_boxs": 3}, "Additional properties are not allowed ('max_boxs' was unexpected)"),
]


@pytest.mark.parametrize("form", FLOWS)
@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_a_wrong_setting_is_refused_whether_it_is_shown_or_not(form: str, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        check(form, **wrong)
    assert message in str(refused.value)


def test_both_are_the_same_flow() -> None:
    assert (basic.name, basic.fn, type(basic)) == (complete.name, complete.fn, type(complete))
