"""Tables with a row for each box: the rows of an image become one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.inputs.readers import read_shards
from regioncap.run.context import completed
from regioncap.storage.filesystem import Filesystems

CSV = """filename,xmin,ymin,xmax,ymax,label,split
b.jpg,1,2,3,4,cat,train
a.jpg,5,6,7,8,dog,train
b.jpg,1,2.5,3,4,"c,o",test
none.jpg,,,,,,train
,1,2,3,4,z,train
"""
COLUMNS: dict[str, Any] = {"rows": "per_box", "bbox_key": "xmin,ymin,xmax,ymax", "image_key": "filename"}


def config_for(path: Path | str, **more: Any) -> RegionCapConfig:
    return completed(RegionCapConfig(input=str(path), captioner="pixels", **{"rows": "per_box", **more}))


def numbered_rows(path: Path | str, **more: Any) -> list[tuple[str, int, Any]]:
    shards = read_shards(config_for(path, **more), Filesystems())
    return [(shard.source, number, json.loads(text)) for shard in shards for number, text in shard.lines]


def test_rows_of_an_image_become_one_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    config = config_for(tmp_path / "t.csv", **COLUMNS)
    assert (config.region_fields, config.boxes_key) == (("label", "split"), "bbox")
    assert numbered_rows(tmp_path / "t.csv", **COLUMNS) == [
        ("", 2, {"filename": "b.jpg", "bbox": [[1, 2, 3, 4], [1, 2.5, 3, 4]], "label": ["cat", "c,o"],
                 "split": ["train", "test"]}),
        ("", 3, {"filename": "a.jpg", "bbox": [[5, 6, 7, 8]], "label": ["dog"], "split": ["train"]}),
        ("", 5, {"filename": "none.jpg", "bbox": None, "label": [], "split": []}),
        ("", 6, {"filename": "", "bbox": [[1, 2, 3, 4]], "label": ["z"], "split": ["train"]}),
    ]  # fmt: skip


def test_named_fields_are_lists_and_others_only_where_they_differ(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    first, second, *_ = (row for _, _, row in numbered_rows(tmp_path / "t.csv", **COLUMNS, region_fields=["label"]))
    assert (first["label"], first["split"]) == (["cat", "c,o"], ["train", "test"])
    assert (second["label"], second["split"]) == (["dog"], "train")


def test_one_column_with_the_box_and_images_over_several_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    parts = [[("a.jpg", [1.0, 2.0, 3.0, 4.0]), ("b.jpg", [0.0, 0.0, 5.0, 5.0])], [("a.jpg", [9.0, 9.0, 1.0, 1.0])]]
    for number, rows in enumerate(parts):
        table = pa.table(
            {"image": [image for image, _ in rows], "bbox": [box for _, box in rows], "n": [1] * len(rows)}
        )
        pq.write_table(table, tmp_path / "in" / f"{number}.parquet")
    (tmp_path / "in" / "2.jsonl").write_text('{"image": "c.jpg", "bbox": [1, 1, 2, 2]}\nno json\n{"image": "a.jpg"}\n')
    shards = list(read_shards(config_for(tmp_path / "in"), Filesystems()))
    found = [(shard.source, [text for _, text in shard.lines]) for shard in shards]
    assert [source for source, _ in found] == ["0.parquet", "2.jsonl"]  # what file 1 has belongs to a row of file 0
    first = json.loads(found[0][1][0])
    assert (first["bbox"], first["n"]) == ([[1, 2, 3, 4], [9, 9, 1, 1]], [1, 1])
    assert found[1][1][1] == b"no json"


def test_the_table_is_read_again_for_a_second_pass(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    assert [number for _, number, _ in numbered_rows(tmp_path / "t.csv", **COLUMNS, sample=2)] == [
        number for _, number, _ in numbered_rows(tmp_path / "t.csv", **COLUMNS, sample=2)
    ]
    assert len(numbered_rows(tmp_path / "t.csv", **COLUMNS, sample=2)) == 2
    assert len(numbered_rows(tmp_path / "t.csv", **COLUMNS, limit=1)) == 1


def test_columns_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    with pytest.raises(
        UsageError, match=r"bbox_key: .*t\.csv has no column 'bbox'; the rows have: filename, xmin.*a,b,c,d"
    ):
        config_for(tmp_path / "t.csv", image_key="filename")
    with pytest.raises(UsageError, match=r"image_key: .* has no column 'image'"):
        config_for(tmp_path / "t.csv", bbox_key="xmin,ymin,xmax,ymax")
    with pytest.raises(UsageError, match=r"bbox_key: expected one key, or four columns"):
        config_for(tmp_path / "t.csv", bbox_key="xmin,ymin")
    with pytest.raises(UsageError, match="expected rows='per_box'"):
        RegionCapConfig(input="t.csv", captioner="pixels", bbox_key="a,b,c,d")
