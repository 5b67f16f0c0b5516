"""DataFlow's file storage: a file for each step, in each of its formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pandas
import pytest

from regioncap.dataflow import FileStorage
from regioncap.dataflow.storage import CacheType
from regioncap.errors import ConfigError, UsageError

TYPES = get_args(CacheType)

ROWS: list[dict[str, Any]] = [
    {"image": "a.png", "id": "001", "bbox": [[1, 2.5, 30, 40]], "meta_info": {"usage": {}, "n": 1}, "words": "é\u2028"},
    {"image": "b.png", "id": "x", "bbox": None, "meta_info": {"usage": {}, "n": None}, "words": 'a,"b"\r\nc'},
]


def storage_in(folder: Path, cache_type: Any = "jsonl", first: str = "first.jsonl") -> FileStorage:
    return FileStorage(str(folder / first), str(folder / "cache"), "photos", cache_type)


def test_a_step_reads_its_file_and_writes_the_next(tmp_path: Path) -> None:
    storage = storage_in(tmp_path)
    first, second = storage.step(), storage.step()
    assert (first.path(), first.path(ahead=1)) == (str(tmp_path / "first.jsonl"), second.path())
    assert second.path() == str(tmp_path / "cache" / "photos_step1.jsonl")
    assert (storage.operator_step, storage.reset().operator_step) == (1, -1)
    assert storage.step().path() == first.path()


def test_a_step_that_is_not_kept_counts_as_well(tmp_path: Path) -> None:
    storage = storage_in(tmp_path)
    storage.step()  # as DataFlow-MM's examples do
    assert storage.path() == str(tmp_path / "first.jsonl")


@pytest.mark.parametrize("cache_type", TYPES)
def test_what_one_operator_writes_the_next_one_reads(tmp_path: Path, cache_type: str) -> None:
    storage = storage_in(tmp_path, cache_type)
    assert storage.step().write(ROWS) == str(tmp_path / "cache" / f"photos_step1.{cache_type}")
    rows = storage.step().read("dict")
    usage: Any = None if cache_type == "parquet" else {}  # Parquet has no objects without fields
    assert rows == [{**row, "meta_info": {**row["meta_info"], "usage": usage}} for row in ROWS]
    assert storage.get_keys_from_dataframe() == list(ROWS[0])


@pytest.mark.parametrize("cache_type", TYPES)
def test_data_frames_are_written_and_read(tmp_path: Path, cache_type: str) -> None:
    storage = storage_in(tmp_path, cache_type)
    frame = pandas.DataFrame({"image": ["a.png", "b.png"], "when": [pandas.Timestamp("2024-05-06"), pandas.NaT]})
    storage.step().write(frame)
    read = storage.step().read()
    assert list(read.columns) == ["image", "when"]
    assert [value[:10] if isinstance(value, str) else None for value in read["when"]] == ["2024-05-06", None]


@pytest.mark.parametrize("cache_type", TYPES)
def test_pandas_reads_what_is_written(tmp_path: Path, cache_type: str) -> None:
    path = storage_in(tmp_path, cache_type).step().write(ROWS)
    lines = {"lines": True} if cache_type == "jsonl" else {}
    frame = getattr(pandas, f"read_{'json' if lines else cache_type}")(path, **lines)
    assert (len(frame), frame["image"].tolist()) == (2, ["a.png", "b.png"])


@pytest.mark.parametrize("cache_type", TYPES)
def test_a_step_without_rows_is_read_as_such(tmp_path: Path, cache_type: str) -> None:
    storage = storage_in(tmp_path, cache_type)
    storage.step().write([])
    assert storage.step().read("dict") == []


@pytest.mark.parametrize("cache_type", TYPES)
def test_columns_of_several_kinds_are_written(tmp_path: Path, cache_type: str) -> None:
    storage = storage_in(tmp_path, cache_type)
    storage.step().write([{"value": 1}, {"value": [2]}, {"other": 2**70}])
    rows = storage.step().read("dict")
    assert [str(row.get("value")) for row in rows] == ["1", "[2]", "None"]
    assert int(rows[2]["other"]) == 2**70


def test_the_first_file_is_read_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "文件 #1.csv").write_bytes(b'image,bbox,id,note\r\na.png,"[[1, 2, 3, 4]]",007,NaN\r\nb.png,,8,\r\n')
    rows = storage_in(tmp_path, first="文件 #1.csv").step().read("dict")
    assert rows == [
        {"image": "a.png", "bbox": [[1, 2, 3, 4]], "id": "007", "note": "NaN"},
        {"image": "b.png", "bbox": None, "id": 8, "note": None},
    ]


@pytest.mark.parametrize("ends", ["\r\n", "\n\n", "\r"])
def test_line_ends_of_any_kind_are_read(tmp_path: Path, ends: str) -> None:
    (tmp_path / "first.jsonl").write_text(ends.join('{"image": "a.png"}' for _ in range(2)), newline="")
    assert storage_in(tmp_path).step().read("dict") == [{"image": "a.png"}] * 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cache_type": "pickle"}, "cache_type: expected jsonl, json, csv or parquet, got 'pickle'"),
        ({"cache_path": None}, "cache_path: expected a path or URL, got None"),
        ({"first_entry_file_name": 7}, "first_entry_file_name: expected a path or URL, got 7"),
        ({"file_name_prefix": "a/b"}, "file_name_prefix: expected the beginning of a file's name, got 'a/b'"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        FileStorage(**{"first_entry_file_name": "a.jsonl", **values})
    assert str(refused.value) == message


def test_paths_may_be_path_objects(tmp_path: Path) -> None:
    storage: Any = FileStorage(tmp_path / "a.jsonl", tmp_path)  # type: ignore[arg-type]
    assert storage.step().path() == str(tmp_path / "a.jsonl")


def test_a_storage_before_its_first_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"storage=storage\.step\(\)"):
        storage_in(tmp_path).read()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("first.jsonl", None, "does not exist"),
        ("first.pickle", b"", "expected a file in the format"),
        ("first.jsonl", b'{"image": "a.png"}\n{"image": \n', "row 2: expected an object"),
        ("first.json", b"[1]", "row 1: expected an object"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, text: bytes | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_bytes(text)
    with pytest.raises(UsageError, match=message):
        storage_in(tmp_path, first=name).step().read("dict")


NO_ROWS = {
    "NoneType": None, "str": "rows", "a list with int": [{"image": "a"}, 1], "a list with list": [["a"]],
    "dict": {"image": "a"},
}  # fmt: skip


@pytest.mark.parametrize("what", NO_ROWS)
def test_only_rows_are_written(tmp_path: Path, what: str) -> None:
    data: Any = NO_ROWS[what]
    with pytest.raises(UsageError, match=f"expected rows as a DataFrame or a list of dicts, got {what}$"):
        storage_in(tmp_path).step().write(data)
    assert not (tmp_path / "cache").exists()


def test_an_unknown_form_of_rows_is_named(tmp_path: Path) -> None:
    output_type: Any = "frame"
    with pytest.raises(ConfigError, match="output_type: expected dataframe or dict, got 'frame'"):
        storage_in(tmp_path).step().read(output_type)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    storage = storage_in(tmp_path, "json").step()
    path = Path(storage.write(ROWS))
    deep: Any = []
    deep.append(deep)
    with pytest.raises(UsageError, match=r"photos_step1\.json: cannot hold these rows as json"):
        storage.write([{"image": "a.png"}, {"image": deep}])
    assert json.loads(path.read_text()) == ROWS
