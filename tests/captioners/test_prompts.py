"""Prompts: the seed's by default, templates of rows and regions otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from regioncap.captioners.prompts import Prompts, fill, form_of_answer, only
from regioncap.captioners.row_requests import largest_request
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject, UsageError
from regioncap.preflight.plan import text_tokens


def prompts(**settings: Any) -> Prompts:
    return Prompts.of(RegionCapConfig(input="a.jsonl", endpoint="http://h/v1", model="m", **settings))


def test_the_default_is_the_seeds() -> None:
    default = prompts()
    assert default.marks_text(3, {}, ()) == (
        "Describe the content of each marked region in the image. There are 3 regions: <region1> to <region3>."
    )
    assert default.system_text(3, {}, ()).startswith(
        "A chat between a curious human and an artificial intelligence assistant."
    )


def test_rows_and_regions_fill_templates_in() -> None:
    made = prompts(
        prompt="{place}: {regions} ({num_regions}) {{sic}} {tags} {score:.1f} {nothing}|",
        region_prompt="<region{n}> [{label}]",
        region_fields=["label"],
    )
    fields = {"place": "zoo", "tags": ["a", {"b": 1}], "score": 0.25, "nothing": None}
    regions = [{"label": "cat"}, {"label": "dog"}]
    assert made.marks_text(2, fields, regions) == (
        "<region1> [cat], <region2> [dog]".join(["zoo: ", ' (2) {sic} ["a",{"b":1}] 0.2 |'])
    )


def test_what_a_picture_may_be_asked_depends_on_the_mode() -> None:
    settings = {"prompt": "all {num_regions}", "focal_prompt": "one {n} of {num_regions}"}
    texts = {mode: prompts(prompt_mode=mode, **settings).whole_text(2, {}, ()) for mode in ("marks", "focal", "auto")}
    assert texts == {
        "marks": "all 2",
        "focal": "one 1 of 2\none 2 of 2",
        "auto": "all 2\none 1 of 2\none 2 of 2",
    }


def test_a_row_without_the_key_is_a_reject_that_names_it() -> None:
    with pytest.raises(RowReject, match=r"the prompt uses \{place\}, but this row has no key 'place'") as reject:
        prompts(prompt="{place}").marks_text(1, {}, ())
    assert reject.value.code == "bad_row"
    with pytest.raises(RowReject, match="cannot be filled in"):
        prompts(prompt="{place:.2f}").marks_text(1, {"place": "zoo"}, ())


WRONG = {
    "{": "Single '{' encountered",
    "{}": "a name in every pair of braces",
    "{0}": "a name in every pair of braces",
    "{row[0]}": "expected names such as {label} or {meta.title}",
    "": "at least 1 character",
}


@pytest.mark.parametrize("template", WRONG)
def test_wrong_templates_are_refused_with_the_config(template: str) -> None:
    with pytest.raises(UsageError, match=WRONG[template]) as error:
        prompts(prompt=template)
    assert "prompt" in str(error.value)


def test_names_that_prompts_take_from_rows() -> None:
    config = RegionCapConfig(
        input="a.jsonl", endpoint="http://h/v1", model="m", prompt="{b} {num_regions} {regions} {a}",
        region_prompt="{n} {label} {a}", region_fields=["label"], focal_prompt="{unused}",
    )  # fmt: skip
    assert config.prompt_fields() == ("a", "b")


def test_each_template_has_its_own_names() -> None:
    config = RegionCapConfig(
        input="a.jsonl", endpoint="http://h/v1", model="m", prompt_mode="auto", prompt="{n} {regions}",
        system_prompt="{num_regions} {regions}", focal_prompt="{n} {num_regions}", region_prompt="{n} {num_regions}",
    )  # fmt: skip
    assert config.keys_in_templates() == {"n": "prompt", "num_regions": "region_prompt"}


def test_the_system_prompt_is_a_template_as_the_prompt_is() -> None:
    made = prompts(system_prompt="{num_regions} things in a {place}: {regions}")
    assert made.system_text(2, {"place": "zoo"}, ()) == "2 things in a zoo: <region1>, <region2>"


LARGEST: dict[str, dict[str, Any]] = {
    "boxes": {"prompt_mode": "coords", "coordinates": "px"},
    "formats of numbers": {"prompt": "{price:,.2f} {regions}"},
    "of regions": {"prompt": "{regions}", "region_prompt": "{n:02d} {score:.1%}", "region_fields": ["score"]},
    "system prompt": {"system_prompt": "{num_regions} {year:04d}"},
}


@pytest.mark.parametrize("case", LARGEST)
def test_what_rows_lead_to_is_known_before_them(case: str) -> None:
    config = RegionCapConfig(input="a.jsonl", endpoint="http://h/v1", model="m", **LARGEST[case])
    assert largest_request(config, Prompts.of(config)).text
    assert text_tokens(config, Prompts.of(config)) > 20


def test_what_is_added_to_every_prompt() -> None:
    assert only([2]) == "Describe only <region2>."
    assert only([1, 2, 5]) == "Describe only <region1>, <region2> and <region5>."
    assert form_of_answer([1, 3], json=False).endswith("<region1>: …\n<region3>: …")
    assert form_of_answer([1, 3], json=True).endswith('{"region1": "…", "region3": "…"}')


@pytest.mark.parametrize("value", ["high", int("9" * 400), "x" * 10**6], ids=["text", "huge", "long"])
def test_a_value_that_does_not_fit_its_format_is_that_row_s(value: Any) -> None:
    with pytest.raises(RowReject, match="cannot be filled in") as caught:
        fill("a score of {score:.2f}", {"score": value})
    assert (caught.value.code, len(caught.value.message) < 400) == ("bad_row", True)
