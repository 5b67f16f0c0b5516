"""The check of the boxes before the first run: another format is reported before it costs anything."""

from __future__ import annotations

import random
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from regioncap.errors import UsageError
from regioncap.image_ref import ImageRef
from regioncap.preflight.box_fit import PLAIN_SIZE, RowBoxes
from regioncap.preflight.box_format import better_format, doubt, seen_boxes
from regioncap.preflight.box_sample import Header, SampledRow
from regioncap.vision.frames import Size
from tests.support.photos import write_photo
from tests.support.rows import BOX, write_rows
from tests.support.runs import Run

FORMS = list(product(("xywh", "xyxy", "cxcywh"), ("px", "0-1", "0-100", "0-1000")))


def boxes_of(box_format: str, unit: str, count: int = 60) -> list[RowBoxes]:
    """Boxes of one form on pictures of 640 x 480 (of parts: on plain ones, as the look does it)."""
    rng = random.Random(5)
    width, height = PLAIN_SIZE if unit == "0-1" else (640, 480)
    found = []
    for _ in range(count):
        w, h = rng.uniform(0.05, 0.7) * width, rng.uniform(0.05, 0.7) * height
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        box = {"xywh": (x, y, w, h), "xyxy": (x, y, x + w, y + h), "cxcywh": (x + w / 2, y + h / 2, w, h)}[box_format]
        most = {"0-1": 1, "0-100": 100, "0-1000": 1000}.get(unit)
        full = (width / most, height / most) if most else (1, 1)
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
    seen = boxes_of(box_format, unit)
    if unit == "0-100":  # percents of these pictures may be pixels
        assert better_format(seen, "xywh", "px") is None
        assert "see bbox_unit 0-100" in doubt(seen, "xywh", "px")
    else:
        assert better_format(seen, "xywh", "px") == expected


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


# --- noisy data


def noisy(box_format: str, unit: str, noise: float, size: Size, count: int = 120) -> list[SampledRow]:
    """Boxes of one form on pictures of one size; `noise`: the share of boxes that are something else."""
    rng = random.Random(f"{box_format} {unit} {noise} {size}")
    junk = [
        [0.0] * 4,
        [-1.0] * 4,
        [1e30, 1.0, 1e30, 1.0],
        [0.5, 0.5, 0.2, 0.2],
        [3.0, 5.0, 2.0, 1.0],
        [9e3, 7.0, 8.0, -2.0],
    ]
    rows = []
    for number, one in enumerate(boxes_of(box_format, unit, count)):
        scale = (size[0] / one.width, size[1] / one.height) if unit == "px" else (1, 1)
        boxes = [[value * scale[place % 2] for place, value in enumerate(box)] for box in one.boxes]
        odd = rng.random() < noise
        rows.append(SampledRow(ImageRef(str(number)), [rng.choice(junk)] if odd else boxes, None, Header(size, 1)))
    return rows


@pytest.mark.parametrize("size", [(32, 32), (96, 64), (640, 480), (4000, 3000)])
@pytest.mark.parametrize("noise", [0.02, 0.05, 0.1])
@pytest.mark.parametrize(("box_format", "unit"), FORMS)
def test_noise_stops_no_run_that_is_right(box_format: Any, unit: Any, noise: float, size: Size) -> None:
    assert better_format(seen_boxes(noisy(box_format, unit, noise, size), unit), box_format, unit) is None


@pytest.mark.parametrize("noise", [0.02, 0.05, 0.1])
@pytest.mark.parametrize(("box_format", "unit"), [form for form in FORMS if form != ("xywh", "px")])
def test_noise_hides_no_other_form(box_format: str, unit: str, noise: float) -> None:
    size = (640, 480) if unit != "0-100" else (96, 64)  # percents of larger pictures may be pixels
    found = better_format(seen_boxes(noisy(box_format, unit, noise, size), "px"), "xywh", "px")
    named = {"bbox_format": box_format, "bbox_unit": unit}
    assert {"bbox_format": "xywh", "bbox_unit": "px", **(found or {})} == named


FRACTIONS = [0.1, 0.2, 0.3, 0.4]
PIXELS = [10.0, 20.0, 30.0, 40.0]


@pytest.mark.parametrize(
    "boxes",
    [
        [FRACTIONS] * 99 + [[0.94, 0.57, 1.02, 0.06]],
        [FRACTIONS] * 99 + [[-0.01, 0.3, 0.5, 0.9]],
        [FRACTIONS] * 99 + [PIXELS],
        [FRACTIONS] * 99 + [[1e30, 1e30, 1.0, 1.0]],
        [FRACTIONS, [-1.0] * 4, [0.0] * 4],
    ],
    ids=["over", "below", "pixels", "huge", "padding"],
)
def test_a_few_other_boxes_do_not_hide_fractions(boxes: list[list[float]]) -> None:
    rows = [SampledRow(ImageRef(str(number)), [box], None) for number, box in enumerate(boxes)]
    assert better_format(seen_boxes(rows, "px"), "xywh", "px") == {"bbox_unit": "0-1"}


def test_boxes_of_a_pixel_on_tiny_pictures_are_no_fractions() -> None:
    rows = [SampledRow(ImageRef(str(number)), [[0.0, 1.0, 1.0, 1.0]], None, Header((4, 4), 1)) for number in range(50)]
    assert better_format(seen_boxes(rows, "px"), "xywh", "px") is None


def spread(boxes: list[list[float]], size: Size) -> list[RowBoxes]:
    return [RowBoxes([box], *size) for box in boxes]


@pytest.mark.parametrize(
    ("seen", "box_format", "unit", "expected"),
    [
        (spread([PIXELS] * 50, (640, 480)), "xywh", "px", ""),
        (spread([PIXELS] * 30 + [FRACTIONS] * 20, (640, 480)), "xywh", "px", "40% .* look like fractions"),
        (spread([PIXELS] * 40 + [[600.0, 400.0, 200.0, 200.0]] * 10, (640, 480)), "xywh", "px", "20% .* reach beyond"),
        (spread([[99.0, 99.0, 9.0, 9.0]] * 40 + [[620.0, 300.0, 36.0, 50.0]], (640, 480)), "xywh", "px", "as cxcywh"),
        (spread([[10.5, 20.1, 60.2, 70.7]] * 50, (320, 240)), "xywh", "px", "beyond 100, .* bbox_unit 0-100"),
        (spread([[500.0, 600.0, 900.0, 900.0]] * 50, (1600, 1200)), "xyxy", "px", "beyond 1000, .* bbox_unit 0-1000"),
        (spread([[500.0, 600.0, 900.0, 900.0]] * 50, (1024, 1024)), "xyxy", "px", ""),
    ],
)
def test_what_is_doubtful_is_told(seen: list[RowBoxes], box_format: Any, unit: Any, expected: str) -> None:
    assert better_format(seen, box_format, unit) is None
    found = doubt(seen, box_format, unit)
    assert re.search(expected, found)
    assert bool(found) == bool(expected)


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


def test_the_check_can_be_skipped_and_runs_once(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows(tmp_path, [60, 40, 90, 60])
    assert run(tmp_path, box_check=False).rows_out == 6
    monkeypatch.setattr("regioncap.preflight.box_format.better_format", lambda *args: pytest.fail("looked again"))
    run(tmp_path, max_boxes=2)
    rows(tmp_path, [float(number) for number in BOX])
    monkeypatch.undo()
    assert run(tmp_path, bbox_format="xywh").rows_out == 6
