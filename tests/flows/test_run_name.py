"""What runs are called in Prefect's lists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort

from regioncap.config.model import RegionCapConfig
from regioncap.flows.run_name import HEAD_CHARS, TAIL_CHARS, output_name
from tests.support.runs import Run

NAMES: list[tuple[Any, str]] = [
    (RegionCapConfig(input="a/photos.jsonl", captioner="pixels"), "photos.regioncap.jsonl"),
    ({"input": "a/photos.jsonl", "captioner": "pixels", "output": "b/captions.jsonl"}, "captions.jsonl"),
    ({"input_jsonl_path": "a.jsonl", "captioner": "pixels", "output_jsonl_path": "b.jsonl"}, "b.jsonl"),
    ({"input": "a", "captioner": "pixels", "output": "s3://bucket/2026/captions/"}, "captions/"),
    ({"input": "a", "captioner": "pixels", "output": "https://me:secret@host/a.jsonl?sig=a/secret"}, "a.jsonl"),
    ({"input": "a", "captioner": "pixels", "output": "s3://me:secret@bucket/"}, "bucket/"),
    ({"output": "s3://me:secret@bucket/b.jsonl", "max_boxes": 0}, "b.jsonl"),
    ({"input": "a", "captioner": "pixels", "output": "a\x1b[1m\nb \udc80.jsonl"}, "a\\x1b[1m b \\udc80.jsonl"),
    ({"output": 3}, "3"),
    ({"max_boxes": 0}, "no output"),
    ("photos.jsonl", "no output"),
    (None, "no output"),
]


@pytest.mark.parametrize(("config", "name"), NAMES)
def test_a_run_is_named_after_its_output(config: Any, name: str) -> None:
    assert output_name(config) == name


def test_of_a_long_name_both_ends_are_kept() -> None:
    name = output_name({"output": "x" * 300 + "-of-cats.jsonl"})
    assert (len(name), name[-14:]) == (HEAD_CHARS + 1 + TAIL_CHARS, "-of-cats.jsonl")


def test_prefect_lists_it(project: Path, run: Run) -> None:
    run(project)
    with get_client(sync_client=True) as client:
        (last,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    assert re.fullmatch(r"out\.jsonl · \d{4}-\d\d-\d\d \d\d:\d\d UTC", last.name)
