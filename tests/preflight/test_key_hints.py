"""Boxes and images under other keys than the default ones are said before the run; nothing when all is well."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from regioncap.preflight.first_rows import FirstRows
from regioncap.preflight.key_hints import key_hints
from regioncap.run.context import RunContext
from tests.support.rows import BOX, write_rows
from tests.support.runs import config_of

BOXES = [BOX, BOX]


def hints(folder: Path, rows: list[Any], **settings: Any) -> list[str]:
    write_rows(folder / "photos.jsonl", rows)
    config = config_of(folder, **settings)
    with closing(RunContext(config)) as context:
        return key_hints(config, FirstRows(context))


def box_hint(folder: Path, row: dict[str, Any]) -> str:
    (hint,) = hints(folder, [{"image": "a.png"}, {"image": "a.png", **row}])
    assert hint.startswith("the rows have no boxes under the key 'bbox', but ")
    return hint


NAMED = [
    ({"bboxes": BOXES}, "bboxes"),
    ({"BBox": BOXES}, "BBox"),
    ({"boxes": BOX}, "boxes"),
    ({"bbox": None, "regions": [[1.5, 2, 3, 4]]}, "regions"),
    ({"detections": BOXES, "scores": [0.1, 0.2]}, "detections"),
    ({"boxes_text": "[[1, 2, 3, 4]]"}, "boxes_text"),
    ({"objects": {"bbox": BOXES, "category": [1, 2]}}, "objects.bbox"),
    ({"annotations": [{"bbox": BOX, "category_id": 1}, {"category_id": 2}]}, "annotations.bbox"),
    ({"detections": [{"box": BOX, "score": 0.5}]}, "detections.box"),
    ({"pred": {"instances": {"boxes": BOXES}}}, "pred.instances.boxes"),
    ({"proposal_boxes": BOXES, "gt": {"bbox": BOXES}}, "gt.bbox"),
    ({"my boxes": BOXES}, "'my boxes'"),
    ({"bbox": {"xywh": BOX}}, "bbox.xywh"),
    ({"bbox": [{"box": BOX}]}, "bbox.box"),
    ({"objects": '{"bbox": [[1, 2, 3, 4]]}'}, "objects.bbox"),
]


@pytest.mark.parametrize(("row", "flag"), NAMED)
def test_boxes_under_another_key(tmp_path: Path, row: dict[str, Any], flag: str) -> None:
    assert box_hint(tmp_path, row).endswith(f"to use these: --bbox-key {flag}")


SIDES = {"x": 10, "y": 20, "width": 30, "height": 5}
OTHER = [
    ({"xmin": "1", "ymin": "2", "xmax": "3", "ymax": "4"}, "--rows per_box --bbox-key xmin,ymin,xmax,ymax"),
    (SIDES, "--bbox-key x,y,width,height --bbox-format xywh"),
    ({"annotations": [{"result": [{"value": SIDES}]}]}, "'annotations.result.value' has the numbers of boxes under"),
    ({"objects": [{"bndbox": {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}}]}, "'objects.bndbox' has the numbers"),
    ({"shapes": [{"points": [[1, 2], [3, 4]], "shape_type": "rectangle"}]}, "'shapes.points' has the corners"),
]


@pytest.mark.parametrize(("row", "words"), OTHER)
def test_boxes_in_other_forms(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    assert words in box_hint(tmp_path, row)


CONVERSATION = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cup at [0.1, 0.2, 0.3, 0.4]"}]
WELL = [
    [{"image": "a.png"}],
    [{"image": "a.png", "bbox": BOXES, "boxes": BOXES}],
    [{"image": "a.png", "boxes": BOXES}] * 200 + [{"image": "a.png", "bbox": BOXES}],
    [{"image": "a.png", "bbox": []}],
    [{"image": "a.png", "camera": [[1, 0, 2, 0], [0, 1, 2, 0]], "rotation": [0, 0, 0, 1]}],
    [{"image": "a.png", "boxes": 4, "objects": ["cat", "dog"], "regions": [], "box": "large"}],
    [{"image": "a.png", "boxes": [[1, 2, 3]], "bboxes": [[1, 2, 3, 10**400]], "rect": [True, 1, 2, 3]}],
    [{"image": "a.png", "boxes" + "s" * 90: BOXES, "boxes\x1b[31m": BOXES, "boxes_sk-" + "1a" * 20: BOXES}],
    [{"id": 1, "image": "a.png", "conversations": CONVERSATION}],
    [{"image": ["a.png"], "messages": [{"role": "user", "content": "<image>"}]}],
    ["no json", []],
]


@pytest.mark.parametrize("rows", WELL)
def test_nothing_is_said_when_all_is_well(tmp_path: Path, rows: list[Any]) -> None:
    assert hints(tmp_path, rows) == []


def test_a_key_that_leads_to_objects_and_not_to_their_boxes(tmp_path: Path) -> None:
    (hint,) = hints(tmp_path, [{"image": "a.png", "objects": [{"bbox": BOX}]}], bbox_key="objects")
    assert hint.endswith("under the key 'objects', but under 'objects.bbox'; to use these: --bbox-key objects.bbox")


def test_nothing_is_said_where_the_key_is_named_or_the_check_is_off(tmp_path: Path) -> None:
    rows = [{"image": "a.png", "boxes": BOXES, "other_boxes": BOXES}]
    assert hints(tmp_path, rows, bbox_key="other_boxes") == hints(tmp_path, rows, box_check=False) == []


@pytest.mark.parametrize(
    ("row", "flag"),
    [
        ({"file_name": "a.jpg", "bbox": BOXES}, "file_name"),
        ({"images": ["a.JPG"], "messages": []}, "images"),
        ({"id": "12.png", "imagePath": "a.png"}, "imagePath"),
        ({"photo": {"path": "a.webp", "bytes": None}}, "photo"),
        ({"image": {"file_name": "a.png", "width": 3}}, "image.file_name"),
        ({"meta": {"url": "https://a.example/b.jpeg?w=3"}}, "meta.url"),
    ],
)
def test_images_under_another_key(tmp_path: Path, row: dict[str, Any], flag: str) -> None:
    (hint,) = hints(tmp_path, [row])
    assert (
        hint == f"the rows have no images under the key 'image', but under {flag!r}; to use these: --image-key {flag}"
    )
