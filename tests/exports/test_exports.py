"""Exports, each read back with what people read it with."""

from __future__ import annotations

import csv
import json
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import webdataset
from pycocotools.coco import COCO

from regioncap.errors import UsageError
from regioncap.exports.base import ExportResult
from regioncap.exports.csv_table import escaped, unescaped
from regioncap.exports.export import ExportRequest, export
from regioncap.exports.llava import corners
from regioncap.output.reading import open_output
from regioncap.output.where import Condition, chosen
from regioncap.registry import EXPORTS
from regioncap.storage.filesystem import Filesystems
from tests.support.outputs import EVIL_CAPTIONS, EVIL_NAMES, LONG, Make, output_row
from tests.support.photos import write_photo
from tests.support.rows import BOX
from tests.support.runs import Run
from tests.support.tars import webdataset_leaves_files_open


def exported(source: Path | str, to: str, **order: Any) -> ExportResult:
    files = Filesystems()
    return export(open_output(str(source), files), ExportRequest(to, **order), files)


def conversations(output: Path, **order: Any) -> list[dict[str, Any]]:
    exported(output, "llava", **order)
    found: list[dict[str, Any]] = json.loads(output.with_suffix(".llava.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def output(tmp_path: Path, make_output: Make) -> Path:
    """Two pictures: one with two regions that have fields, one with one that is flagged."""
    for number in range(2):
        write_photo(tmp_path / f"p{number}.png", number)
    fields = {"label": ["cat", "dog"], "score": [0.9, 0.4], "attributes": [["red"], None]}
    rows = [
        output_row(
            "p0.png", ["A grey cat.", "A dog, asleep."], id="007", n=1, tags=["x"], meta={"region_fields": fields}
        ),
        output_row("p1.png", ["A cup."], id="008", n=2.5, meta={"flags": [["too_short"]]}),
    ]
    return make_output(rows)


# --- COCO


def test_coco_in_coco_out(tmp_path: Path, run: Run) -> None:
    images = [{"id": 70 - n, "file_name": f"p{n}.png", "width": 96, "height": 64, "license": 4} for n in range(3)]
    annotations = [
        {"id": 500 + n, "image_id": 70 - n % 3, "category_id": 18 if n % 2 else 3, "bbox": [n, 2.5, 20 + n, 30.25],
         "area": 11.5 * n, "iscrowd": 0, "segmentation": [[1, 2, 3, 4, 5, 6]], "score": n / 10}
        for n in range(8)
    ]  # fmt: skip
    categories = [
        {"id": 3, "name": "car", "supercategory": "vehicle"},
        {"id": 18, "name": "dog"},
        {"id": 99, "name": "never seen"},
    ]
    for number in range(3):
        write_photo(tmp_path / f"p{number}.png", number)
    source = tmp_path / "instances.json"
    source.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    summary = run(tmp_path, input=str(source), region_fields=["segmentation"])
    assert (summary.rows_out, summary.regions) == (3, 8)
    done = exported(tmp_path / "out.jsonl", "coco")
    assert (done.rows, done.regions, done.files) == (3, 8, [str(tmp_path / "out.coco.json")])
    there = COCO(done.files[0])
    assert there.getImgIds() == [70, 69, 68]
    assert there.loadImgs(70)[0] == {"id": 70, "file_name": "p0.png", "width": 96, "height": 64, "license": 4}
    assert there.dataset["categories"] == categories
    for given in annotations:
        found = dict(there.anns[given["id"]])
        assert found.pop("caption")
        found.pop("flags", None)
        assert found == given
    assert {one["id"] for one in there.loadAnns(there.getAnnIds(catIds=[18]))} == {501, 503, 505, 507}
    columns = pq.read_table(exported(tmp_path / "out.jsonl", "parquet").files[0]).schema.field("row").type
    assert {column.name for column in columns} == {"image_id", "width", "height", "license"}  # no list from before
    again = run(tmp_path, input=done.files[0], output=str(tmp_path / "again.jsonl"))
    assert (again.rows_out, again.regions) == (3, 8)


def test_coco_makes_ids_and_categories_where_there_are_none(output: Path) -> None:
    there = COCO(exported(output, "coco").files[0])
    assert [(image["id"], image["file_name"]) for image in there.dataset["images"]] == [(1, "p0.png"), (2, "p1.png")]
    names = {category["id"]: category["name"] for category in there.dataset["categories"]}
    assert [names[one["category_id"]] for one in there.dataset["annotations"]] == ["cat", "dog", "region"]
    first, second, third = there.dataset["annotations"]
    assert (first["id"], first["image_id"], first["bbox"], first["area"]) == (1, 1, [4, 5, 20.5, 30], 615)
    assert (first["caption"], first["score"], first["attributes"]) == ("A grey cat.", 0.9, ["red"])
    assert (third["caption"], third["flags"]) == ("A cup.", ["too_short"])
    assert "attributes" not in second


def test_numbers_of_a_coco_export_are_finite(tmp_path: Path, run: Run) -> None:
    write_photo(tmp_path / "p.png", 1)  # 96 x 64 pixels
    boxes = [[-1e200, 10, 2e200, 1e200], [1, 2, 10, 20], [3, 4, 5, 6]]
    row = {"image": "p.png", "bbox": boxes, "area": [None, 10**400, "7.5"]}
    (tmp_path / "in.jsonl").write_text(json.dumps(row))
    run(tmp_path, input=str(tmp_path / "in.jsonl"), region_fields=["area"])
    text = Path(exported(tmp_path / "out.jsonl", "coco").files[0]).read_text()
    areas = [one["area"] for one in json.loads(text)["annotations"]]
    assert areas == [96 * 54, 200, 30]


def test_coco_ids_that_come_twice_or_not_at_all_become_new_ones(make_output: Make) -> None:
    rows = [
        output_row("a.png", ["One thing here.", "Two things here."], image_id=5,
                   meta={"region_fields": {"annotation_id": [9, 9]}}),
        output_row("a.png", ["Three things here."], image_id=5),
        output_row("b.png", ["Four things here."], image_id=7, meta={"region_fields": {"annotation_id": [30]}}),
    ]  # fmt: skip
    there = COCO(exported(make_output(rows), "coco").files[0])
    assert [image["id"] for image in there.dataset["images"]] == [5, 8, 7]
    assert [one["id"] for one in there.dataset["annotations"]] == [9, 31, 32, 30]
    assert [one["image_id"] for one in there.dataset["annotations"]] == [5, 5, 8, 7]


# --- Parquet


def test_parquet_is_nested_and_typed(output: Path) -> None:
    table = pq.read_table(exported(output, "parquet").files[0])
    first, second = table.to_pylist()
    assert str(table.schema.field("regions").type) == (
        "list<element: struct<region: int32, bbox: fixed_size_list<element: double>[4], caption: string, "
        "flags: list<element: string>, fields: struct<label: string, score: double, attributes: string>>>"
    )
    assert str(table.schema.field("row").type) == "struct<id: string, n: double, tags: string>"
    assert first["row"] == {"id": "007", "n": 1.0, "tags": '["x"]'}
    assert first["regions"][0] == {
        "region": 1, "bbox": [4, 5, 20.5, 30], "caption": "A grey cat.", "flags": [],
        "fields": {"label": "cat", "score": 0.9, "attributes": '["red"]'},
    }  # fmt: skip
    assert second["regions"][0]["flags"] == ["too_short"]
    assert (first["image"], first["width"], first["height"], first["type"]) == ("p0.png", 96, 64, "with_bbox")


# --- conversations


def test_conversations_have_a_turn_for_every_region(output: Path) -> None:
    first, second = conversations(output)
    assert (first["id"], first["image"], len(first["conversations"]), len(second["conversations"])) == (
        "007",
        "p0.png",
        4,
        2,
    )
    assert first["conversations"][0] == {
        "from": "human",
        "value": "<image>\nPlease provide a short description for this region: [0.042, 0.078, 0.255, 0.547].",
    }
    assert first["conversations"][1] == {"from": "gpt", "value": "A grey cat."}
    assert "<image>" not in first["conversations"][2]["value"]


def test_conversations_the_other_way_round(output: Path) -> None:
    turns = conversations(output, direction="text2box", coords="0-1000")[0]["conversations"]
    assert turns[0]["value"].endswith("the region this sentence describes: A grey cat.")
    assert turns[1]["value"] == "[42, 78, 255, 547]"


def test_corners_are_clipped_to_the_picture() -> None:
    assert corners([-10, 5, 2000, 20], 96, 64, "px") == "[0, 5, 96, 25]"
    assert corners([-10, 5, 2000, 20], 96, 64, "0-1") == "[0.000, 0.078, 1.000, 0.391]"


# --- CSV


def test_csv_has_a_line_for_every_region(output: Path) -> None:
    table = pd.read_csv(exported(output, "csv").files[0], dtype={"id": str})
    assert list(table.columns) == [
        "image", "width", "height", "type", "region", "x", "y", "w", "h", "caption", "flags",
        "label", "score", "attributes", "id", "n", "tags",
    ]  # fmt: skip
    assert table["id"].tolist() == ["007", "007", "008"]
    assert table[["x", "y", "w", "h"]].values.tolist() == [[4, 5, 20.5, 30], [6, 5, 20.5, 30], [4, 5, 20.5, 30]]
    assert table["caption"].tolist() == ["A grey cat.", "A dog, asleep.", "A cup."]
    assert table["label"].tolist()[:2] == ["cat", "dog"]


def test_csv_names_that_are_taken_get_another(make_output: Make) -> None:
    rows = [output_row("a.png", ["A thing here."], width=7, meta={"region_fields": {"x": [1]}})]
    header = Path(exported(make_output(rows), "csv").files[0]).read_text().splitlines()[0]
    assert header.endswith("flags,field_x,row_width")


FORMULAS = [
    "=1+1", "+SUM(A1)", "-2+3+cmd|' /C calc'!A0", "- a dog", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\uff1d1+1", "-", "+",
    "--5", "-1,5", "'=1", "''=1", "-inf", "+1 a",
]  # fmt: skip
TEXTS = ["", "a dog = a pet", "'Tis a dog", "'", " =1", "-1.5", "+7", "-2e-3", "007", "1", "a - b"]


@pytest.mark.parametrize("text", [*FORMULAS, *TEXTS])
def test_a_csv_cell_that_a_spreadsheet_would_run_is_text(text: str) -> None:
    assert escaped(text) == (f"'{text}" if text in FORMULAS else text)
    assert unescaped(escaped(text)) == text


def test_every_text_of_a_csv_is_safe_and_numbers_are_numbers(make_output: Make) -> None:
    row = output_row("=a.png", ["-A cat."], **{"=key": "@x", "below": -3, "text": "-4"})
    with Path(exported(make_output([row]), "csv").files[0]).open(newline="", encoding="utf-8") as file:
        (found,) = csv.DictReader(file)
    assert (found["image"], found["caption"], found["'=key"]) == ("'=a.png", "'-A cat.", "'@x")
    assert (found["below"], found["text"]) == ("-3", "-4")


# --- WebDataset


@webdataset_leaves_files_open
def test_samples_hold_the_image_as_it_is(tmp_path: Path, output: Path) -> None:
    done = exported(output, "wds")
    assert done.files == [str(tmp_path / "out.wds" / "out-000000.tar")]
    samples = list(webdataset.WebDataset(done.files, shardshuffle=False).decode("pil"))
    assert [sample["__key__"] for sample in samples] == ["000000001", "000000002"]
    assert samples[0]["png"].size == (96, 64)
    assert samples[0]["json"]["captions"] == ["A grey cat.", "A dog, asleep."]
    assert samples[0]["json"]["fields"]["score"] == [0.9, 0.4]
    with tarfile.open(done.files[0]) as tar:
        member = tar.extractfile("000000001.png")
        assert member is not None
        assert member.read() == (tmp_path / "p0.png").read_bytes()


def test_tars_are_cut_and_those_of_a_longer_export_go(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regioncap.exports.wds.SAMPLES_PER_TAR", 1)
    assert len(exported(output, "wds").files) == 2
    assert len(exported(output, "wds", where=["label=cat"]).files) == 1
    assert [path.name for path in output.with_suffix(".wds").iterdir()] == ["out-000000.tar"]


def test_images_that_are_gone_are_left_out_and_counted(tmp_path: Path, output: Path) -> None:
    (tmp_path / "p0.png").unlink()
    done = exported(output, "wds")
    assert (done.rows, dict(done.left_out)) == (1, {"image_missing": 1})


# --- which rows


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["flags=0"], ["A grey cat.", "A dog, asleep."]),
        (["flag=too_short"], ["A cup."]),
        (["flag!=too_short"], ["A grey cat.", "A dog, asleep."]),
        (["score>=0.5"], ["A grey cat."]),
        (["label=dog"], ["A dog, asleep."]),
        (["label!=dog"], ["A grey cat.", "A cup."]),
        (["label==cat"], ["A grey cat."]),
        (["label == 'cat'"], ["A grey cat."]),
        (['label<>"cat"', "label!=null"], ["A dog, asleep."]),
        (["label==null"], ["A cup."]),
        (["label>cat"], ["A dog, asleep."]),
        (["score>=high"], []),
        (["caption!~A c"], ["A grey cat.", "A dog, asleep."]),
        (["'n' == 1.0", "region==2"], ["A dog, asleep."]),
        (['id=="7"'], []),
        (["id==7"], ["A grey cat.", "A dog, asleep."]),
        (["caption~CUP"], ["A cup."]),
        (["words<3"], ["A cup."]),
        (["regions=2", "score<0.5"], ["A dog, asleep."]),
        (["id=008"], ["A cup."]),
        (["n>2"], ["A cup."]),
        (["area > 0.01", "type=with_bbox"], ["A grey cat.", "A dog, asleep.", "A cup."]),
    ],
)
def test_conditions(output: Path, where: list[str], expected: list[str]) -> None:
    rows = chosen(open_output(str(output), Filesystems()).rows(), [Condition.of(text) for text in where])
    assert [caption for row in rows for caption in row.captions] == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("lable=cat", "no row has 'lable'; did you mean 'label'.*; available: flag, caption, .*label, score"),
        ("flag=refusals", "did you mean refusal"),
        ("flag>1", "expected flag==NAME"),
        ("nonsense", "expected NAME OP VALUE"),
        ("label=horse", "no row satisfies all conditions"),
    ],
)
def test_conditions_that_are_none(output: Path, where: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        exported(output, "csv", where=[where])


def test_what_is_no_output_is_reported(tmp_path: Path, output: Path) -> None:
    with pytest.raises(UsageError, match="no output of a run found"):
        exported(tmp_path / "gone.jsonl", "csv")
    (tmp_path / "other.jsonl").write_text('{"image": "a.png"}\n')
    with pytest.raises(UsageError, match=r"other\.jsonl row 1: not a row of a RegionCap output"):
        exported(tmp_path / "other.jsonl", "csv")
    with pytest.raises(UsageError, match="expected a path other than the output itself"):
        exported(output, "csv", output=str(output))


def test_an_export_that_would_be_read_as_input_is_refused(project: Path, run: Run) -> None:
    (project / "in").mkdir()
    (project / "photos.jsonl").rename(project / "in" / "photos.jsonl")
    run(project, input=str(project / "in"), image_root=str(project))
    with pytest.raises(UsageError, match="is inside, the run's input"):
        exported(project / "out.jsonl", "csv", output=str(project / "in" / "more.csv"))


def test_joined_records_and_other_keys_are_understood(tmp_path: Path, run: Run) -> None:
    write_photo(tmp_path / "p.png", 1)
    row = {"pic": "p.png", "boxes": [BOX, [60, 10, 20, 20]]}
    (tmp_path / "photos.jsonl").write_text(json.dumps(row) + "\n")
    run(tmp_path, image_key="pic", bbox_key="boxes", output_key="texts", record_style="joined")
    table = pd.read_csv(exported(tmp_path / "out.jsonl", "csv").files[0])
    assert table[["x", "y", "w", "h"]].values.tolist() == [BOX, [60, 10, 20, 20]]
    assert not table["caption"].str.contains("<region").any()
    assert len(set(table["caption"])) == 2


def test_parts_and_s3(bucket: str, project: Path, run: Run) -> None:
    run(project, output=f"{bucket}/out/", image_root=str(project))
    for to in ("coco", "parquet", "llava", "csv", "hf", "wds"):
        assert exported(f"{bucket}/out/", to).rows == 6
    files = Filesystems()
    names = {name.rpartition("/")[2] for name in files.place(bucket).find().names}
    assert {"out.coco.json", "out.parquet", "out.llava.json", "out.csv", "out-000000.tar"} <= names
    table = pd.read_csv(files.place(f"{bucket}/out.csv").open())
    assert table["image"].nunique() == 6


# --- many


@pytest.mark.parametrize("to", EXPORTS)
def test_memory_does_not_grow_with_the_rows(
    tmp_path: Path, make_output: Make, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # benchmarks/exports.py measures whole processes, with 100,000 rows.
    monkeypatch.setattr("regioncap.exports.parquet.ROW_GROUP", 50)
    write_photo(tmp_path / "p.png", 1)
    row = output_row("p.png", [f"Thing {n} beside another thing on a table." for n in range(4)], note="x" * 500)
    peaks = []
    for count in (300, 1800):
        output = make_output([{**row, "id": n} for n in range(count)], name=f"out{count}.jsonl")
        tracemalloc.start()
        exported(output, to)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 700_000  # the rows that came more are 1,500 x 1.5 KB as text


# --- up to no good


def test_coco_of_evil_rows(evil: Path) -> None:
    there = COCO(exported(evil, "coco").files[0])
    captions = [one["caption"] for one in there.dataset["annotations"]]
    assert captions == [*EVIL_CAPTIONS[:-1], "\ufffd half a pair"]
    assert [image["file_name"] for image in there.dataset["images"]] == [*EVIL_NAMES, EVIL_NAMES[0]]


def test_parquet_of_evil_rows(evil: Path) -> None:
    rows = pq.read_table(exported(evil, "parquet").files[0]).to_pylist()
    assert [region["caption"] for row in rows for region in row["regions"]][:-1] == EVIL_CAPTIONS[:-1]


def test_csv_of_evil_rows(evil: Path) -> None:
    path = exported(evil, "csv").files[0]
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    captions = table["caption"].tolist()[:-1]
    assert [caption for caption in captions if caption.startswith("'")] == ['\'=HYPERLINK("http://evil","x")']
    assert [unescaped(caption) for caption in captions] == EVIL_CAPTIONS[:-1]
    csv.field_size_limit(1_000_000)
    with Path(path).open(newline="", encoding="utf-8") as file:
        assert [unescaped(row["caption"]) for row in csv.DictReader(file)][:-1] == EVIL_CAPTIONS[:-1]
    assert table["image"].tolist()[::2] == [*EVIL_NAMES, EVIL_NAMES[0]]


def test_conversations_of_evil_rows(evil: Path) -> None:
    found = conversations(evil)
    texts = [turn["value"] for row in found for turn in row["conversations"]]
    assert sum(text.count("<image>") for text in texts) == len(found)  # one a conversation, whatever captions say
    assert LONG in texts
    assert pd.read_json(evil.with_suffix(".llava.json"))["image"].tolist() == [*EVIL_NAMES, EVIL_NAMES[0]]


@webdataset_leaves_files_open
def test_samples_of_evil_rows(evil: Path) -> None:
    done = exported(evil, "wds")
    samples = list(webdataset.WebDataset(done.files, shardshuffle=False).decode("pil"))
    assert [sample["json"]["image"] for sample in samples] == [*EVIL_NAMES, EVIL_NAMES[0]]
    assert samples[2]["json"]["captions"][0] == LONG
