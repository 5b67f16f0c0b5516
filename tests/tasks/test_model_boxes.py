"""Boxes that a model gives come out as they are, in every form, unit and size; what is doubtful gives none."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from regioncap.captioners.fake.box_forms import BOX_FORMS, DOUBTFUL
from regioncap.captioners.fake_server import Behaviour, Boxes, RunningServer
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Place
from regioncap.tasks.extract import EXTRACT
from tests.support.photos import draw_photo
from tests.support.rows import write_rows
from tests.support.runs import config_of
from tests.support.steps import Made, make_all, steps_of

SIZES = {"wide.png": (640, 480), "high.png": (301, 907), "tiny.png": (33, 21), "large.png": (1920, 1440)}
ORIENTATION = 0x0112


def write_photos(folder: Path, sizes: dict[str, tuple[int, int]]) -> None:
    for number, (name, (width, height)) in enumerate(sizes.items()):
        Image.fromarray(draw_photo(number, width=width, height=height)[..., ::-1]).save(folder / name)
    write_rows(folder / "photos.jsonl", [{"image": name} for name in sizes])


def made(folder: Path, boxes: Boxes, **settings: Any) -> Made:
    """What the steps make of the folder's photos with a model that finds `boxes`."""
    with RunningServer(Behaviour(latency=0.0, boxes=boxes)) as server:
        given: dict[str, Any] = {
            "captioner": "openai", "model": "fake-vlm", "endpoint": server.url, "extractor": "vlm",
            "find_coordinates": "px", "draw_visualization": False, "max_repairs": 0,
        }  # fmt: skip
        with closing(RunContext(config_of(folder, **{**given, "max_boxes": 4, **settings}))) as context:
            return make_all(context)


def shares(digest: str, wh: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Two boxes at the same shares of any picture, whole pixels of each: corners."""
    return [(0, 0, wh[0] // 4, wh[1] // 4), (wh[0] // 2, wh[1] // 2, wh[0], wh[1])]


def expected(width: int, height: int) -> list[list[int]]:
    return [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in shares("", (width, height))]


@pytest.mark.parametrize("unit", ["px", "0-1", "0-1000", "0-1000-yxyx"])
@pytest.mark.parametrize("form", [form for form in BOX_FORMS if form != "paligemma"])
def test_boxes_are_exact_where_the_model_gets_the_whole_picture(tmp_path: Path, form: str, unit: str) -> None:
    sizes = {name: size for name, size in SIZES.items() if name != "large.png"}
    write_photos(tmp_path, sizes)
    result = made(tmp_path, Boxes(form, places=shares), find_coordinates=unit, find="dog, cat")
    assert result.rejects == []
    for row in result.rows:
        assert row["meta_info"]["bbox"] == expected(*sizes[row["image"]])
        assert row["meta_info"]["region_fields"] == {"label": ["dog", "cat"]}


@pytest.mark.parametrize("unit", ["px", "0-1000"])
def test_boxes_of_a_smaller_picture_are_those_of_the_larger_one(tmp_path: Path, unit: str) -> None:
    write_photos(tmp_path, {"large.png": SIZES["large.png"]})
    (row,) = made(tmp_path, Boxes(places=shares), find_coordinates=unit, max_pixels=480 * 360).rows
    assert row["meta_info"]["bbox"] == expected(*SIZES["large.png"])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_those_of_the_picture_as_displayed(tmp_path: Path, orientation: int) -> None:
    photo = Image.fromarray(draw_photo(1, width=320, height=200)[..., ::-1])
    exif = photo.getexif()
    exif[ORIENTATION] = orientation
    photo.save(tmp_path / "turned.jpg", exif=exif)
    write_rows(tmp_path / "photos.jsonl", [{"image": "turned.jpg"}])
    (row,) = made(tmp_path, Boxes(places=shares)).rows
    meta = row["meta_info"]
    assert (meta["width"], meta["height"]) == ((200, 320) if orientation >= 5 else (320, 200))
    assert meta["bbox"] == expected(meta["width"], meta["height"])


@pytest.mark.parametrize("form", DOUBTFUL)
def test_what_is_doubtful_is_no_region(tmp_path: Path, form: str) -> None:
    write_photos(tmp_path, {"wide.png": SIZES["wide.png"]})
    result = made(tmp_path, Boxes(form))
    assert result.rows == []
    code = "caption_failed" if form == "thoughts" else "no_regions"  # there is no answer behind the thoughts
    assert result.codes() == [code]


def test_the_model_is_known_by_its_name(tmp_path: Path) -> None:
    write_photos(tmp_path, {"wide.png": SIZES["wide.png"]})
    with RunningServer(Behaviour(latency=0.0, model="Qwen3-VL-8B", boxes=Boxes(places=shares))) as server:
        settings = {"captioner": "openai", "model": "Qwen3-VL-8B", "endpoint": server.url, "extractor": "vlm"}
        with closing(RunContext(config_of(tmp_path, **settings))) as context:
            (row,) = make_all(context).rows
    assert row["meta_info"]["bbox"] == expected(*SIZES["wide.png"])


def test_a_picture_that_the_model_fails_again_and_again_is_put_on_hold(tmp_path: Path) -> None:
    write_photos(tmp_path, {"wide.png": SIZES["wide.png"]})
    with RunningServer(Behaviour(latency=0.0, boxes=Boxes("thoughts"))) as server:
        settings: dict[str, Any] = {
            "captioner": "openai", "model": "fake-vlm", "endpoint": server.url, "extractor": "vlm",
            "find_coordinates": "px", "max_repairs": 0,
        }  # fmt: skip

        def run(**more: Any) -> dict[str, Any]:
            with closing(RunContext(config_of(tmp_path, **settings, **more))) as context:
                extracted = steps_of(next(context.shards()), context)[EXTRACT.index]
                (row,) = context.storage.read(extracted)
                return dict(row["reject"])

        rests = ["rests" in run() for _ in range(4)]
        assert rests == [False, False, True, True]
        assert server.stats["for_boxes"] == 3
        assert "rests" not in run(max_tokens=500)
        assert server.stats["for_boxes"] == 4


def test_answers_are_kept_in_a_store_as_on_a_disk(tmp_path: Path, memory: Place) -> None:
    write_photos(tmp_path, SIZES)
    with RunningServer(Behaviour(latency=0.0, boxes=Boxes(places=shares))) as server:
        settings: dict[str, Any] = {
            "captioner": "openai", "model": "fake-vlm", "endpoint": server.url, "extractor": "vlm",
            "find_coordinates": "px", "cache_path": memory.url,
        }  # fmt: skip
        for _ in range(2):
            with closing(RunContext(config_of(tmp_path, **settings))) as context:
                assert make_all(context).rejects == []
        assert server.stats["for_boxes"] == len(SIZES)
