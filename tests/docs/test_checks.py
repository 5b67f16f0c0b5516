"""The checks of the pages find what they are for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from regioncap.errors import UsageError
from tests.docs.commands import check, lines, unknown_options
from tests.docs.pages import Block, blocks
from tests.docs.test_blocks import shows


@pytest.mark.parametrize("line", [
    "make demo",
    "docker run --rm regioncap:0.1.0 regioncap run photos.jsonl --captioner pixels",
    "prefect work-pool create --type process regioncap",
    "cp deployments/example.env deployments/.env  # choose passwords",
    "regioncap run photos.jsonl \\\n  --captioner pixels",
])  # fmt: skip
def test_a_right_command_passes(line: str) -> None:
    (words,) = lines(line)
    check(words)


@pytest.mark.parametrize(("line", "error"), [
    ("make everything", AssertionError),
    ("cp deployments/none.env .", AssertionError),
    ("regioncap ran photos.jsonl", AssertionError),
    ("regioncap run photos.jsonl --captionr pixels", click.UsageError),
    ("docker run regioncap:0.1.0 regioncap run photos.jsonl --captionr pixels", click.UsageError),
    ("regioncap run photos.jsonl --captioner pixels --max-boxes 0", UsageError),
    ("regioncap run photos.jsonl --runner dask --captioner pixels", UsageError),
    ("regioncap run photos.jsonl", UsageError),
])  # fmt: skip
def test_a_wrong_command_is_found(line: str, error: type[Exception]) -> None:
    (words,) = lines(line)
    with pytest.raises(error):
        check(words)


@pytest.mark.parametrize(("code", "unknown"), [
    ("--max-boxes 5", []),
    ("--no-box-check", []),
    ("--max-box 5", ["--max-box"]),
    ("regioncap explain captions.jsonl --max-boxes 5", []),
    ("regioncap sheet captions.jsonl --max-boxes=5", ["--max-boxes=5"]),
    ("regioncap --help", []),
])  # fmt: skip
def test_options_that_do_not_exist_are_found(code: str, unknown: list[str]) -> None:
    assert unknown_options(code) == unknown


def test_blocks_are_read_with_their_comments(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- not run: why -->\n```sh\nmake x\n```\n\n```json\n1\n```\n")
    assert list(blocks(page)) == [
        Block("page.md:3", "sh", "make x\n", "not run", "why"),
        Block("page.md:7", "json", "1\n", "", ""),
    ]


@pytest.mark.parametrize(("example", "real", "same"), [
    ({"a": 1, "…": "…"}, {"a": 1, "b": 2}, True),
    ({"a": 1}, {"b": 1}, False),
    ([1, 2], [1, 2, 3], True),
    ([1, 2], [1], False),
    ("x … z", "x y\nz", False),
    ("x … z", "x y\n z", True),
    ("x.", "xy", False),
    (0.5, 0.25, False),
])  # fmt: skip
def test_examples_are_compared_with_what_is_real(example: Any, real: Any, same: bool) -> None:
    assert shows(example, real) is same
