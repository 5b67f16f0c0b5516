"""Rows that were rejected in an earlier version, although they name their image."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from regioncap.records import Step
from regioncap.run.context import RunContext
from regioncap.tasks.load import LOAD
from regioncap.tasks.step import find_cached
from tests.support.runs import config_of

BAD = {"step": "load", "code": "bad_row", "message": "…"}


@pytest.mark.parametrize(
    ("reject", "valid"),
    [
        ({"line": 1, "row": {"image": ["a.png"]}}, False),
        ({"line": 1, "row": {"image": {"path": "a.png", "bytes": None}}}, False),
        ({"line": 1, "row": {"image": ["a.png", "b.png"]}}, True),
        ({"line": 1, "row": {"img": "a.png"}}, True),
        ({"line": 1, "raw": "no json"}, True),
    ],
)
@pytest.mark.parametrize("image_check", ["head", "never"])
def test_rows_are_loaded_again_when_a_reject_names_an_image(
    tmp_path: Path, image_check: str, reject: dict[str, Any], valid: bool
) -> None:
    rows = [{"reject": BAD, **reject}]
    with closing(RunContext(config_of(tmp_path, image_check=image_check))) as context:
        step = Step(0, 0, "k", "b" * 64, 1, 0)
        context.storage.at(LOAD.index).write(LOAD.parts(context, step), rows, 0.0)
        assert (find_cached(LOAD, context, step) is not None) is valid
