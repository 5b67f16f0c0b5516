"""Every format gives the same rows, damage names its place, and what `limit` and `sample` take."""

from __future__ import annotations

import bz2
import codecs
import csv
import datetime as dt
import decimal
import gzip
import io
import itertools
import json
import lzma
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from backports import zstd

from regioncap.config.model import RegionCapConfig
from regioncap.errors import InputDamaged, StorageError, UsageError
from regioncap.image_ref import ImageRef
from regioncap.inputs import csv_lines, formats, readers
from regioncap.inputs import json_array as json_arrays
from regioncap.inputs import lines as line_splitting
from regioncap.inputs.readers import input_root, read_shards
from regioncap.records import Shard, loads, reason_not_a_row
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS, Place
from regioncap.storage.images import ImageFiles

ROWS = [{"image": f"img/{i}.jpg", "bbox": [[i, 2, 3, 4]], "id": f"{i:03d}", "note": "ü\u2028"} for i in range(150)]
BOM = b"\xef\xbb\xbf"


@pytest.fixture(autouse=True)
def _empty_memory_filesystem() -> Iterator[None]:
    memory = fsspec.filesystem("memory")
    yield
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


def shards_of(address: str | Path, **more: Any) -> list[Shard]:
    return list(
        read_shards(
            RegionCapConfig(input=str(address), captioner="pixels", output="/nowhere/o.jsonl", **more),
            DEFAULT_FILESYSTEMS,
        )
    )


def rows_of(address: str | Path, **more: Any) -> list[Any]:
    return [loads(text) for shard in shards_of(address, **more) for _, text in shard.lines]


def numbers_of(address: str | Path, **more: Any) -> list[int]:
    return [number for shard in shards_of(address, **more) for number, _ in shard.lines]


def root_of(address: str) -> str:
    return input_root(
        RegionCapConfig(input=address, captioner="pixels", output="/nowhere/o.jsonl"), DEFAULT_FILESYSTEMS
    )


def json_lines(rows: list[Any] = ROWS) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def json_array(rows: list[Any] = ROWS, indent: int | None = None) -> bytes:
    return json.dumps(rows, ensure_ascii=False, indent=indent).encode()


def pretty(rows: list[Any] = ROWS, indent: int | str = 2, between: bytes = b"\n") -> bytes:
    return between.join(json.dumps(row, ensure_ascii=False, indent=indent).encode() for row in rows)


def parquet(rows: list[Any] = ROWS, **more: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, **more), file, row_group_size=64)
    return file.getvalue()


FORMATS: dict[str, Callable[[], bytes]] = {
    "x.jsonl": json_lines,
    "x.ndjson": json_lines,
    "x.JSONL": json_lines,
    "x.json": json_lines,
    "array.json": json_array,
    "pretty.json": lambda: json_array(indent=2),
    "x.jsonl.gz": lambda: gzip.compress(json_lines()),
    "array.json.gz": lambda: gzip.compress(json_array()),
    "members.jsonl.gz": lambda: gzip.compress(json_lines(ROWS[:50])) + gzip.compress(json_lines(ROWS[50:])),
    "x.jsonl.bz2": lambda: bz2.compress(json_lines()),
    "x.jsonl.xz": lambda: lzma.compress(json_lines()),
    "x.jsonl.zst": lambda: zstd.compress(json_lines()),
    "bom.jsonl": lambda: BOM + json_lines(),
    "bom.json": lambda: BOM + b"\n " + json_array(),
    "crlf.jsonl": lambda: json_lines().replace(b"\n", b"\r\n"),
    "open.jsonl": lambda: json_lines().rstrip(b"\n"),
    "array.jsonl": json_array,
    "bracketed.jsonl": lambda: b"[\n" + b",\n".join(json_lines().splitlines()) + b"\n]\n",
    "pretty_array.ndjson": lambda: json_array(indent=2),
    "pretty.jsonl": lambda: pretty(),
    "pretty_values.json": lambda: BOM + pretty(indent="\t"),
    "pretty_commas.jsonl": lambda: pretty(between=b",\r\n"),
    "cr.jsonl": lambda: json_lines().replace(b"\n", b"\r"),
    "x.parquet": parquet,
}


