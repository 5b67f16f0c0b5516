"""Images whose bytes lie in Parquet files: rows name file and row, and hold no bytes."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject, UsageError
from regioncap.image_ref import ref_at, without_place
from regioncap.inputs.readers import input_root, read_shards
from regioncap.storage.filesystem import Filesystems, Place
from regioncap.storage.images import ImageFiles
from regioncap.tasks.load import load_row

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def texts_of(address: Path | str, **settings: Any) -> list[bytes]:
    config = RegionCapConfig(input=str(address), captioner="pixels", output="/nowhere/o.jsonl", **settings)
    return [text for shard in read_shards(config, Filesystems()) for _, text in shard.lines]


def rows_of(address: Path | str, **settings: Any) -> list[Any]:
    return [json.loads(without_place(text)[0]) for text in texts_of(address, **settings)]


def images_of(address: Path | str, **settings: Any) -> list[Any]:
    """The bytes of each row's image, or the reject that it is."""
    config = RegionCapConfig(input=str(address), captioner="pixels", output="/nowhere/o.jsonl", **settings)
    root = config.image_root or input_root(config, Filesystems())
    images = ImageFiles(root)
    found: list[Any] = []
    for text in texts_of(address, **settings):
        row = load_row(1, "", text, config.image_key)
        try:
            if "reject" in row:
                raise RowReject(row["reject"]["code"], row["reject"]["message"])
            found.append(images.read(ref_at(row["image"], row.get("image_at", {}))))
        except RowReject as reject:
            found.append(reject.code)
    images.close()
    return found


STORED: dict[str, pa.Array] = {
    "binary": pa.array([b"one", b"two"]),
    "large binary": pa.array([b"one", b"two"], pa.large_binary()),
    "binary view": pa.array([b"one", b"two"], pa.binary_view()),
    "fixed size": pa.array([b"one", b"two"], pa.binary(3)),
    "dictionary": pa.array([b"one", b"two"]).dictionary_encode(),
    "struct": pa.array([{"bytes": b"one"}, {"bytes": b"two"}]),
    "struct of large": pa.array([{"bytes": b"one"}, {"bytes": b"two"}], pa.struct([("bytes", pa.large_binary())])),
    "list": pa.array([[b"one"], [b"two"]]),
    "large list": pa.array([[b"one"], [b"two"]], pa.large_list(pa.binary())),
    "list of one, by type": pa.array([[b"one"], [b"two"]], pa.list_(pa.binary(), 1)),
    "list of structs": pa.array([[{"bytes": b"one"}], [{"bytes": b"two"}]]),
}


@pytest.mark.parametrize("stored", STORED)
def test_bytes_of_any_type_are_images(stored: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": STORED[stored], "n": [1, 2]}), tmp_path / "x.parquet")
    assert rows_of(tmp_path) == [{"image": "x.parquet", "n": 1}, {"image": "x.parquet", "n": 2}]
    assert images_of(tmp_path) == [b"one", b"two"]


@pytest.mark.parametrize("counted", [True, False], ids=["nulls counted", "no statistics"])
def test_a_path_beside_the_bytes_is_kept_and_one_without_bytes_is_the_image(counted: bool, tmp_path: Path) -> None:
    (tmp_path / "c.jpg").write_bytes(b"three")
    values = [
        {"bytes": b"one", "path": "a.jpg"},
        {"bytes": b"two", "path": None},
        {"bytes": None, "path": "c.jpg"},
        {"bytes": None, "path": None},
        None,
    ]
    pq.write_table(pa.table({"image": pa.array(values, IMAGE)}), tmp_path / "x.parquet", write_statistics=counted)
    assert rows_of(tmp_path) == [
        {"image": "x.parquet", "image_path": "a.jpg"}, {"image": "x.parquet"},
        {"image": "c.jpg"}, {"image": None}, {"image": None},
    ]  # fmt: skip
    assert images_of(tmp_path) == [b"one", b"two", b"three", "bad_row", "bad_row"]


def test_a_file_of_paths_alone_is_read_as_before(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"one")
    values = pa.array([{"bytes": None, "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}], IMAGE)
    pq.write_table(pa.table({"image": values}), tmp_path / "x.parquet")
    assert images_of(tmp_path) == [b"one", "image_missing"]


def test_a_null_that_the_file_does_not_count_is_met_when_the_image_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"one", None]}), tmp_path / "x.parquet", write_statistics=False)
    assert images_of(tmp_path) == [b"one", "image_missing"]


