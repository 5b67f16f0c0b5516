"""docs/extending.md: every block of it is a file of a user's project, or a command that is run there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.commands import ROOT, call, environment
from tests.support.onnx_models import NAMES, Layout, write_model
from tests.support.photos import write_photo
from tests.support.rows import read_rows, write_rows

pytest.importorskip("onnxruntime", reason="needs regioncap[test]")

_BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LAYOUTS: list[Layout] = ["yolo", "rt-detr", "end2end"]


def blocks() -> list[tuple[str, str, str]]:
    """(language, title, text) of each block."""
    return [(found[1], found[2] or "", found[3]) for found in _BLOCK.finditer((ROOT / "docs/extending.md").read_text())]


def commands() -> list[list[str]]:
    texts = [text.replace("\\\n", " ") for language, _, text in blocks() if language == "sh"]
    return [shlex.split(line) for text in texts for line in text.splitlines()]


@pytest.fixture
def own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project of the page, with a model and photos; the current folder. What is imported of it is forgotten."""
    for language, title, text in blocks():
        if language != "sh":
            file = tmp_path / title
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
    write_model(tmp_path / "yolo.onnx", "yolo")
    write_rows(tmp_path / "photos.jsonl", [{"image": write_photo(tmp_path / f"{n}.png", n).name} for n in range(3)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_pkg"]:
        del sys.modules[name]


def test_the_commands_work_one_after_the_other(
    own_project: Path, prefect_server: None, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = commands()
    assert len(ran) == 4
    for command in ran:
        if command[0] == "regioncap":
            ended = call(capsys, *command[1:])
            assert ended.code == 0, ended
        else:
            done = subprocess.run(
                [sys.executable, *command[1:], "-p", "no:cacheprovider"], cwd=own_project, env=environment(),
                capture_output=True, text=True, timeout=240,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            assert "3 passed" in done.stdout
    first, second = (read_rows(own_project / name) for name in ("photos.regioncap.jsonl", "labels.jsonl"))
    assert first[0]["meta_info"]["region_fields"] == {"label": ["cat", "dog"], "score": [0.9, 0.6]}
    assert second[0]["mdvp_record"][0].startswith("<region1> one cat of 24 x 24 pixels")
    lines = read_rows(own_project / "photos.regioncap.florence.jsonl")
    assert [line["image"] for line in lines] == ["0.png", "1.png", "2.png"]
    assert re.fullmatch(r".*<loc_\d+><loc_\d+><loc_\d+><loc_\d+>", lines[0]["suffix"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_detector_reads_each_layout(own_project: Path, layout: Layout) -> None:
    sys.path.insert(0, str(own_project))
    from my_pkg.yolo import Detector  # type: ignore[import-not-found]

    detector: Any = Detector(str(write_model(own_project / "model.onnx", layout)), confidence=0.3)
    found = detector(np.zeros((64, 128, 3), np.uint8))
    assert np.allclose(found.boxes, [[16, 8, 32, 32], [60, 40, 60, 40]], atol=1e-3)  # twice the model's size
    assert np.allclose(found.scores, [0.9, 0.6])
    assert list(found.labels) == [NAMES[0], NAMES[1]]


def test_the_detector_has_thirty_lines() -> None:
    (text,) = (text for _, title, text in blocks() if title == "my_pkg/yolo.py")
    body = text.partition("class Detector")[2].strip().splitlines()
    assert len([line for line in body if line.strip()]) <= 30


def test_the_entry_points_name_what_the_page_defines(own_project: Path) -> None:
    sys.path.insert(0, str(own_project))
    groups = tomllib.loads((own_project / "pyproject.toml").read_text())["project"]["entry-points"]
    for entries in groups.values():
        for value in entries.values():
            module, _, name = value.partition(":")
            assert callable(getattr(__import__(module, fromlist=[name]), name)), json.dumps(groups)
