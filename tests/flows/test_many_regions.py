"""More regions than one picture can show: several requests, each with its own marks; and which boxes come first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer, caption_of
from regioncap.captioners.prompts import Prompts
from regioncap.captioners.row_requests import largest_request
from regioncap.command.prune import Prune
from regioncap.command.registered_runs import Register
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.preflight.plan import plan
from regioncap.records import Row, loads
from regioncap.run.context import RunContext
from regioncap.storage.cache_folder import CacheFolder
from regioncap.storage.filesystem import Place
from regioncap.storage.steps import StepStorage
from regioncap.tasks.answers import key_of_answer, request_of
from regioncap.tasks.normalize import normalize_boxes
from regioncap.tasks.route import check_scores
from regioncap.vision.images import decode
from tests.support.photos import write_photo
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run, config_of

Serve = Callable[..., RunningServer]
BOXES = [[2 + 18 * (n % 5), 2 + 12 * (n // 5), 14, 9] for n in range(25)]


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.01, slots=8)) as running:
        yield running


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder with a row of 25 boxes and one of 2."""
    rows = []
    for number, boxes in enumerate((BOXES, BOXES[:2])):
        write_photo(tmp_path / f"photo{number}.png", number)
        rows.append({"image": f"photo{number}.png", "bbox": boxes})
    write_rows(tmp_path / "photos.jsonl", rows)
    return tmp_path


def settings(server: RunningServer, **more: Any) -> dict[str, Any]:
    return {"captioner": "openai", "model": "fake-vlm", "endpoint": [server.url], "max_boxes": 30, **more}


def drawn_rows(folder: Path) -> list[Row]:
    """The rows after `visualize` of the run's only shard."""
    storage = StepStorage(str(folder / "cache"), "regioncap").at(5)
    (data,) = [name for name in storage.folder.names() if name.endswith(".jsonl")]
    return [loads(line) for line in storage.folder.child(data).read().splitlines()]


# --- marks_per_request


@pytest.mark.parametrize(
    ("regions", "sizes"), [(0, [0]), (1, [1]), (10, [10]), (11, [5, 6]), (25, [8, 8, 9]), (100, [10] * 10)]
)
def test_groups_are_about_equal_and_in_order(regions: int, sizes: list[int]) -> None:
    config = RegionCapConfig(
        input="a.jsonl", captioner="openai", model="m", endpoint="http://localhost/v1", max_boxes=100
    )
    groups = config.groups_of(regions)
    assert [len(group) for group in groups] == sizes
    assert [number for group in groups for number in group] == list(range(1, regions + 1))


def test_each_request_has_the_marks_that_it_asks_about(crowded: Path, run: Run, server: RunningServer) -> None:
    before = run(crowded, **settings(server, limit=1, file_name_prefix="first"))
    assert (before.rows_out, before.regions) == (1, 25)
    (row,) = read_rows(crowded / "out.jsonl")
    parts = {part["sha256"][:32]: part["regions"] for part in drawn_rows_of(crowded, "first")[0]["parts"]}
    assert [len(regions) for regions in parts.values()] == [8, 8, 9]
    expected = {n: f"<region{n}> {caption_of((picture,), n)}" for picture, ns in parts.items() for n in ns}
    assert row["mdvp_record"] == [expected[n] for n in range(1, 26)]
    assert row["meta_info"]["usage"]["requests"] == 3
    # What people are shown has all of them.
    assert Path(row["meta_info"]["image_with_bbox"]).stem[:32] not in parts


def drawn_rows_of(folder: Path, prefix: str) -> list[Row]:
    storage = StepStorage(str(folder / "cache"), prefix).at(5)
    (data,) = [name for name in storage.folder.names() if name.endswith(".jsonl")]
    return [loads(line) for line in storage.folder.child(data).read().splitlines()]


def test_rows_with_few_regions_are_asked_as_ever(crowded: Path, run: Run, server: RunningServer) -> None:
    run(crowded, **settings(server))
    few = drawn_rows(crowded)[1]
    assert "parts" not in few
    assert run(crowded, **settings(server, marks_per_request=9)).captions_asked == 0  # the groups are the same
    assert run(crowded, **settings(server, marks_per_request=13)).captions_asked == 25  # of the crowded row alone
    assert read_rows(crowded / "out.jsonl")[0]["meta_info"]["usage"]["requests"] == 2


def test_nothing_is_asked_twice_and_lost_pictures_are_drawn_again(
    crowded: Path, run: Run, server: RunningServer
) -> None:
    run(crowded, **settings(server))
    before = (crowded / "out.jsonl").read_bytes()
    for marks in (crowded / "cache" / "marks").rglob("*.jpg"):
        marks.unlink()
    for answer in (crowded / "cache" / "captions").rglob("*.json"):
        answer.unlink()
    for step in (crowded / "cache").glob("regioncap_step6"):
        for file in step.iterdir():
            file.unlink()
    run(crowded, **settings(server))
    assert (crowded / "out.jsonl").read_bytes() == before
    assert run(crowded, **settings(server)).captions_asked == 0