NESTED: dict[str, tuple[str, pa.Table, list[Any]]] = {
    "in a struct": (
        "sample.image",
        pa.table({"sample": [{"image": {"bytes": b"one", "path": "a.jpg"}, "id": 7}]}),
        [{"sample": {"image": "x.parquet", "id": 7, "image_path": "a.jpg"}}],
    ),
    "alone in a struct": (
        "sample.image",
        pa.table({"sample": [{"image": b"one"}]}),
        [{"sample": {"image": "x.parquet"}}],
    ),
    "a dot in its name": ("the.image", pa.table({"the.image": [b"one"]}), [{"the.image": "x.parquet"}]),
    "one of a list": (
        "images.1",
        pa.table({"images": [[{"bytes": b"zero", "path": "0.jpg"}, {"bytes": b"one", "path": "1.jpg"}]]}),
        [{"images": [{"path": "0.jpg"}, "x.parquet"]}],
    ),
}


@pytest.mark.parametrize("nested", NESTED)
def test_image_key_may_lead_into_the_row(nested: str, tmp_path: Path) -> None:
    key, table, rows = NESTED[nested]
    pq.write_table(table, tmp_path / "x.parquet")
    assert rows_of(tmp_path, image_key=key) == rows
    at = without_place(texts_of(tmp_path, image_key=key)[0])[1]
    images = ImageFiles(str(tmp_path))
    assert images.read(ref_at("x.parquet", at)) == b"one"


def test_a_list_of_two_images_is_a_row_of_its_own_fault(tmp_path: Path) -> None:
    image = {"bytes": b"one", "path": "a.jpg"}
    pq.write_table(pa.table({"image": [[image], [image, image], []]}), tmp_path / "structs.parquet")
    assert images_of(tmp_path / "structs.parquet") == [b"one", "bad_row", "bad_row"]
    pq.write_table(pa.table({"image": [[b"one"], [b"one", b"two"]]}), tmp_path / "bytes.parquet")
    assert images_of(tmp_path / "bytes.parquet") == [b"one", "image_missing"]


def test_other_bytes_stay_out_of_the_rows_if_they_are_images_or_large(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = pa.table(
        {
            "image": [b"one"],
            "mask": pa.array([{"bytes": b"x", "path": "m.png"}], IMAGE),
            "large": [b"x" * 100_000],
            "small": [b"abc"],
            "tags": pa.array([[("k", b"v")]], pa.map_(pa.string(), pa.binary())),
        }
    )
    for name in ("0.parquet", "1.parquet"):
        pq.write_table(table, tmp_path / name)
    with caplog.at_level(logging.WARNING, "regioncap"):
        rows = rows_of(tmp_path)
    row = {"mask": {"path": "m.png"}, "small": "YWJj", "tags": [["k", "dg=="]]}
    assert rows == [{"image": "0.parquet", **row}, {"image": "1.parquet", **row}]
    assert [record.getMessage().split(" of ")[1] for record in caplog.records] == [
        "column 'mask.bytes'",
        "column 'large'",
    ]


@pytest.mark.parametrize("place", ["disk", "memory"])
def test_names_lead_to_the_file_wherever_other_images_are(place: str, tmp_path: Path) -> None:
    root = str(tmp_path) if place == "disk" else f"memory:///{tmp_path.name}"
    pq.write_table(pa.table({"image": [b"one"]}), tmp_path / "x.parquet")
    Place(f"{root}/in #1/deep/x.parquet").write((tmp_path / "x.parquet").read_bytes())
    name = "deep/x.parquet" if place == "disk" else f"{root}/in #1/deep/x.parquet"
    assert rows_of(f"{root}/in #1") == [{"image": name}]
    assert images_of(f"{root}/in #1", image_root=str(tmp_path / "elsewhere")) == [b"one"]


def test_one_row_per_box_needs_images_with_names(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"one"], "bbox": [[1, 2, 3, 4]]}), tmp_path / "x.parquet")
    with pytest.raises(UsageError, match="expected per_image, got per_box"):
        texts_of(tmp_path, rows="per_box")


def test_rows_keep_their_numbers_over_row_groups(tmp_path: Path) -> None:
    data = [b"%d" % number for number in range(1000)]
    pq.write_table(pa.table({"image": data}), tmp_path / "x.parquet", row_group_size=300)
    assert images_of(tmp_path) == data
