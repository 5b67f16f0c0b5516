"""A project with a region finder and a captioner of its own, and what a run with them gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.photos import write_photo
from tests.support.plugins import write_package
from tests.support.rows import read_rows, write_rows

FINDERS = """
from regioncap.plugins import Regions


def corner(image, size=10):
    return Regions([[0, 0, size, size]], scores=[0.5], labels=["corner"])
"""
CAPTIONERS = """
def where(task):
    return [f"{task.region_fields[number - 1]['label']} seen by {__name__}" for number in task.regions]
"""
OPTIONS = {"size": 12}

IN_PROJECT: dict[str, Any] = {
    "extractor": "project_pkg.finders:corner", "captioner": "project_pkg.captioners:where",
    "extractor_options": json.dumps(OPTIONS),
}  # fmt: skip
"""The settings of a run in the project whose package is `project_pkg`, as the form gives them: options are text."""


def write_project(folder: Path, package: str = "") -> Path:
    """Two photos without boxes, and the plugins in `package`, if it has a name."""
    if package:
        write_package(folder, package, finders=FINDERS, captioners=CAPTIONERS)
    rows = [{"image": write_photo(folder / f"photo{number}.png", number).name} for number in range(2)]
    write_rows(folder / "photos.jsonl", rows)
    return folder


def check_rows(output: Path, package: str) -> None:
    """Raises AssertionError unless the plugins of `package` made the output."""
    rows = read_rows(output)
    assert [row["meta_info"]["bbox"] for row in rows] == [[[0, 0, 12, 12]]] * 2
    assert [row["mdvp_record"] for row in rows] == [[f"<region1> corner seen by {package}.captioners"]] * 2
