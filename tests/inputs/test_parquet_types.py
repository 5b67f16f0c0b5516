"""Every type that Parquet files hold becomes valid JSON, at any depth, or its column is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.inputs import arrow_values
from regioncap.inputs.readers import read_shards
from regioncap.storage.filesystem import Filesystems

FAR = 253_402_300_800  # the first second of the year 10000

not_utf8 = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])

VALUES: list[tuple[pa.Array, Any]] = [
    (pa.array([1_000], pa.timestamp("ms")), "1970-01-01T00:00:01"),
    (pa.array([FAR * 1000], pa.timestamp("ms")), "10000-01-01T00:00:00.000"),
    (pa.array([-FAR * 1000], pa.timestamp("ms")), "-6060-01-02T00:00:00.000"),
    (pa.array([5], pa.timestamp("us", "Mars/Olympus")), "1970-01-01T00:00:00.000005Z"),
    (pa.array([0], pa.timestamp("us", "+01:00")), "1970-01-01T01:00:00+01:00"),
    (pa.array([5], pa.timestamp("ns", "Mars/Olympus")), "1970-01-01T00:00:00.000000005Z"),
    (pa.array([2**31 - 1], pa.date32()), "5881580-07-11"),
    (pa.array([86_400_000], pa.date64()), "1970-01-02"),
    (pa.array([1], pa.time64("us")), "00:00:00.000001"),
    (pa.array([2_000_000_001], pa.duration("ns")), 2.000000001),
    (pa.array([2**60], pa.duration("s")), float(2**60)),
    (pa.array([Decimal("1.10")]), "1.10"),
    (pa.array([Decimal("1.10")], pa.decimal256(60, 2)), "1.10"),
    (pa.array([1.5], pa.float16()), 1.5),
    (pa.array([float("nan")]), None),
    (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
    (pa.array(["ü"], pa.large_string()), "ü"),
    (pa.array(["ü"], pa.string_view()), "ü"),
    (pa.array([b"\xff"], pa.binary_view()), "/w=="),
    (pa.array([b"\xff"], pa.large_binary()), "/w=="),
    (pa.array([b"ab"], pa.binary(2)), "YWI="),
    (pa.array(["a"]).dictionary_encode(), "a"),
    (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), [1, 2]),
    (pa.array([[1]], pa.large_list(pa.int8())), [1]),
    (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), [["a", 1]]),
    (pa.array([None], pa.null()), None),
    (not_utf8, "\\xff\\xfe"),
]

NESTED: dict[str, tuple[Callable[[pa.Array], pa.Array], Callable[[Any], Any]]] = {
    "plain": (lambda array: array, lambda value: value),
    "struct": (lambda array: pa.StructArray.from_arrays([array], ["f"]), lambda value: {"f": value}),
    "list": (lambda array: pa.ListArray.from_arrays([0, 1], array), lambda value: [value]),
    "list of structs": (
        lambda array: pa.ListArray.from_arrays([0, 1], pa.StructArray.from_arrays([array], ["f"])),
        lambda value: [{"f": value}],
    ),
    "map": (lambda array: pa.MapArray.from_arrays([0, 1], pa.array(["k"]), array), lambda value: [["k", value]]),
}


def rows_of(table: pa.Table, folder: Path) -> list[Any]:
    pq.write_table(table, folder / "x.parquet")
    config = RegionCapConfig(input=str(folder / "x.parquet"), captioner="pixels", output="/nowhere/o.jsonl")
    return [json.loads(text) for shard in read_shards(config, Filesystems()) for _, text in shard.lines]


@pytest.mark.parametrize("nesting", NESTED)
@pytest.mark.parametrize(("array", "value"), VALUES, ids=[str(array.type) for array, _ in VALUES])
def test_types_become_json_at_any_depth(array: pa.Array, value: Any, nesting: str, tmp_path: Path) -> None:
    nest, expected = NESTED[nesting]
    assert rows_of(pa.table({"image": ["a.jpg"], "x": nest(array)}), tmp_path) == [
        {"image": "a.jpg", "x": expected(value)}
    ]


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("nanos", [1_000_000_000, 1_000_001_000, 1_000_000_001])
def test_nested_nanoseconds_do_not_depend_on_pandas(zone: str | None, nanos: int, tmp_path: Path) -> None:
    array = pa.StructArray.from_arrays([pa.array([nanos], pa.timestamp("ns", zone))], ["at"])
    read = rows_of(pa.table({"x": array}), tmp_path)[0]["x"]["at"]  # by pandas, which the tests have installed
    # Without it pyarrow gives up on parts of a microsecond.
    assert nanos % 1000 == 0 or arrow_values._instant(array[0]["at"], pa) == read


def test_years_within_the_calendar_keep_their_form_beside_others(tmp_path: Path) -> None:
    table = pa.table({"at": pa.array([1_500, FAR * 1000, None], pa.timestamp("ms"))})
    assert [row["at"] for row in rows_of(table, tmp_path)] == [
        "1970-01-01T00:00:01.500000", "10000-01-01T00:00:00.000", None,
    ]  # fmt: skip


def test_a_column_that_cannot_be_converted_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(value: Any, pa: Any) -> Any:
        raise RuntimeError("of a kind to come")

    monkeypatch.setattr(arrow_values, "_pieces", fail)
    table = pa.table({"image": ["a.jpg"], "far": pa.array([FAR], pa.timestamp("ms")), "at": not_utf8})
    with pytest.raises(UsageError, match=r"column 'at' \(string\) of .*x\.parquet cannot be read as JSON: Runtime"):
        rows_of(table, tmp_path)