@pytest.mark.parametrize("place", ["path", "file", "memory"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(name: str, place: str, tmp_path: Path) -> None:
    root = {"path": str(tmp_path), "file": f"file://{tmp_path}", "memory": "memory://in"}[place]
    Place(f"{root}/{name}").write(FORMATS[name]())
    shards = shards_of(f"{root}/{name}")
    assert [loads(text) for shard in shards for _, text in shard.lines] == ROWS
    assert [number for shard in shards for number, _ in shard.lines] == list(range(1, 151))
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert {shard.source for shard in shards} == {""}
    assert sum(shard.share for shard in shards) == pytest.approx(1, abs=0.01)


# --- JSON Lines


def test_blank_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'\n{"a": 1}\n \r\n\r\n{"a": 2}')
    assert shards_of(tmp_path / "x.jsonl")[0].lines == [(2, b'{"a": 1}'), (5, b'{"a": 2}')]


def test_what_is_no_json_is_passed_on_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'not json\n\xff\xfe\n"\xe2\x80\xa8"\n')
    assert shards_of(tmp_path / "x.jsonl")[0].lines == [(1, b"not json"), (2, b"\xff\xfe"), (3, b'"\xe2\x80\xa8"')]


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.jsonl.gz"])
def test_an_empty_file_has_no_shards(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    assert shards_of(tmp_path / name) == []


def test_a_line_too_long_for_a_row_is_one_broken_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_splitting, "MAX_BYTES", 1000)
    monkeypatch.setattr(line_splitting, "PIECE_BYTES", 100)
    (tmp_path / "x.jsonl").write_bytes(b"{}\n" + b"x" * 5050 + b"\n[]\n" + b"y" * 1001)
    first, long, third, last = shards_of(tmp_path / "x.jsonl")[0].lines
    assert (first, third) == ((1, b"{}"), (3, b"[]"))
    assert [reason_not_a_row(text) for _, text in (long, last)] == [
        (f"a line of {size} bytes; expected one row per line, of at most 1,000", begin * 1000)
        for size, begin in (("5,051", b"x"), ("1,001", b"y"))
    ]


LONG = b"x," * 501


@pytest.mark.parametrize(
    ("long", "kept"),
    [
        (LONG, LONG[:1000]),
        (b'b.jpg,"' + LONG + b'"', b'b.jpg,"' + LONG[:993]),
        (b'b.jpg,"' + LONG + b'\nmore\n""quoted"" and\n' + LONG + b'end"', b'b.jpg,"' + LONG[:993]),
        (b'b.jpg,"begun\n' + LONG + b'"', b'b.jpg,"begun\n' + LONG[:1000]),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_of_csv_too_long_for_a_row_is_one_broken_row(
    long: bytes, kept: bytes, end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_splitting, "MAX_BYTES", 1000)
    monkeypatch.setattr(csv_lines, "PIECE_BYTES", 100)
    lines = [b"image,n", b"a.jpg,1", *long.split(b"\n"), b'c.jpg,"3"', b"d.jpg,4"]
    (tmp_path / "x.csv").write_bytes(end.join(lines) + end)
    first, broken, *rest = shards_of(tmp_path / "x.csv")[0].lines
    assert [loads(text) for _, text in (first, *rest)] == [
        {"image": name, "n": n} for name, n in (("a.jpg", "1"), ("c.jpg", "3"), ("d.jpg", "4"))
    ]
    assert [broken[0], *(number for number, _ in rest)] == [3, len(lines) - 1, len(lines)]
    reason, begin = reason_not_a_row(broken[1]) or ("", b"")
    assert (begin.replace(b"\r", b""), "expected one row per line" in reason) == (kept, True)
    assert 1000 < int(reason.split()[3].replace(",", "")) < 1020


def test_a_long_line_of_csv_that_never_ends_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_splitting, "MAX_BYTES", 1000)
    (tmp_path / "x.csv").write_bytes(b'image,n\na.jpg,1\nb.jpg,"' + LONG + b"\nc.jpg,3\n")
    with pytest.raises(InputDamaged, match="line 3: a quote opens there that is never closed"):
        shards_of(tmp_path / "x.csv")


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.jsonl.bz2", "x.jsonl.xz", "x.jsonl.zst", "array.json.gz"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_broken_compression_is_damage_that_names_its_place(name: str, damage: str, tmp_path: Path) -> None:
    data = bytearray(FORMATS[name]())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / name).write_bytes(data if damage == "flipped" else FORMATS[name]()[:-20])
    with pytest.raises(InputDamaged) as caught:
        shards_of(tmp_path / name)
    assert caught.value.url.endswith(name)
    assert caught.value.place.startswith(("line ", "element "))


