"""Marks are drawn when regions are found, from the same pixels: the steps' rows are those of each step alone."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import cv2
import pytest
import simplejpeg
from PIL import Image

from regioncap.records import Row
from regioncap.run.context import RunContext
from regioncap.tasks.draw_row import draw_row
from regioncap.tasks.extract import extract_row
from regioncap.tasks.normalize import normalize_row
from regioncap.tasks.shard import shard_run_of
from tests.support.photos import draw_photo
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run, config_of


def photo(folder: Path, name: str, width: int = 320, height: int = 240) -> str:
    assert cv2.imwrite(str(folder / name), cv2.resize(draw_photo(3, 96, 72), (width, height)))
    return name


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("max_pixels", [1_003_520, 18_000])
def test_what_is_drawn_ahead_is_what_would_be_drawn(tmp_path: Path, name: str, max_pixels: int) -> None:
    (tmp_path / "photos.jsonl").touch()
    row: Row = {"image": photo(tmp_path, name), "type": "without_bbox"}
    with closing(RunContext(config_of(tmp_path, max_pixels=max_pixels))) as context:
        shard_run = shard_run_of(context)
        found = extract_row(row, context.images.read, context.config, shard_run.on_regions_found)
        alone = normalize_row(extract_row(row, context.images.read, context.config), context.config)
        assert normalize_row(found, context.config) == alone
        drawn, jpegs = draw_row(alone, context.images.read, context.config)
        ahead = shard_run.prerendered(alone)
        if max_pixels == 18_000:  # the picture for the model is decoded at another scale
            assert ahead is None
        else:
            assert ahead == drawn
            assert context.marks.get(drawn["marked"]["sha256"]) == jpegs[0]


def test_the_flow_decodes_found_pictures_once(tmp_path: Path, run: Run) -> None:
    write_rows(tmp_path / "photos.jsonl", [{"image": photo(tmp_path, f"{n}.jpg")} for n in range(3)])
    with patch("simplejpeg.decode_jpeg", wraps=simplejpeg.decode_jpeg) as decoder:
        summary = run(tmp_path, page_pictures=0)
    assert summary.rows_out == 3
    # Once for finding and drawing, once for the sentences of `pixels`.
    assert decoder.call_count == 6


def test_an_animation_is_its_first_frame_with_a_warning(tmp_path: Path, run: Run) -> None:
    frames = [Image.fromarray(draw_photo(seed)) for seed in (1, 2, 3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.gif")
    rows = [{"image": "a.gif"}, {"image": "a.gif", "bbox": [[10, 10, 40, 40]]}, {"image": "still.gif"}]
    write_rows(tmp_path / "photos.jsonl", rows)
    run(tmp_path)
    warnings = [row["meta_info"]["warnings"] for row in read_rows(tmp_path / "out.jsonl")]
    expected = "the image holds 3 pictures; the first is described"
    assert [expected in of_row for of_row in warnings] == [True, True, False]
