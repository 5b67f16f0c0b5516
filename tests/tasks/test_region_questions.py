"""Questions for regions: what their answers' keys are made of, and what an answer becomes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.base import CaptionResult
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.records import Row, Step
from regioncap.run.context import RunContext
from regioncap.storage.steps import digest
from regioncap.tasks.extract import EXTRACT
from regioncap.tasks.region_questions import (
    found_row,
    key_of_question,
    keys_of_questions,
    question_of,
    regions_in,
)
from tests.support.runs import config_of

ROW: Row = {
    "image": "a.png", "image_sha256": "5e" * 32, "width": 640, "height": 480, "type": "without_bbox",
    "fields": {"tags": ["dog", "cat"]},
}  # fmt: skip
ASKING: dict[str, Any] = {
    "captioner": "openai", "model": "m", "endpoint": "http://localhost/v1", "extractor": "vlm",
    "find_coordinates": "0-1000", "find": "{tags}",
}  # fmt: skip

DOG = '[{"bbox_2d": [100, 100, 300, 400], "label": "dog"}]'


def asking(folder: Path, **changes: Any) -> RegionCapConfig:
    return config_of(folder, **{**ASKING, **changes})


@pytest.fixture
def context(tmp_path: Path) -> Iterator[RunContext]:
    with closing(RunContext(asking(tmp_path))) as made:
        yield made


def answer_key_of(folder: Path, row: Row = ROW, **changes: Any) -> str:
    with closing(RunContext(asking(folder, **changes))) as made:
        return key_of_question(row, question_of(made.config, row["fields"]), made)


def step_key_of(folder: Path, **changes: Any) -> str:
    with closing(RunContext(asking(folder, **changes))) as made:
        return digest(EXTRACT.parts(made, Step(2, 0, "k", "b" * 64, 3, 1)))


SAME_ANSWER: dict[str, dict[str, Any]] = {
    "another caption prompt": {"prompt": "Say it."},
    "another way to ask for captions": {"prompt_mode": "focal"},
    "another place of the model": {"find_endpoint": "http://elsewhere/v1"},
    "more regions": {"max_boxes": 7},
    "another fallback": {"find_fallback": "edges"},
    "another size that changes nothing": {"max_pixels": 700_000},
    "another name of the same model": {"find_model": "m"},
}
OTHER_ANSWER: dict[str, dict[str, Any]] = {
    "another model": {"find_model": "n"},
    "another thing": {"find": "ball"},
    "another question": {"find_prompt": "Where is {find}?"},
    "other sampling": {"temperature": 0.5},
    "another size": {"max_pixels": 40_000},
    "other numbers": {"find_coordinates": "px"},
}


@pytest.mark.parametrize("case", SAME_ANSWER)
def test_what_does_not_decide_the_answer_is_not_in_its_key(tmp_path: Path, case: str) -> None:
    assert answer_key_of(tmp_path, **SAME_ANSWER[case]) == answer_key_of(tmp_path)


@pytest.mark.parametrize("case", OTHER_ANSWER)
def test_what_decides_the_answer_is_in_both_keys(tmp_path: Path, case: str) -> None:
    assert answer_key_of(tmp_path, **OTHER_ANSWER[case]) != answer_key_of(tmp_path)
    assert step_key_of(tmp_path, **OTHER_ANSWER[case]) != step_key_of(tmp_path)


def test_another_picture_is_another_question(tmp_path: Path) -> None:
    assert answer_key_of(tmp_path, {**ROW, "image_sha256": "5f" * 32}) != answer_key_of(tmp_path)
    assert answer_key_of(tmp_path, {**ROW, "image": "b.png"}) == answer_key_of(tmp_path)


def test_what_decides_the_regions_beyond_the_answer_is_in_the_steps_key(tmp_path: Path) -> None:
    keys = [step_key_of(tmp_path, **change) for change in ({}, {"max_boxes": 7}, {"find_fallback": "edges"})]
    assert len(set(keys)) == 3


def test_the_question_names_its_numbers(tmp_path: Path) -> None:
    text = question_of(asking(tmp_path, find_coordinates="0-1000-yxyx"), ROW["fields"]).text
    assert text.startswith("Find dog, cat in the image.")
    assert '{"box_2d": [y1, x1, y2, x2] on a scale from 0 to 1000, "label": "what it is"}' in text
    assert '"bbox_2d": [x1, y1, x2, y2]' in question_of(asking(tmp_path), ROW["fields"]).text


def test_a_row_that_lacks_a_key_of_the_question_is_refused(context: RunContext) -> None:
    with pytest.raises(RowReject, match=r"the prompt uses \{tags\}, but this row has no key 'tags'"):
        question_of(context.config, {})


def found(context: RunContext, said: str, **result: Any) -> Row:
    finds = regions_in(CaptionResult({1: said}, **result), ROW, context.config)
    return found_row(finds, ROW, lambda: [[1, 2, 3, 4]], context)


def test_an_answer_becomes_regions_with_labels(context: RunContext) -> None:
    row = found(context, DOG)
    assert (row["boxes"], row["found_fields"]) == ([[64, 48, 128, 144]], {"label": ["dog"]})
    assert "found_dropped" not in row
    assert "warnings" not in row


def test_a_cut_answer_gives_what_is_closed_and_says_so(context: RunContext) -> None:
    cut = DOG[:-1] + ', {"bbox_2d": [500, 5'
    row = found(context, cut, cut=True, warnings=["it was cut"])
    assert row["boxes"] == [[64, 48, 128, 144]]
    assert row["warnings"] == ["it was cut"]


def test_a_reject_keeps_what_was_paid_for_and_dropped(context: RunContext) -> None:
    row = found(context, DOG.replace("100, 100, 300, 400", "0, 0, 1000, 1000"))
    assert row["reject"]["code"] == "no_regions"
    (drop,) = row["dropped_bbox"]
    assert (drop["reason"], drop["index"], drop["bbox"]) == ("whole_picture", 0, [0, 0, 640, 480])
    assert list(keys_of_questions(row, context)) == list(keys_of_questions(ROW, context))


def test_without_an_answer_the_row_may_succeed_later(context: RunContext) -> None:
    with pytest.raises(RowReject) as rejected:
        regions_in(CaptionResult({}, code="caption_failed", message="502, four times"), ROW, context.config)
    assert (rejected.value.code, "502, four times" in rejected.value.message) == ("caption_failed", True)