def test_a_cut_gzip_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(json_lines())[:-8])
    with pytest.raises(InputDamaged, match=r"x\.jsonl\.gz is damaged at line 1\d\d: .*limit="):
        shards_of(tmp_path / "x.jsonl.gz")
    assert rows_of(tmp_path / "x.jsonl.gz", limit=100) == ROWS[:100]


def encoded(name: str, mark: bytes = b"") -> bytes:
    return mark + json_lines().decode().encode(name)


CONTENTS: dict[str, Callable[[], bytes]] = {
    "plain.jsonl.gz": json_lines,
    "plain.json.xz": json_array,
    "utf16.jsonl.bz2": lambda: encoded("utf-16"),
    "gzip.jsonl": lambda: gzip.compress(json_lines()),
    "bzip2.json": lambda: bz2.compress(json_array(indent=1)),
    "xz.ndjson": lambda: lzma.compress(json_lines()),
    "zstd.jsonl": lambda: zstd.compress(json_lines()),
    "zstd.jsonl.zst": lambda: zstd.compress(json_lines()[:999]) + zstd.compress(json_lines()[999:]),
    "gzip.jsonl.zst": lambda: gzip.compress(json_lines()),
    "utf16.jsonl": lambda: encoded("utf-16"),
    "utf16be.jsonl": lambda: encoded("utf-16-be", codecs.BOM_UTF16_BE),
    "utf16le_without_mark.json": lambda: encoded("utf-16-le"),
    "utf32.jsonl": lambda: encoded("utf-32"),
    "utf16.jsonl.gz": lambda: gzip.compress(encoded("utf-16")),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_is_read_by_what_it_holds(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(CONTENTS[name]())
    assert rows_of(tmp_path / name) == ROWS


def test_an_unpaired_surrogate_in_utf16_breaks_one_row(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes('[1]\n"\ud800"\n[2]\n'.encode("utf-16", "surrogatepass"))
    assert shards_of(tmp_path / "x.jsonl")[0].lines == [(1, b"[1]"), (2, b'"\xed\xa0\x80"'), (3, b"[2]")]


def test_zstd_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.jsonl").write_bytes(zstd.compress(json_lines()))
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    with pytest.raises(UsageError, match=r"pip install 'regioncap\[zstd\]'"):
        shards_of(tmp_path / "x.jsonl")


def test_a_failing_disk_is_not_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    (tmp_path / "x.jsonl.gz").write_bytes(b"1")
    monkeypatch.setattr(Place, "open", lambda place: Failing())
    with pytest.raises(StorageError, match=r"cannot read .*Input/output error"):
        shards_of(tmp_path / "x.jsonl.gz")


# --- JSON arrays


@pytest.mark.parametrize("number", ["1.10", "1e400", "-0.0", "123456789012345678901234567890", "0.1000000000000000055"])
def test_numbers_in_an_array_keep_their_text(number: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(f'[{{"n": {number}}}, 7]')
    assert shards_of(tmp_path / "x.json")[0].lines == [(1, f'{{"n": {number}}}'.encode()), (2, b"7")]


@pytest.mark.parametrize("value", ['a"b', "a\\", '\\"', "],[{", "[1, 2", "ü" * 9000, "\\" * 20_001, '"' * 20_001])
def test_strings_in_an_array_hide_signs(value: str, tmp_path: Path) -> None:
    rows = [{"image": value, value: [[], {}, [{"x": value}]]}, [value], value]
    (tmp_path / "x.json").write_bytes(json_array(rows))
    assert rows_of(tmp_path / "x.json") == rows


@pytest.mark.parametrize("text", ["[]", "[ \n]", "\n[\n]\n"])
def test_an_empty_array_has_no_shards(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    assert shards_of(tmp_path / "x.json") == []


def test_an_element_that_is_no_json_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('[{"a": nul}, {"a": 1}]')
    assert shards_of(tmp_path / "x.json")[0].lines == [(1, b'{"a": nul}'), (2, b'{"a": 1}')]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[{"a": 1}, {"a": ', r"element 2, byte 10: the file ends before the array does"),
        ('[{"a": 1}', r"element 1, byte 1: the file ends"),
        ("[", r"element 1, byte 1: the file ends"),
        ('[1, "abc', r"element 2, byte 3: the file ends"),
        ("[1,,2]", r"element 2, byte 3: expected a value before ','"),
        ("[1,]", r"element 2, byte 3: expected a value before ']'"),
        ("[1}]", r"expected a value before '}'"),
        ("[1] [2]", r"expected nothing after the array's ']'"),
    ],
)
def test_a_broken_array_names_the_element_and_byte(text: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputDamaged, match=place):
        shards_of(tmp_path / "x.json")


LONG_ELEMENTS: list[Any] = [
    "x" * 5000, '\\"' * 2000, "\\" * 3001, [[[1, 2]] * 900, "]"], {"a": "}" * 3000, "b": ["[" * 3000, "\\\\" * 1500]},
]  # fmt: skip


@pytest.mark.parametrize("read_bytes", [1, 7, 64])
def test_an_element_too_long_for_a_row_is_one_broken_row(
    read_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MAX_BYTES", 500)
    monkeypatch.setattr(json_arrays, "READ_BYTES", read_bytes)
    rows = [row for long in LONG_ELEMENTS for row in ({"a": 1}, long, "ü]\\")]
    sizes = [f"{len(b' ' + json.dumps(long, ensure_ascii=False).encode()):,}" for long in LONG_ELEMENTS]
    (tmp_path / "x.json").write_bytes(json_array(rows))
    lines = [text for shard in shards_of(tmp_path / "x.json") for _, text in shard.lines]
    assert [loads(text) for place, text in enumerate(lines) if place % 3 != 1] == [
        row for place, row in enumerate(rows) if place % 3 != 1
    ]
    assert [(reason_not_a_row(text) or ("", b""))[0] for text in lines[1::3]] == [
        f"an element of {size} bytes; expected rows of at most 500" for size in sizes
    ]
    (tmp_path / "x.json").write_bytes(json_array(rows)[:-1])
    with pytest.raises(InputDamaged, match=f"element 15, byte {len(json_array(rows)) - 9}: the file ends"):
        shards_of(tmp_path / "x.json")


def test_small_elements_after_a_long_one_take_linear_time(tmp_path: Path) -> None:
    rows = ["x" * 3_000_000, *range(100_000)]
    (tmp_path / "x.json").write_bytes(json_array(rows))
    assert rows_of(tmp_path / "x.json") == rows


def test_one_object_over_many_lines_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_text(json.dumps({"images": [1, 2]}, indent=2))
    with pytest.raises(UsageError, match=r"coco\.json is one JSON object over many lines; expected .* jq"):
        shards_of(tmp_path / "coco.json")


def test_one_row_over_many_lines_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(pretty(ROWS[:1]))
    assert rows_of(tmp_path / "x.jsonl") == ROWS[:1]


@pytest.mark.parametrize(
    "first", [b"[1, 2]", b'[{"a": 1}]', b"[broken", b'[{"a": 1}', b'{"a": [', b'{"a": 1,', b"{", b"[]"]
)
def test_a_first_line_that_is_no_row_is_one_bad_row(first: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(first + b'\n{"a": 1}\n{"a": 2}\n')
    assert shards_of(tmp_path / "x.jsonl")[0].lines == [(1, first), (2, b'{"a": 1}'), (3, b'{"a": 2}')]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{\n"a": 1}\n{\n"a": ', "element 2, byte .*: the file ends before the object does"),
        ('{\n"a": 1}\n{"a": 2}\nabc', "element 3, byte .*: expected an object"),
    ],
)
def test_objects_over_many_lines_that_end_too_early_are_damage(text: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(InputDamaged, match=place):
        shards_of(tmp_path / "x.jsonl")


def test_an_object_over_many_lines_that_is_no_json_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{\n"a": 1}\n{\n"a": nul}\n{\n"a": 3}')
    assert [text for _, text in shards_of(tmp_path / "x.jsonl")[0].lines] == [
        b'{ "a": 1}',
        b'{ "a": nul}',
        b'{ "a": 3}',
    ]


def test_the_share_of_a_small_file_follows_its_rows(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(json_lines(ROWS * 10))
    shares = [shard.share for shard in shards_of(tmp_path / "x.jsonl", shard_size=200)]
    assert sum(shares) == pytest.approx(1, abs=0.01)
    assert max(shares) < 0.5


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_the_share_of_the_smallest_files_follows_each_row(tmp_path: Path, name: str) -> None:
    """Looking at a file's beginning takes all of a small one; that is not yet reading its rows."""
    row = {".csv": "a.jpg\n", ".jsonl": '{"image": "a.jpg"}\n'}[Path(name).suffix]
    (tmp_path / name).write_text(("image\n" if name == "x.csv" else "") + row * 6)
    shares = [shard.share for shard in shards_of(tmp_path / name, shard_size=1)]
    assert len(shares) == 6
    assert max(shares) < 0.4


# --- CSV


def csv_text(rows: list[list[str]]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    return file.getvalue().encode()


@pytest.mark.parametrize("start", [b"", BOM])
def test_csv_values_stay_strings(start: bytes, tmp_path: Path) -> None:
    cells = [["a.jpg", "007", ""], ['q"uote,\r\nnew\nline', "1e5", " ü\u2028"]]
    (tmp_path / "x.csv").write_bytes(start + csv_text([["image", "id", "note"], *cells]))
    assert rows_of(tmp_path / "x.csv") == [dict(zip(["image", "id", "note"], row, strict=True)) for row in cells]


def test_csv_rows_are_numbered_by_their_first_line(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b'image,n\n"a\nb",1\n\nc,2\n')
    assert numbers_of(tmp_path / "x.csv") == [2, 5]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b"b.jpg", "1 cell, but the header has 2; separated by ','"),
        (b"b.jpg,1,2", "3 cells, but the header has 2"),
        (b'"b"x,1', "not CSV: "),
        ("ж".encode("cp1251") * 4 + b".jpg,1", "not in utf-8"),
    ],
)
def test_a_broken_csv_row_says_why_and_the_others_are_read(row: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("image,n\nä.jpg,1\n".encode() + row + b"\r\nc.jpg,3\n")
    (_, first), (number, broken), third = shards_of(tmp_path / "x.csv")[0].lines
    assert (first, third) == ('{"image":"ä.jpg","n":"1"}'.encode(), (4, b'{"image":"c.jpg","n":"3"}'))
    message, raw = reason_not_a_row(broken) or ("", b"")
    assert (number, raw) == (3, row)
    assert message.startswith(why)


def test_a_quote_that_is_never_closed_is_damage(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b'image,n\na.jpg,1\n"b.jpg,2\nc.jpg,3\n')
    with pytest.raises(InputDamaged, match="line 3: a quote opens there that is never closed"):
        shards_of(tmp_path / "x.csv")


def test_a_csv_cell_may_hold_a_picture(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"image\ndata:image/png;base64%s\n" % (b"A" * 300_000))
    assert len(rows_of(tmp_path / "x.csv")[0]["image"]) > 300_000


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_column_that_is_there_twice_is_refused(name: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if name == "x.csv":
        (tmp_path / name).write_bytes(b"image,image\na,b\n")
    else:
        pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["image", "image"]), tmp_path / name)
    with pytest.raises(UsageError, match="column 'image' twice"):
        shards_of(tmp_path / name)


# --- Parquet


def test_parquet_values_become_json(tmp_path: Path) -> None:
    row = {
        "bbox": [[1, 2, 3, 4], []],
        "big": 2**62 + 1,
        "price": decimal.Decimal("1.10"),
        "day": dt.date(2024, 2, 3),
        "at": dt.datetime(2024, 2, 3, 4, 5, 6),
        "thumb": b"\x00\xff",
        "score": float("nan"),
        "none": None,
        "deep": {"x": [None, "ü"]},
    }
    (tmp_path / "x.parquet").write_bytes(parquet([row]))
    plain = {"price": "1.10", "day": "2024-02-03", "at": "2024-02-03T04:05:06", "thumb": "AP8=", "score": None}
    assert rows_of(tmp_path / "x.parquet") == [{**row, **plain}]


def test_nanoseconds_are_kept(tmp_path: Path) -> None:
    import pyarrow as pa

    schema = pa.schema([("at", pa.timestamp("ns", tz="UTC"))])
    (tmp_path / "x.parquet").write_bytes(parquet([{"at": 1_000_000_001}], schema=schema))
    assert rows_of(tmp_path / "x.parquet") == [{"at": "1970-01-01T00:00:01.000000001Z"}]


@pytest.mark.parametrize("damage", ["cut", "middle", "no parquet"])
def test_broken_parquet_is_damage(damage: str, tmp_path: Path) -> None:
    data = parquet()
    middle = data[:500] + b"\xff" * 1500 + data[2000:]
    (tmp_path / "x.parquet").write_bytes({"cut": data[:-100], "middle": middle, "no parquet": b"x" * 99}[damage])
    with pytest.raises(InputDamaged, match=r"x\.parquet is damaged at row \d+: "):
        shards_of(tmp_path / "x.parquet")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.parquet").write_bytes(parquet())
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match=r"pip install 'regioncap\[parquet\]'"):
        shards_of(tmp_path / "x.parquet")


def test_a_disk_that_fails_under_parquet_is_not_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    (tmp_path / "x.parquet").write_bytes(parquet())
    monkeypatch.setattr(Place, "open", lambda place: Failing(parquet()))
    with pytest.raises(StorageError, match="cannot read"):
        shards_of(tmp_path / "x.parquet")


# --- several files, and images


@pytest.mark.parametrize("root", ["path", "relative", "file", "memory"])
@pytest.mark.parametrize("pattern", ["", "/", "/**/*.*"])
def test_files_of_a_folder_are_read_in_order(
    root: str, pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = {"path": f"{tmp_path}/in", "relative": "in", "file": f"file://{tmp_path}/in", "memory": "memory://in"}[
        root
    ]
    Place(f"{folder}/b.csv").write(b"image\nb.jpg\n")
    Place(f"{folder}/a.jsonl").write(json_lines(ROWS[:100]))
    Place(f"{folder}/sub/c.json").write(json_array(ROWS[100:]))
    Place(f"{folder}/README.md").write(b"# data")
    Place(f"{folder}/img/1.jpg").write(b"a picture that a row names")
    Place(f"{folder}/.regioncap/x_step1/0.jsonl").write(b"{}")
    shards = shards_of(folder + pattern)
    assert list(dict.fromkeys(shard.source for shard in shards)) == ["a.jsonl", "b.csv", "sub/c.json"]
    assert [loads(text) for s in shards for _, text in s.lines] == [*ROWS[:100], {"image": "b.jpg"}, *ROWS[100:]]
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert [s.lines[0][0] for s in shards if s.source == "b.csv"] == [2]
    assert sum(shard.share for shard in shards) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("root", ["path", "memory"])
def test_a_folder_of_images_gives_a_row_an_image(root: str, tmp_path: Path) -> None:
    folder = {"path": f"{tmp_path}/in", "memory": "memory://in"}[root]
    for name in ("b.PNG", "a b.jpg", "sub/c.Tiff", "notes.txt", ".regioncap/marks/00/x.jpg", "sub/.thumbs/c.jpg"):
        Place(f"{folder}/{name}").write(b"x")
    shards = shards_of(folder, image_key="photo")
    names = ["a b.jpg", "b.PNG", "sub/c.Tiff"]
    assert [loads(text) for shard in shards for _, text in shard.lines] == [{"photo": name} for name in names]
    assert [number for shard in shards for number, _ in shard.lines] == [1, 2, 3]
    assert root_of(folder) == folder


def test_an_image_alone_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.webp").write_bytes(b"x")
    assert rows_of(tmp_path / "a.webp") == [{"image": "a.webp"}]
    assert root_of(str(tmp_path / "a.webp")) == str(tmp_path)


def test_images_of_many_shards_share_by_count(tmp_path: Path) -> None:
    for i in range(60):
        (tmp_path / f"{i:02}.jpg").write_bytes(b"x")
    shards = shards_of(f"{tmp_path}/*.jpg", shard_size=10)
    assert len(shards) > 3
    assert [shard.share for shard in shards] == pytest.approx([len(shard.lines) / 60 for shard in shards])


def test_a_data_file_with_wildcards_in_its_name_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "x[1].jsonl").write_bytes(b"{}\n")
    assert rows_of(tmp_path / "x[1].jsonl") == [{}]
    assert root_of(str(tmp_path / "x[1].jsonl")) == str(tmp_path)


NAMES = ["a.jpg", "b #1.jpg", "c?.jpg", "d [2].jpg", "e%20f.jpg", "g*h.jpg", "i&j=k;l.jpg", "ü ß.jpg"]


@pytest.mark.parametrize("place", ["", "file://", "memory://", "s3://"])
def test_names_are_names_and_no_syntax(place: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue("bucket") if place == "s3://" else f"{place}{tmp_path}"
    folder = f"{root}/photos [2024] #1"
    for name in NAMES:
        Place(folder).child(name).write(name.encode())
    assert [row["image"] for row in rows_of(folder)] == NAMES
    images = ImageFiles(root_of(folder))
    assert [images.read(ImageRef(name)).decode() for name in NAMES] == NAMES
    # Files of rows, too, and a folder of them.
    Place(f"{root}/rows [1]").child("x #1 [a].jsonl").write(b'{"image": "a.jpg"}\n')
    assert rows_of(f"{root}/rows [1]") == rows_of(f"{root}/rows [1]/x #1 [a].jsonl") == [{"image": "a.jpg"}]


def test_the_home_folder_is_meant_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    paths = {"input": "~/in.jsonl", "output": "~/parts/", "cache_path": "~/cache", "image_root": "~"}
    config = RegionCapConfig(captioner="pixels", **paths)
    assert {name: getattr(config, name) for name in paths} == {
        "input": f"{tmp_path}/in.jsonl", "output": f"{tmp_path}/parts/", "cache_path": f"{tmp_path}/cache",
        "image_root": str(tmp_path),
    }  # fmt: skip
    assert RegionCapConfig(input="a~b.jsonl", captioner="pixels").input == "a~b.jsonl"


def test_a_remote_folder_named_like_a_file_is_a_folder() -> None:
    Place("memory://out.parquet/part-0.parquet").write(parquet())
    assert rows_of("memory://out.parquet") == ROWS
    assert root_of("memory://out.parquet") == "memory://out.parquet"


def test_many_remote_files_count_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_SIZE_REQUESTS", 1)
    Place("memory://in/a.jsonl").write(json_lines(ROWS[:10]))
    Place("memory://in/b.jsonl").write(json_lines(ROWS[:20]))
    assert [shard.share for shard in shards_of("memory://in")] == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("address", "root"),
    [
        ("x.jsonl", "."),
        ("d/x.jsonl", "d"),
        ("/d/x.jsonl", "/d"),
        ("/x.jsonl", "/"),
        ("memory://x.jsonl", "memory://"),
        ("memory://d/x.jsonl", "memory://d"),
        ("s3://b/d/x.jsonl", "s3://b/d"),
        ("https://h/d/x.jsonl?sign=a/b", "https://h/d"),
    ],
)
def test_root_of_a_file_is_its_folder(address: str, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "exists", lambda place: True)
    monkeypatch.setattr(Place, "is_folder", lambda place: False)
    monkeypatch.setattr(Place, "size", lambda place: 9)
    assert root_of(address) == root


@pytest.mark.parametrize(
    ("address", "root"),
    [
        ("*.jpg", "."),
        ("d/*.jpg", "d"),
        ("d/e*/f/*.jpg", "d"),
        ("/*.jpg", "/"),
        ("memory://*.jpg", "memory://"),
        ("memory://d/[ab].jpg", "memory://d"),
        ("memory://d/", "memory://d"),
        ("d/", "d"),
    ],
)
def test_root_of_a_folder_or_glob_is_its_fixed_part(address: str, root: str) -> None:
    assert root_of(address) == root


# --- what cannot be read


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.jsonl", r"gone\.jsonl does not exist; expected a file, a folder or a glob"),
        ("notes.txt", r"notes\.txt is not in a supported format; expected JSON Lines \(\.jsonl"),
        ("empty", r"there is no file in .*/empty; expected JSON Lines"),
        ("*.jpg", r"no file matches .*/\*\.jpg; expected JSON Lines"),
        ("", r"notes\.txt is not in a supported format"),
    ],
)
def test_what_cannot_be_read_is_refused_at_once(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    config = RegionCapConfig(input=f"{tmp_path}/{name}", captioner="pixels", output="/nowhere/o.jsonl")
    with pytest.raises(UsageError, match=message):
        read_shards(config, DEFAULT_FILESYSTEMS)


# --- limit and sample


@pytest.mark.parametrize("limit", [1, 33, 149, 150, 1000])
def test_limit_takes_the_first_rows(limit: int, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(json_lines(ROWS[:80]))
    (tmp_path / "b.jsonl").write_bytes(json_lines(ROWS[80:]))
    assert rows_of(tmp_path, limit=limit) == ROWS[:limit]
    assert sum(shard.share for shard in shards_of(tmp_path, limit=limit)) == pytest.approx(1, abs=0.01)


def test_limit_reads_no_further(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(json_array(ROWS)[:-5])
    assert rows_of(tmp_path / "x.json", limit=149) == ROWS[:149]


def test_a_larger_sample_contains_the_smaller(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(json_lines(ROWS[:80]))
    (tmp_path / "b.csv").write_bytes(b"image\n" + b"".join(b"%d.jpg\n" % i for i in range(80)))
    ids = [[row["image"] for row in rows_of(tmp_path, sample=n)] for n in (1, 10, 40, 160, 999)]
    assert [len(some) for some in ids] == [1, 10, 40, 160, 160]
    assert all(set(small) < set(large) for small, large in itertools.pairwise(ids[:4]))
    everything = ids[3]
    assert all(some == [i for i in everything if i in some] for some in ids)


def test_a_sample_does_not_depend_on_the_order(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(json_lines(ROWS))
    (tmp_path / "b.jsonl").write_bytes(json_lines(ROWS[::-1]))
    assert rows_of(tmp_path / "a.jsonl", sample=20) == rows_of(tmp_path / "b.jsonl", sample=20)[::-1]


def test_a_sample_among_the_first_rows(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(json_lines())
    found = rows_of(tmp_path / "x.jsonl", sample=10, limit=30)
    assert len(found) == 10
    assert all(row in ROWS[:30] for row in found)
    assert sum(s.share for s in shards_of(tmp_path / "x.jsonl", sample=10, limit=30)) == pytest.approx(1)


def test_equal_rows_count_one_by_one_in_a_sample(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"a": 1}\n' * 50)
    assert numbers_of(tmp_path / "x.jsonl", sample=7) == [1, 2, 3, 4, 5, 6, 7]


# --- memory, files left open


@pytest.mark.parametrize("name", ["x.jsonl", "pretty.jsonl", "x.json", "x.csv"])
def test_memory_does_not_grow_with_the_file(name: str, tmp_path: Path) -> None:
    text = "y" * 900
    with (tmp_path / name).open("w") as file:
        file.write({"x.json": "[", "x.csv": "image,t\n"}.get(name, ""))
        for i in range(50_000):
            row = f'{{"image": "{i}.jpg", "t": "{text}"}}' if name != "x.csv" else f"{i}.jpg,{text}"
            row = row.replace("{", "{\n") if name == "pretty.jsonl" else row
            file.write(f",{row}" if name == "x.json" and i else row)
            file.write("\n")
        file.write("]" if name == "x.json" else "")
    config = RegionCapConfig(input=str(tmp_path / name), captioner="pixels", output="/nowhere/o.jsonl")
    tracemalloc.start()
    try:
        count = sum(len(shard.lines) for shard in read_shards(config, DEFAULT_FILESYSTEMS))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 50_000
    assert peak < 12_000_000


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "array.json", "x.parquet"])
def test_a_reader_that_is_left_closes_its_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    real = Place.open

    def noting(place: Place) -> Any:
        opened.append(real(place))
        return opened[-1]

    monkeypatch.setattr(Place, "open", noting)
    (tmp_path / name).write_bytes(FORMATS[name]())
    shards = read_shards(
        RegionCapConfig(input=str(tmp_path / name), captioner="pixels", output="/nowhere/o.jsonl"), DEFAULT_FILESYSTEMS
    )
    next(shards)
    shards.close()
    assert opened
    assert all(file.closed for file in opened)
