# ruff: noqa: RUF001 - models write typographic quotes.
"""Answers as models really write them: every region its own caption, or none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.captioners.parsing import is_refusal, parse
from regioncap.captioners.structure import regex_of

TWO = [1, 2]
BOTH = {1: "A dog.", 2: "A cat."}

ANSWERS: dict[str, tuple[str, list[int], dict[int, str]]] = {
    "lines": ("<region1>: A dog.\n<region2>: A cat.", TWO, BOTH),
    "other order": ("<region2>: A cat.\n<region1>: A dog.", TWO, BOTH),
    "one paragraph": ("<region1>: A dog. <region2>: A cat.", TWO, BOTH),
    "semicolons": ("<region1>: A dog; <region2>: A cat.", TWO, {1: "A dog", 2: "A cat."}),
    "label on a line of its own": ("<region1>\nA dog.\n\n<region2>\nA cat.", TWO, BOTH),
    "no colon": ("<region1> A dog.\n<region2> A cat.", TWO, BOTH),
    "closing tags": ("<region1>A dog.</region1>\n<region2>A cat.</region2>", TWO, BOTH),
    "Markdown": ("- **<region1>**: A dog.\n- **<region2>**: A cat.", TWO, BOTH),
    "headings": ("### <region1>\nA dog.\n\n### <region2>\nA cat.", TWO, BOTH),
    "words": ("Region 1: A dog.\nRegion 2: A cat.", TWO, BOTH),
    "bold words": ("**Region 1:** A dog.\n**Region 2:** A cat.", TWO, BOTH),
    "numbered labels": ("1. <region1>: A dog.\n2. <region2>: A cat.", TWO, BOTH),
    "other case": ("<Region 1>: A dog.\n<REGION2>: A cat.", TWO, BOTH),
    "quotes": ('<region1>: "A dog."\n<region2>: "A cat."', TWO, BOTH),
    "before and after": ("Here they are:\n\n<region1>: A dog.\n<region2>: A cat.\n\nAnything else?", TWO, BOTH),
    "seed's example": ("In <region1>, a dog sleeps. It is brown.\nIn <region2>, a cat.", TWO,
                       {1: "a dog sleeps. It is brown.", 2: "a cat."}),
    "a label in a sentence": ("<region1>: A dog left of <region2>.\n<region2>: A cat.", TWO,
                              {1: "A dog left of <region2>.", 2: "A cat."}),
    "a sentence begins with a label": ("<region1>: A dog. <region2> is its prey.\n<region2>: A cat.", TWO,
                                       {1: "A dog. <region2> is its prey.", 2: "A cat."}),
    "several lines": ("<region1>: A dog,\nbrown.\n<region2>: A cat.", TWO, {1: "A dog, brown.", 2: "A cat."}),
    "JSON": ('{"region1": "A dog.", "region2": "A cat."}', TWO, BOTH),
    "JSON with tags": ('{"<region1>": "A dog.", "<region2>": "A cat."}', TWO, BOTH),
    "JSON numbers": ('{"1": "A dog.", "2": "A cat."}', TWO, BOTH),
    "fenced JSON": ('```json\n{"region1": "A dog.", "region2": "A cat."}\n```', TWO, BOTH),
    "wrapped JSON": ('{"regions": {"region1": "A dog.", "region2": "A cat."}}', TWO, BOTH),
    "JSON objects": ('[{"region": 2, "caption": "A cat."}, {"region": "<region1>", "caption": "A dog."}]', TWO, BOTH),
    "JSON list": ('["A dog.", "A cat."]', TWO, BOTH),
    "labels in a JSON list": ('["<region2>: A cat.", "<region1>: A dog."]', TWO, BOTH),
    "numbered": ("1. A dog.\n2. A cat.", TWO, BOTH),
    "bullets": ("- A dog.\n- A cat.", TWO, BOTH),
    "bare lines": ("A dog.\nA cat.", TWO, BOTH),
    "one region, no label": ("A dog.\nIt sleeps.", [1], {1: "A dog. It sleeps."}),
    "one region asked again": ("A dog.", [4], {4: "A dog."}),
    "numbers as asked": ("2. A dog.\n5. A cat.", [2, 5], {2: "A dog.", 5: "A cat."}),
    "same words twice": ("<region1>: A dog.\n<region1>: A dog.\n<region2>: A cat.", TWO, BOTH),
    # --- what is not certain is missing
    "one missing": ("<region1>: A dog.", TWO, {1: "A dog."}),
    "one too many": ("<region1>: A dog.\n<region2>: A cat.\n<region3>: A bird.", TWO, BOTH),
    "told twice": ("<region1>: A dog.\n<region1>: A wolf.\n<region2>: A cat.", TWO, {2: "A cat."}),
    "empty": ("<region1>:\n<region2>: A cat.", TWO, {2: "A cat."}),
    "dots": ("<region1>: …\n<region2>: A cat.", TWO, {2: "A cat."}),
    "too few lines": ("A dog.", TWO, {}),
    "too many lines": ("A dog.\nA cat.\nA bird.", TWO, {}),
    "numbers that do not fit": ("1. A dog.\n2. A cat.", [2, 5], {}),
    "refusal": ("I'm sorry, but I can't help with that.", [1], {}),
    "refusal of one": ("<region1>: I cannot tell.\n<region2>: A cat.", TWO, {2: "A cat."}),
    "broken JSON": ('{"region1": "A dog.", "regi', TWO, {}),
    "nothing": ("", [1], {}),
    "too few in a JSON list": ('["A dog."]', TWO, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_answers(case: str) -> None:
    text, wanted, expected = ANSWERS[case]
    assert parse(text, wanted) == expected


def test_a_cut_answer_loses_its_last_caption_and_all_without_labels() -> None:
    assert parse("<region1>: A dog.\n<region2>: A ca", TWO, cut=True) == {1: "A dog."}
    assert parse("A dog.\nA ca", TWO, cut=True) == {}
    assert parse("A do", [1], cut=True) == {}


def test_control_characters_do_not_reach_a_caption() -> None:
    assert parse("<region1>: A\x1a\x00 dog\ufffd.", [1]) == {1: "A dog ."}


REFUSALS = [
    "I'm sorry, I can't.",
    "I cannot see it.",
    "I’m unable to.",
    "As an AI, I do not.",
    "Unfortunately, I can't.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize("text", ["A sorry-looking dog.", "A sign reads 'I cannot wait'.", "Ice cream.", "An AI lab."])
def test_no_refusals(text: str) -> None:
    assert not is_refusal(text)


CAPTION = st.text(st.characters(exclude_characters="<\n", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=60)


@given(st.lists(CAPTION.filter(lambda text: re.search(r"\w", text) and not text[0].isspace()), min_size=1, max_size=6))
def test_what_the_structure_allows_is_never_shifted(texts: list[str]) -> None:
    wanted = list(range(1, len(texts) + 1))
    answer = "\n".join(f"<region{number}>: {text}" for number, text in zip(wanted, texts, strict=True))
    assert re.fullmatch(regex_of(wanted, None), answer)
    found = parse(answer, wanted)
    for number, caption in found.items():
        squeezed = re.sub(r"\W", "", caption)
        assert squeezed in re.sub(r"\W", "", texts[number - 1])


@given(st.text(max_size=300), st.integers(1, 5))
def test_nothing_breaks_the_parser_or_comes_from_elsewhere(text: str, count: int) -> None:
    wanted = list(range(1, count + 1))
    for number, caption in parse(text, wanted).items():
        assert number in wanted
        assert caption.strip() == caption != ""
