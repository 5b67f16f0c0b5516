"""COCO instances JSON as input: one row an image, its annotations as lists parallel to its boxes."""

from __future__ import annotations

import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from regioncap.config.model import RegionCapConfig
from regioncap.errors import InputDamaged, UsageError
from regioncap.inputs.coco import REGION_FIELDS, looks_like_coco, read_categories
from regioncap.inputs.coco_boxes import hull_of
from regioncap.inputs.json_object import split_members
from regioncap.inputs.readers import read_shards
from regioncap.records import reason_not_a_row
from regioncap.run.context import completed
from regioncap.storage.filesystem import Filesystems, Place

IMAGES: list[dict[str, Any]] = [
    {"id": 11, "file_name": "a.jpg", "width": 640, "height": 480, "license": 3},
    {"id": 12, "file_name": "b.jpg", "width": 320, "height": 200},
    {"id": 13, "file_name": "c.jpg", "width": 10, "height": 10},
]
ANNOTATIONS: list[dict[str, Any]] = [
    {"id": 5, "image_id": 12, "category_id": 1, "bbox": [1, 2.5, 3, 4], "area": 7.5, "iscrowd": 0, "score": 0.5,
     "segmentation": [[1, 2, 3, 4, 5, 6]]},
    {"id": 6, "image_id": 11, "category_id": 2, "bbox": [5, 6, 7, 8], "segmentation": {"counts": [1], "size": [1, 2]}},
    {"id": 7, "image_id": 12, "category_id": 2},
]  # fmt: skip
CATEGORIES = [{"id": 1, "name": "cat", "supercategory": "animal"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "emu"}]


def coco(**changes: Any) -> dict[str, Any]:
    found = {"info": {"year": 2017, "more": [1, {"a": "]}"}]}, "licenses": [{"id": 1}], "images": IMAGES}
    return {**found, "annotations": ANNOTATIONS, "categories": CATEGORIES, **changes}


def config_for(path: Path, **more: Any) -> RegionCapConfig:
    return completed(RegionCapConfig(input=str(path), captioner="pixels", **more))


def rows_of(path: Path, **more: Any) -> list[dict[str, Any]]:
    shards = read_shards(config_for(path, **more), Filesystems())
    return [json.loads(text) for shard in shards for _, text in shard.lines]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("order", [1, -1])
def test_rows_are_images_and_lists_are_annotations(tmp_path: Path, indent: int | None, order: int) -> None:
    whole = coco()
    keys = list(whole)[::order]
    (tmp_path / "c.json").write_text(json.dumps({key: whole[key] for key in keys}, indent=indent))
    first, second, third = rows_of(tmp_path / "c.json")
    assert first == {
        "image": "a.jpg", "image_id": 11, "bbox": [[5, 6, 7, 8]], "annotation_id": [6], "category_id": [2],
        "category": ["dog"], "score": [None], "iscrowd": [None], "area": [None], "width": 640, "height": 480,
        "license": 3,
    }  # fmt: skip
    assert second["bbox"] == [
        [1, 2.5, 3, 4],
        [None] * 4,
    ]  # the annotation without a box is dropped later, with a reason
    assert (second["annotation_id"], second["category"], second["score"]) == ([5, 7], ["cat", "dog"], [0.5, None])
    assert third["bbox"] == []


def test_other_keys_of_annotations_when_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(coco()))
    assert config_for(tmp_path / "c.json").region_fields == REGION_FIELDS
    config = config_for(tmp_path / "c.json", region_fields=["segmentation"])
    assert config.region_fields == ("segmentation", *REGION_FIELDS)
    assert completed(config) == config
    assert rows_of(tmp_path / "c.json", region_fields=["segmentation"])[1]["segmentation"] == [
        [[1, 2, 3, 4, 5, 6]],
        None,
    ]


def test_annotations_of_no_image_are_not_lost(tmp_path: Path) -> None:
    stray = {"id": 9, "image_id": 99, "category_id": 1, "bbox": [0, 0, 1, 1]}
    (tmp_path / "c.json").write_text(json.dumps(coco(annotations=[*ANNOTATIONS, stray])))
    last = rows_of(tmp_path / "c.json")[-1]
    assert (last["image_id"], last["annotation_id"], "image" in last) == (99, [9], False)


