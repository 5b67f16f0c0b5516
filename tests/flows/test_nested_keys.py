"""Rows as public data sets have them, through the flow and out again: nested keys, lists of one image, chats."""

from __future__ import annotations

import csv
import json
import logging
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from regioncap.exports.export import ExportRequest, export
from regioncap.output.reading import Captioned, open_output
from regioncap.output.where import Condition, chosen
from regioncap.storage.filesystem import Filesystems
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run

OTHER = [60, 10, 20, 20]
DETECTION = {
    "image_id": 4,
    "image": {"path": "a.png", "bytes": None},
    "width": 96,
    "height": 64,
    "objects": {"id": [7, 8], "bbox": [BOX, OTHER], "category": ["cat", "dog"], "score": [0.1, 0.9]},
    "meta": {"split": "train"},
}
ANNOTATED = {
    "image": ["a.png"],
    "annotations": [{"bbox": BOX, "label": "cat"}, {"label": "no box"}, {"bbox": OTHER, "label": "dog"}],
}
LLAVA = {
    "id": "000000033471",
    "image": "coco/a.png",
    "conversations": [
        {"from": "human", "value": "<image>\nWhat are the colors of the bus?"},
        {"from": "gpt", "value": "White and red, <image> at [0.1, 0.2, 0.3, 0.4]."},
    ],
}
SHAREGPT4V = {**LLAVA, "id": "sa_1", "image": ["coco/a.png"], "model": "gpt-4v"}
LLAMA_FACTORY = {
    "messages": [{"content": "<image>Who are they?", "role": "user"}, {"content": "Two cats.", "role": "assistant"}],
    "image": ["coco/a.png"],
    "system": None,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two photos."""
    (tmp_path / "coco").mkdir()
    write_photo(tmp_path / "a.png", 1)
    write_photo(tmp_path / "coco" / "a.png", 2)
    return tmp_path


def carried(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("mdvp_record", "meta_info")}


def exported(folder: Path, to: str) -> Path:
    files = Filesystems()
    written = open_output(str(folder / "out.jsonl"), files)
    return Path(export(written, ExportRequest(to), files).files[0].removeprefix("file://"))


def where(folder: Path, *conditions: str) -> list[Captioned]:
    written = open_output(str(folder / "out.jsonl"), Filesystems())
    return list(chosen(written.rows(), [Condition.of(text) for text in conditions]))


def test_a_detection_data_set_by_its_paths(folder: Path, run: Run) -> None:
    write_rows(folder / "photos.jsonl", [DETECTION, {**DETECTION, "objects": {"bbox": []}}])
    summary = run(
        folder, bbox_key="objects.bbox", region_fields=["objects.category"], image_key="image.path",
        box_order="score", score_key="objects.score", prompt="{meta.split}",
    )  # fmt: skip
    assert (summary.rows_out, summary.rejects_by_code, summary.boxes_in) == (1, {"no_boxes": 1}, 2)
    (row,) = read_rows(folder / "out.jsonl")
    assert carried(row) == DETECTION
    assert row["meta_info"]["bbox"] == [OTHER, BOX]
    assert row["meta_info"]["region_fields"] == {"objects.category": ["dog", "cat"]}
    assert [one.bbox for one in where(folder, "objects.category=cat", "meta.split=train")] == [[BOX]]
    assert where(folder, "meta.split=test") == []
    found = json.loads(exported(folder, "coco").read_text())
    assert {one["name"]: one["id"] for one in found["categories"]} == {"dog": 1, "cat": 2}
    assert [one["category_id"] for one in found["annotations"]] == [1, 2]
    assert found["images"][0]["file_name"] == "a.png"
    assert not any("." in name for name in found["annotations"][0])
    with exported(folder, "csv").open(newline="") as file:
        assert [line["objects.category"] for line in csv.DictReader(file)] == ["dog", "cat"]
    (regions,) = pq.read_table(exported(folder, "parquet"))["regions"].to_pylist()
    assert [one["fields"] for one in regions] == [{"objects.category": "dog"}, {"objects.category": "cat"}]


def test_boxes_in_a_list_of_objects(folder: Path, run: Run) -> None:
    several = {**ANNOTATED, "image": ["a.png", "coco/a.png", "b.png"]}
    write_rows(folder / "photos.jsonl", [ANNOTATED, several, {**ANNOTATED, "image": []}])
    summary = run(folder, bbox_key="annotations.bbox", region_fields=["annotations.label"], max_reject_share=1)
    assert (summary.rows_in, summary.rows_out, summary.rejects_by_code) == (3, 1, {"bad_row": 2})
    assert summary.boxes_dropped == {"not_finite": 1}
    (row,) = read_rows(folder / "out.jsonl")
    assert carried(row) == ANNOTATED
    assert (row["meta_info"]["bbox"], row["meta_info"]["bbox_index"]) == ([BOX, OTHER], [0, 2])
    assert row["meta_info"]["region_fields"] == {"annotations.label": ["cat", "dog"]}
    messages = [one["message"] for one in read_rows(folder / "out.rejects.jsonl")]
    assert "'image' holds 3 images; expected one" in messages[0]
    assert "'image' holds no image; expected one" in messages[1]


def test_conversations_pass_through(folder: Path, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    rows = [LLAVA, SHAREGPT4V, LLAMA_FACTORY]
    write_rows(folder / "photos.jsonl", rows)
    with caplog.at_level(logging.WARNING, "regioncap"):
        assert run(folder).rows_out == 3
    assert caplog.messages == []
    assert [carried(row) for row in read_rows(folder / "out.jsonl")] == rows
    with exported(folder, "csv").open(newline="") as file:
        line = next(csv.DictReader(file))
    assert (line["image"], json.loads(line["conversations"])) == ("coco/a.png", LLAVA["conversations"])
    own = pq.read_table(exported(folder, "parquet"))["row"].to_pylist()
    assert json.loads(own[2]["messages"]) == LLAMA_FACTORY["messages"]
    with tarfile.open(exported(folder, "wds")) as tar:
        about = json.load(tar.extractfile("000000002.json") or pytest.fail("no such member"))
    assert (about["image"], about["row"]["conversations"]) == ("coco/a.png", LLAVA["conversations"])
    turns = json.loads(exported(folder, "llava").read_text())
    assert [one["image"] for one in turns] == ["coco/a.png"] * 3
    assert turns[0]["id"] == LLAVA["id"]
    assert json.loads(exported(folder, "coco").read_text())["images"][1]["file_name"] == "coco/a.png"


def test_other_keys_are_said_before_the_run(folder: Path, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    write_rows(folder / "photos.jsonl", [{"images": ["a.png"], "boxes": [BOX]}])
    with caplog.at_level(logging.WARNING, "regioncap"):
        run(folder, image_key="images")
    assert caplog.messages == [
        "the rows have no boxes under the key 'bbox', but under 'boxes'; to use these: --bbox-key boxes"
    ]