def test_part_pictures_show_their_own_marks_only(crowded: Path, run: Run, server: RunningServer) -> None:
    run(crowded, **settings(server))
    row = drawn_rows(crowded)[0]
    folder = crowded / "cache" / "marks"

    def picture(sha256: str) -> np.ndarray:
        return decode((folder / sha256[:2] / f"{sha256}.jpg").read_bytes(), max_image_pixels=10**6).astype(int)

    whole, (first, *_) = picture(row["marked"]["sha256"]), [picture(part["sha256"]) for part in row["parts"]]
    plain = decode((crowded / "photo0.png").read_bytes(), max_image_pixels=10**6).astype(int)
    bottom = slice(52, 64)  # where the last five boxes are
    assert np.abs(whole - plain)[bottom].mean() > 4 * np.abs(first - plain)[bottom].mean()


def test_pruning_keeps_the_pictures_of_parts(crowded: Path, run: Run, server: RunningServer) -> None:
    run(crowded, **settings(server))
    cache = CacheFolder.at(Place(str(crowded / "cache")))
    found = Prune(Register.of(cache), before=float("inf")).marks()
    assert (found.seen, found.files) == (2 + 3, [])


@pytest.mark.parametrize(("mode", "requests"), [("marks", 3 + 1), ("focal", 25 + 2)])
def test_a_plan_counts_the_requests(crowded: Path, server: RunningServer, mode: str, requests: int) -> None:
    assert plan(config_of(crowded, **settings(server, prompt_mode=mode))).requests == requests


def test_the_key_of_a_crowded_row_names_its_groups(crowded: Path, server: RunningServer) -> None:
    def key(boxes: int, **more: Any) -> str:
        row = {
            "image": "photo0.png", "image_sha256": "5e" * 32, "width": 96, "height": 64, "bbox": BOXES[:boxes],
            "valid_bboxes_num": boxes,
        }  # fmt: skip
        with closing(RunContext(config_of(crowded, **settings(server, **more)))) as context:
            return key_of_answer(row, context.captioner.prompt(request_of(row, context)), context)

    assert key(10) == key(10, marks_per_request=25)
    assert key(25) != key(25, marks_per_request=25)
    assert key(25) == key(25, marks_per_request=9)  # the same three groups


def test_the_largest_request_has_no_more_regions_than_are_asked_at_once(server: RunningServer) -> None:
    config = RegionCapConfig(input="a.jsonl", **settings(server, max_boxes=25))
    ask = largest_request(config, Prompts.of(config))
    assert ask.wanted == tuple(range(17, 26))
    assert "25 regions" in ask.text
    assert "<region17> to <region25> only" in ask.text


# --- box_order

SQUARES: list[list[Any]] = [[0, 0, 10, 10], [0, 0, 0, 5], [20, 0, 30, 30], [60, 0, 20, 20], [90, 0, 500, 4]]


@pytest.mark.parametrize(
    ("order", "scores", "kept", "dropped"),
    [
        ("input", (), [0, 2], {1: "no_area", 3: "over_max_boxes", 4: "over_max_boxes"}),
        ("area", (), [2, 3], {0: "over_max_boxes", 1: "no_area", 4: "over_max_boxes"}),
        ("score", (0.1, 0.9, None, 0.3, 0.2), [3, 4], {0: "over_max_boxes", 1: "no_area", 2: "over_max_boxes"}),
        ("score", (0.5, 0.5, 0.5, 0.5, 0.5), [0, 2], {1: "no_area", 3: "over_max_boxes", 4: "over_max_boxes"}),
    ],
)
def test_box_order(order: Any, scores: tuple[float | None, ...], kept: list[int], dropped: dict[int, str]) -> None:
    row = normalize_boxes(SQUARES, 100, 100, 2, "xywh", "px", order=order, scores=scores)
    assert row["bbox_index"] == kept
    assert row["bbox"] == [SQUARES[index] for index in kept]
    assert {drop["index"]: drop["reason"] for drop in row["dropped_bbox"]} == dropped
    assert [drop["index"] for drop in row["dropped_bbox"]] == sorted(dropped)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([0.5, 1], [0.5, 1]),
        ("[0.5, 1]", [0.5, 1]),
        ([None, float("nan")], [None, None]),
        (["high", True], [None, None]),
    ],
)
def test_scores_are_read(value: Any, expected: list[float | None]) -> None:
    assert check_scores(value, 2, "scores") == expected


@pytest.mark.parametrize("value", [None, [0.5], [1, 2, 3], 0.5, "good", {}])
def test_scores_that_do_not_fit_the_boxes_are_a_reject(value: Any) -> None:
    with pytest.raises(RowReject, match=r"bad_row.*'confidence': expected a list of 2 scores"):
        check_scores(value, 2, "confidence")


def test_the_best_boxes_are_captioned_first(crowded: Path, run: Run) -> None:
    rows = read_rows(crowded / "photos.jsonl")
    rows[0]["confidence"] = [n / 25 for n in range(25)]
    rows[1]["confidence"] = [0.5]
    write_rows(crowded / "photos.jsonl", rows)
    summary = run(crowded, box_order="score", score_key="confidence", max_boxes=3)
    assert (summary.rows_out, summary.rejects_by_code) == (1, {"bad_row": 1})
    meta = read_rows(crowded / "out.jsonl")[0]["meta_info"]
    assert meta["bbox_index"] == [24, 23, 22]
    assert meta["bbox"] == [BOXES[index] for index in (24, 23, 22)]
