"""The contracts of the steps as files: a step that gives other rows for the same input must raise its version."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regioncap.captioners.pixels import PIXELS_VERSION
from regioncap.records import Row, Shard, dumps
from regioncap.run.context import RunContext
from regioncap.tasks.answers import KEY_VERSION, key_of_answer, request_of
from regioncap.tasks.caption import caption_rows
from regioncap.tasks.shard import STEPS, keep_input
from regioncap.vision.drawing import DRAW_VERSION, draw_marks
from tests.support.commands import ROOT
from tests.support.photos import write_photo
from tests.support.rows import BOX
from tests.support.runs import config_of

GOLDEN = ROOT / "tests" / "golden"
ROWS: list[Any] = [
    {"image": "a.png", "bbox": [BOX, [90, 50, 30, 30], [1, 1, 0, 5], [0, 0, 96, 64]], "id": "007"},
    {"image": "b.png"},
    {"image": "a.png", "bbox": [0, 0, 20, 20]},
    {"image": "gone.png"},
    {"image": "a.png", "bbox": []},
    ["not", "a", "row"],
]


@pytest.fixture
def made(tmp_path: Path) -> list[tuple[str, str, list[Row]]]:
    """(step, version, rows) of all six steps over `ROWS`."""
    for name, seed in (("a.png", 1), ("b.png", 2)):
        path = write_photo(tmp_path / name, seed)
        os.utime(path, ns=(10**18, 10**18))  # `load` keeps the time
    lines = [(number, dumps(row)) for number, row in enumerate(ROWS, 1)]
    (tmp_path / "photos.jsonl").touch()
    with closing(RunContext(config_of(tmp_path))) as context:
        step = keep_input(Shard(0, "", lines, 1.0), context)
        found: list[tuple[str, str, list[Row]]] = []
        for spec in STEPS:
            rows = spec.body(context, step)
            found.append((spec.name, version_of(spec), rows))
            manifest = context.storage.at(spec.index).write(spec.parts(context, step), rows, 0.0)
            step = manifest.reference(0)
    return found


def version_of(spec: Any) -> str:
    return f"{spec.version}.{PIXELS_VERSION}" if spec.name == "caption" else str(spec.version)


def comparable(rows: list[Row], folder: Path) -> list[Row]:
    """Rows without what differs between machines: the folder's path, and what a codec's version makes of pictures."""
    text = json.dumps(rows).replace(str(folder), "FOLDER")
    found: list[Row] = json.loads(text)
    for row in found:
        if "marked" in row:
            row["marked"].pop("sha256")
        if "image_sha256" in row:
            row["image_sha256"] = len(row["image_sha256"])
        if row.get("image_stat"):
            row["image_stat"][0] = "size"
    return found


@pytest.mark.parametrize("number", range(1, 7), ids=[spec.name for spec in STEPS])
def test_step_gives_the_rows_that_it_gave(number: int, made: list[tuple[str, str, list[Row]]], tmp_path: Path) -> None:
    name, version, rows = made[number - 1]
    now = {"step": name, "version": version, "rows": comparable(rows, tmp_path)}
    path = GOLDEN / f"step{number}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        lines = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in now["rows"])
        head = f'{{"step": "{name}", "version": "{version}", "rows": [\n  {lines}\n]}}\n'
        path.write_text(head, encoding="utf-8")
    then = json.loads(path.read_text(encoding="utf-8"))
    hint = f"then write the golden files again: UPDATE_GOLDEN=1 make test; and read the difference ({path.name})"
    assert now["version"] == then["version"], f"the version of {name} was changed; {hint}"
    assert now["rows"] == then["rows"], (
        f"{name} gives other rows for the same input: raise STEP_VERSION in tasks/{name}.py (or EXTRACTION_VERSION, "
        f"DRAW_VERSION, PIXELS_VERSION, if it is that), or caches will mix old rows with new; {hint}"
    )


ANSWER_ROW: Row = {
    "image": "a.png",
    "image_sha256": "5e" * 32,
    "width": 640,
    "height": 480,
    "type": "with_bbox",
    "bbox": [[12, 16, 36, 40], [90.5, 50, 30, 30.25]],
    "valid_bboxes_num": 2,
    "fields": {"place": "a zoo"},
    "region_fields": [{"label": "cat"}, {"label": "dog"}],
    "marked": {"sha256": "ab" * 32, "width": 640, "height": 480},
}


def test_an_answer_goes_by_the_name_that_it_had(tmp_path: Path) -> None:
    (tmp_path / "photos.jsonl").touch()
    settings: dict[str, Any] = {
        "captioner": "openai", "model": "m", "endpoint": "http://localhost/v1", "region_fields": ["label"],
        "prompt": "In {place}: {regions}.", "region_prompt": "<region{n}> ({label})", "seed": 7,
    }  # fmt: skip
    with closing(RunContext(config_of(tmp_path, **settings))) as context:
        key = key_of_answer(ANSWER_ROW, context.captioner.prompt(request_of(ANSWER_ROW, context)), context)
    picture = np.full((96, 128, 3), (200, 120, 40), np.uint8)
    boxes = [[10, 12, 60, 50], [50, 40, 70, 50], [2, 80, 8, 8]]
    pixels = hashlib.sha256(draw_marks(picture, boxes, full_size_wh=(128, 96), dim=1.0).tobytes()).hexdigest()
    now = {"draw_version": DRAW_VERSION, "key_version": KEY_VERSION, "key": key, "marks": pixels}
    path = GOLDEN / "answer.json"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(json.dumps(now, indent=1) + "\n")
    then = json.loads(path.read_text())
    assert now == then, (
        "answers would be asked again, or those for other marks be taken. If the marks changed to the eye, raise "
        "DRAW_VERSION; either way say in CHANGELOG what is asked again on upgrade, then UPDATE_GOLDEN=1 make test"
    )


def test_the_changelog_says_what_is_asked_again() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = text.split("\n## [")[1:]
    assert releases
    for release in releases:
        assert "Captions asked again on upgrade:" in release, release.splitlines()[0]


def test_captions_need_no_step_file(made: list[tuple[str, str, list[Row]]], tmp_path: Path) -> None:
    with closing(RunContext(config_of(tmp_path))) as context:
        assert caption_rows(made[4][2], context) == made[5][2]