@pytest.mark.parametrize("image_id", [1, "1", 1.0])
@pytest.mark.parametrize("given", [1, "1", 1.0])
def test_ids_join_however_they_are_spelled(tmp_path: Path, image_id: Any, given: Any) -> None:
    whole = {
        "images": [{"id": 2, "file_name": "b.jpg"}, {"id": image_id, "file_name": "a.jpg"}],
        "annotations": [{"id": 1, "image_id": given, "category_id": given, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": image_id, "name": "cat"}],
    }
    (tmp_path / "c.json").write_text(json.dumps(whole))
    other, row = rows_of(tmp_path / "c.json")
    assert (other["bbox"], row["image"], row["bbox"], row["category"]) == ([], "a.jpg", [[1, 2, 3, 4]], ["cat"])


def test_ids_that_are_there_as_they_are_spelled_stay_apart(tmp_path: Path) -> None:
    images: list[dict[str, Any]] = [
        {"id": 1, "file_name": "a.jpg"},
        {"id": "1", "file_name": "b.jpg"},
        {"id": "01", "file_name": "c.jpg"},
    ]
    annotations = [{"image_id": one["id"], "bbox": [place, 0, 1, 1]} for place, one in enumerate(images)]
    (tmp_path / "c.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    assert [row["bbox"] for row in rows_of(tmp_path / "c.json")] == [[[place, 0, 1, 1]] for place in range(3)]


def texts_of(path: Path) -> list[bytes]:
    return [text for shard in read_shards(config_for(path), Filesystems()) for _, text in shard.lines]


def test_images_that_share_an_id_are_broken_rows(tmp_path: Path) -> None:
    images = [*IMAGES, {"id": 12, "file_name": "other.jpg"}]
    (tmp_path / "c.json").write_text(json.dumps(coco(images=images)))
    first, second, third, fourth = texts_of(tmp_path / "c.json")
    assert "2 images of this file have the id 12" in (reason_not_a_row(second) or ("", b""))[0]
    assert json.loads((reason_not_a_row(fourth) or ("", b""))[1]) == images[3]
    assert [json.loads(text)["image"] for text in (first, third)] == ["a.jpg", "c.jpg"]


def test_an_image_that_is_listed_twice_is_two_rows(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(coco(images=[IMAGES[1], IMAGES[1]], annotations=ANNOTATIONS[:1])))
    assert [row["bbox"] for row in rows_of(tmp_path / "c.json")] == [[[1, 2.5, 3, 4]]] * 2


def test_a_file_of_captions_is_refused_in_words(tmp_path: Path) -> None:
    captions = [{"id": 1, "image_id": 11, "caption": "a cat"}]
    (tmp_path / "c.json").write_text(json.dumps(coco(annotations=captions)))
    with pytest.raises(UsageError, match=r"no annotation of .*c\.json has a `bbox` .* id, image_id, caption\. Name"):
        rows_of(tmp_path / "c.json")


@pytest.mark.parametrize(("unit", "count"), [("px", 1), ("0-1", 2)])
def test_annotations_without_a_box_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, unit: str, count: int
) -> None:
    more = {"id": 8, "image_id": 12, "segmentation": [[1, 2, 3, 4, 5, 6]]}  # in pixels
    (tmp_path / "c.json").write_text(json.dumps(coco(annotations=[*ANNOTATIONS, more])))
    assert [len(row["bbox"]) for row in rows_of(tmp_path / "c.json", bbox_unit=unit)] == [1, 3, 0]
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{tmp_path}/c.json: {count} of 4 annotations have no")


POLYGONS = [[10, 20, 110.5, 20, 110.5, 140], [5, 60, 7, 60, 7, 61]]


@pytest.mark.parametrize("nothing", [{}, {"bbox": None}, {"bbox": []}])
@pytest.mark.parametrize(
    ("box_format", "box"),
    [("xywh", [5, 20, 105.5, 120]), ("xyxy", [5, 20, 110.5, 140]), ("cxcywh", [57.75, 80, 105.5, 120])],
)
def test_a_segmentation_without_a_box_gives_its_hull(
    tmp_path: Path, nothing: dict[str, Any], box_format: str, box: list[float]
) -> None:
    annotation = {"image_id": 11, "segmentation": POLYGONS, **nothing}
    (tmp_path / "c.json").write_text(json.dumps(coco(annotations=[annotation])))
    assert rows_of(tmp_path / "c.json", bbox_format=box_format)[0]["bbox"] == [box]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_the_hull_of_a_mask_is_that_of_its_pixels(share: float) -> None:
    rng = np.random.default_rng(7)
    for height, width in rng.integers(1, 50, (50, 2)):
        mask = np.asfortranarray(rng.random((height, width)) < share, dtype=np.uint8)
        text = coco_masks.encode(mask)
        flat = mask.ravel(order="F")
        borders = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
        runs = ([0] if flat[0] else []) + np.diff(borders).tolist()
        ys, xs = np.nonzero(mask)
        expected = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if xs.size else None
        size = [int(height), int(width)]
        assert hull_of({"size": size, "counts": text["counts"].decode()}) == expected
        assert hull_of({"size": size, "counts": runs}) == expected


@pytest.mark.parametrize(
    "segmentation",
    [None, [], [[]], [[1, 2]], [[1, 2, 3]], [["a", "b", "c", "d"]], [[1, 2, 1e999, 4]], "text", 7, {},
     {"counts": "abc"}, {"counts": 'abc\\"]}', "size": [240, 320]}, {"counts": [1, -5, 9], "size": [3, 3]},
     {"counts": "é", "size": [1, 1]},
     {"counts": [], "size": [0, 0]}],
)  # fmt: skip
def test_a_segmentation_of_another_form_has_no_hull(segmentation: Any) -> None:
    assert hull_of(segmentation) is None


def test_the_image_key_that_is_named_is_used(tmp_path: Path) -> None:
    url = "http://images.cocodataset.org/a.jpg"
    images = [{**IMAGES[0], "coco_url": url}, {**IMAGES[1], "coco_url": ""}, IMAGES[2]]
    (tmp_path / "c.json").write_text(json.dumps(coco(images=images)))
    first, second, third = rows_of(tmp_path / "c.json", image_key="coco_url")
    assert (first["coco_url"], first["file_name"]) == (url, "a.jpg")
    assert [second["coco_url"], third["coco_url"]] == ["b.jpg", "c.jpg"]


def test_compressed_and_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json.gz").write_bytes(gzip.compress(json.dumps(coco()).encode()))
    (tmp_path / "in" / "b.json").write_text(json.dumps(coco(images=IMAGES[:1], annotations=ANNOTATIONS[1:2])))
    shards = list(read_shards(config_for(tmp_path / "in", shard_size=100), Filesystems()))
    assert [(shard.source, len(shard.lines)) for shard in shards] == [("a.json.gz", 3), ("b.json", 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps(coco()), True),
        (json.dumps(coco(), indent=1), True),
        (json.dumps({"categories": CATEGORIES * 2000, "images": IMAGES}), True),
        ('{"image": "a.jpg"}\n{"image": "b.jpg"}\n', False),
        ('{"images": [{"url": "a.jpg"}]}\n{"images": [{"url": "b.jpg"}]}\n', False),
        ('{"image": "a.jpg", "bbox": [[1, 2, 3, 4]]}', False),
        ('[{"image": "a.jpg"}]', False),
        ('{"images": [1, 2]}', False),
        ("", False),
        ('{"images": [{"a": ', False),
    ],
)
def test_what_is_taken_for_coco(tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "x.json").write_text(text)
    assert looks_like_coco(Place(str(tmp_path / "x.json"))) == expected


def test_categories_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(coco()))
    assert read_categories(Place(str(tmp_path / "c.json"))) == CATEGORIES


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
def test_a_cut_file_is_damaged(tmp_path: Path, cut: float) -> None:
    text = json.dumps(coco(annotations=ANNOTATIONS * 50))
    (tmp_path / "c.json").write_text(text[: int(len(text) * cut)])
    with pytest.raises(InputDamaged, match="the file ends before the object does"):
        rows_of(tmp_path / "c.json")


def test_members_survive_every_border_of_what_is_read_at_once() -> None:
    rng = random.Random(3)
    odd = ['}"]{[,:', "\\", 'a"b', "é\u2028", "", "[1,2"]
    whole = {
        "info": {"a": odd},
        "images": [{"t": rng.choice(odd), "n": [rng.random() for _ in range(rng.randrange(4))]} for _ in range(40)],
        "empty": [],
        "x": 1,
        "annotations": [rng.choice([{}, {"b": [[1, 2], [3]]}, {"c": {"d": []}}]) for _ in range(40)],
    }

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(rng.randrange(1, 7))

    text = json.dumps(whole, ensure_ascii=False, indent=rng.choice([None, 1])).encode()
    found: dict[str, list[Any]] = {}
    for key, number, element in split_members(Place("memory://x"), Slow(text), 10_000):
        found.setdefault(key, []).append(json.loads(element))
        assert number == len(found[key])
    assert found == {"images": whole["images"], "annotations": whole["annotations"]}
