"""The export for Hugging Face, read with pyarrow; `tests/datasets` reads it with `datasets` itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from regioncap.errors import StorageError, UsageError
from regioncap.exports.base import ExportResult
from regioncap.exports.export import ExportRequest, export
from regioncap.output.reading import open_output
from regioncap.storage.filesystem import Filesystems
from tests.support.inline_rows import forms_of, photo_file
from tests.support.outputs import Make, output_row
from tests.support.photos import write_photo
from tests.support.rows import write_rows
from tests.support.runs import Run


def exported(source: Path | str, **order: Any) -> ExportResult:
    files = Filesystems()
    return export(open_output(str(source), files), ExportRequest("hf", **order), files)


@pytest.fixture
def output(tmp_path: Path, make_output: Make) -> Path:
    """Three pictures, with four regions; their fields are of several types."""
    for number in range(3):
        write_photo(tmp_path / f"p{number}.png", number)
    fields = {"label": ["cat", "dog"], "score": [0.9, 1], "source": [["a"], None]}
    rows = [
        output_row("p0.png", ["A grey cat.", "A dog."], id="007", n=1, mixed=[1], meta={"region_fields": fields}),
        output_row("./p1.png", ["A cup."], id="008", n=2.5, mixed="x", width=7, meta={"flags": [["too_short"]]}),
        output_row("p2.png", ["A spoon."], id="009", n=None),
    ]
    return make_output(rows)


def test_rows_have_their_image_and_parallel_lists(tmp_path: Path, output: Path) -> None:
    done = exported(output)
    assert done.files == [str(tmp_path / "out.hf" / "data" / "train-00000-of-00001.parquet")]
    assert (done.rows, done.regions) == (3, 4)
    first, second, third = pq.read_table(done.files[0]).to_pylist()
    assert first == {
        "image": {"bytes": (tmp_path / "p0.png").read_bytes(), "path": "p0.png"}, "source": "p0.png", "width": 96,
        "height": 64, "type": "with_bbox", "regions": [1, 2], "captions": ["A grey cat.", "A dog."],
        "bbox": [[4, 5, 20.5, 30], [6, 5, 20.5, 30]],
        "normalized_bbox": [[0.042, 0.078, 0.255, 0.547], [0.062, 0.078, 0.276, 0.547]], "flags": [[], []],
        "label": ["cat", "dog"], "score": [0.9, 1.0], "field_source": ['["a"]', None], "id": "007", "n": 1.0,
        "mixed": "[1]", "row_width": None,
    }  # fmt: skip
    assert (second["flags"], second["label"], second["mixed"], second["row_width"]) == ([["too_short"]], [None], "x", 7)
    assert third["image"]["path"] == "p2.png"


def test_the_features_are_in_the_schema_and_in_the_card(output: Path) -> None:
    schema = pq.read_schema(exported(output).files[0])
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert features["image"] == {"_type": "Image"}
    assert features["n"] == {"dtype": "float64", "_type": "Value"}
    box = {"feature": {"dtype": "float64", "_type": "Value"}, "length": 4, "_type": "Sequence"}
    assert features["bbox"] == {"feature": box, "length": -1, "_type": "Sequence"}
    _, header, text = (output.parent / "out.hf" / "README.md").read_text().split("---\n")
    card = yaml.safe_load(header)
    assert card["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*"}]
    described = {column["name"]: column for column in card["dataset_info"]["features"]}
    assert list(described) == schema.names
    assert described["bbox"]["sequence"] == {"sequence": "float64", "length": 4}
    assert "parallel lists" in text


def test_conditions_choose_regions(output: Path) -> None:
    (row,) = pq.read_table(exported(output, where=["label=dog"]).files[0]).to_pylist()
    assert (row["regions"], row["captions"], row["label"]) == ([2], ["A dog."], ["dog"])
    assert row["normalized_bbox"] == [[0.062, 0.078, 0.276, 0.547]]


def test_files_and_row_groups_are_cut_and_those_of_a_longer_export_go(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regioncap.exports.hf.BYTES_PER_GROUP", 1)
    assert pq.ParquetFile(exported(output).files[0]).num_row_groups == 3
    monkeypatch.setattr("regioncap.exports.hf.BYTES_PER_FILE", 1)
    names = [url.rpartition("/")[2] for url in exported(output).files]
    assert names == [f"train-0000{number}-of-00003.parquet" for number in range(3)]
    folder = output.parent / "out.hf" / "data"
    assert sorted(path.name for path in folder.iterdir()) == names
    exported(output, where=["id=008"])
    assert [path.name for path in folder.iterdir()] == ["train-00000-of-00001.parquet"]


def test_a_failure_leaves_the_earlier_export(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported(output)
    folder = output.parent / "out.hf"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def full(*args: Any) -> None:
        raise StorageError("x", "write", "No space left on device")

    monkeypatch.setattr("regioncap.exports.hf._write_group", full)
    with pytest.raises(StorageError):
        exported(output, where=["id=008"])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_what_a_person_wrote_into_the_card_stays(output: Path) -> None:
    exported(output)
    card = output.parent / "out.hf" / "README.md"
    card.write_text(card.read_text().replace("---\ntags:\n", "---\nlicense: mit\ntags:\n- cats\n") + "\nMy words.\n")
    exported(output, where=["id=008"])
    _, header, text = card.read_text().split("---\n")
    assert text.endswith("Made with RegionCap.\n\nMy words.\n")
    described = yaml.safe_load(header)
    assert (described["license"], described["tags"]) == ("mit", ["cats", "regioncap"])
    assert "label" not in header


def test_other_data_in_the_folder_is_not_replaced(output: Path) -> None:
    other = output.parent / "out.hf" / "data" / "train-00000-of-00001.parquet"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"precious")
    with pytest.raises(UsageError, match="Parquet files that are no export"):
        exported(output)
    assert other.read_bytes() == b"precious"


def test_images_that_are_gone_are_left_out_and_counted(tmp_path: Path, output: Path) -> None:
    (tmp_path / "p0.png").unlink()
    done = exported(output)
    assert (done.rows, dict(done.left_out)) == (2, {"image_missing": 1})


def test_images_that_rows_held_are_there_with_their_names(tmp_path: Path, run: Run) -> None:
    forms = {form: forms_of(photo_file(seed)) for seed, form in enumerate(("uri", "object"))}
    write_rows(tmp_path / "photos.jsonl", [{"image": values[form]} for form, values in forms.items()])
    run(tmp_path)
    rows = pq.read_table(exported(tmp_path / "out.jsonl").files[0]).to_pylist()
    assert [row["image"]["bytes"] for row in rows] == [photo_file(0), photo_file(1)]
    assert [row["image"]["path"] for row in rows] == ["000000001.png", "a b.png"]
