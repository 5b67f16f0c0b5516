"""The check of the boxes before the first run: another format is reported before it costs anything."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from regioncap.errors import UsageError
from regioncap.preflight.box_format import PLAIN_SIZE, RowBoxes, better_format
from tests.support.photos import write_photo
from tests.support.rows import BOX, write_rows
from tests.support.runs import Run

FORMS = list(product(("xywh", "xyxy", "cxcywh"), ("px", "0-1", "0-1000")))


def boxes_of(box_format: str, unit: str, count: int = 60) -> list[RowBoxes]:
    """Boxes of one form on pictures of 640 x 480 (of parts: on plain ones, as the look does it)."""
    rng = random.Random(5)
    width, height = PLAIN_SIZE if unit == "0-1" else (640, 480)
    found = []
    for _ in range(count):
        w, h = rng.uniform(0.05, 0.7) * width, rng.uniform(0.05, 0.7) * height
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        box = {"xywh": (x, y, w, h), "xyxy": (x, y, x + w, y + h), "cxcywh": (x + w / 2, y + h / 2, w, h)}[box_format]
        full = {"px": (1, 1), "0-1": (width, height), "0-1000": (width / 1000, height / 1000)}[unit]
        found.append(RowBoxes([[number / full[i % 2] for i, number in enumerate(box)]], width, height))
    return found


@pytest.mark.parametrize(("box_format", "unit"), FORMS)
def test_the_right_format_is_accepted(box_format: Any, unit: Any) -> None:
    assert better_format(boxes_of(box_format, unit), box_format, unit) is None


@pytest.mark.parametrize(("box_format", "unit"), [form for form in FORMS if form != ("xywh", "px")])
def test_the_default_is_refused_for_every_better_format(box_format: str, unit: str) -> None:
    named = {"bbox_format": box_format, "bbox_unit": unit}
    given = {"bbox_format": "xywh", "bbox_unit": "px"}
    expected = {name: value for name, value in named.items() if value != given[name]}
    assert better_format(boxes_of(box_format, unit), "xywh", "px") == expected


@pytest.mark.parametrize(
    "seen",
    [
        [],
        [RowBoxes([[90, 50, 30, 30]], 96, 64)],  # one that overshoots is no pattern
        [RowBoxes([[0, 0, 100, 66]], 96, 64)] * 20,  # a careless annotator's, all a little beyond
        [RowBoxes([[0, 0, 2000, 2000]], 96, 64)] * 20,  # for other pictures: no form would fit
    ],
    ids=["none", "one", "little", "hopeless"],
)
def test_boxes_that_may_be_right_are_accepted(seen: list[RowBoxes]) -> None:
    assert better_format(seen, "xywh", "px") is None


# --- before a run


def rows(folder: Path, box: list[float], count: int = 6, **more: Any) -> None:
    for number in range(count):
        write_photo(folder / f"photo{number}.png", number)
    write_rows(folder / "photos.jsonl", [{"image": f"photo{n}.png", "bbox": [box], **more} for n in range(count)])


def test_a_run_stops_and_names_the_flag_to_set(tmp_path: Path, run: Run) -> None:
    rows(tmp_path, [60, 40, 90, 60])
    with pytest.raises(UsageError, match=r"these look like xyxy: 6 boxes .* Set --bbox-format xyxy, or --no-box-check"):
        run(tmp_path)
    assert not (tmp_path / "out.jsonl").exists()
    assert run(tmp_path, bbox_format="xyxy").rows_out == 6


def test_parts_need_no_picture(tmp_path: Path, run: Run) -> None:
    write_rows(tmp_path / "photos.jsonl", [{"image": "gone.png", "bbox": [[0.1, 0.2, 0.3, 0.4]]}])
    with pytest.raises(UsageError, match=r"these look like 0-1.*--bbox-unit 0-1"):
        run(tmp_path)


def test_sizes_in_rows_are_used(tmp_path: Path, run: Run) -> None:
    rows(tmp_path, [60, 40, 90, 60], width=1000, height=1000)
    assert run(tmp_path).rows_out == 6


def test_the_check_can_be_skipped_and_runs_once(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows(tmp_path, [60, 40, 90, 60])
    assert run(tmp_path, box_check=False).rows_out == 6
    monkeypatch.setattr("regioncap.preflight.box_format.better_format", lambda *args: pytest.fail("looked again"))
    run(tmp_path, max_boxes=2)
    rows(tmp_path, [float(number) for number in BOX])
    monkeypatch.undo()
    assert run(tmp_path, bbox_format="xywh").rows_out == 6
