"""CSV files as programs really write them: separators, quotes, line ends, encodings."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.inputs.readers import read_shards
from regioncap.records import loads, reason_not_a_row
from regioncap.storage.filesystem import Filesystems
from regioncap.tasks.load import load_row

BOX = "[[10, 20, 100, 120]]"
ROWS = [
    {"image": name, "bbox": BOX, "note": note} for name in ("a.jpg", "b c.jpg") for note in ("", "x, y; z|\tw\n2nd")
]


def texts_of(data: bytes, folder: Path, name: str = "x.csv", **more: Any) -> list[tuple[int, bytes]]:
    (folder / name).write_bytes(data)
    config = RegionCapConfig(input=str(folder / name), captioner="pixels", output="/nowhere/o.jsonl", **more)
    return [line for shard in read_shards(config, Filesystems()) for line in shard.lines]


def rows_of(data: bytes, folder: Path, name: str = "x.csv", **more: Any) -> list[Any]:
    return [loads(text) for _, text in texts_of(data, folder, name, **more)]


def written(rows: list[dict[str, str]] = ROWS, **dialect: Any) -> str:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]), **dialect)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_delimiters_line_ends_and_unicode(delimiter: str, end: str, encoding: str, name: str, tmp_path: Path) -> None:
    text = written(delimiter=delimiter, lineterminator=end)
    assert rows_of(text.encode(encoding), tmp_path, name) == ROWS


@pytest.mark.parametrize(
    "dialect",
    [
        {"quotechar": "'"},
        {"quotechar": "'", "delimiter": ";"},
        {"quoting": csv.QUOTE_ALL, "delimiter": ";"},
        {"doublequote": False, "escapechar": "\\", "quoting": csv.QUOTE_ALL},
    ],
)
def test_quotes(dialect: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"image": "a.jpg", "bbox": BOX, "note": f'say "{i}", it\'s; ok'} for i in range(5)]
    assert rows_of(written(rows, **dialect).encode(), tmp_path) == rows


def test_lines_that_end_in_cr_alone(tmp_path: Path) -> None:
    rows = [{"image": f"{i}.jpg", "bbox": BOX} for i in range(3)]
    data = written(rows, lineterminator="\r").encode()
    assert rows_of(data, tmp_path) == rows
    assert [number for number, _ in texts_of(data, tmp_path)] == [2, 3, 4]


def test_the_separator_that_excel_names(tmp_path: Path) -> None:
    assert rows_of(b"sep=;\r\nimage;n,m\r\na.jpg;1,2\r\n", tmp_path) == [{"image": "a.jpg", "n,m": "1,2"}]


@pytest.mark.parametrize("name", ["café.jpg", "Größe “1”.jpg", "señor 5€.jpg"])
@pytest.mark.parametrize("before", [0, 20_000])
def test_western_text_of_single_bytes(name: str, before: int, tmp_path: Path) -> None:
    rows = [{"image": "plain.jpg", "bbox": BOX}] * before + [{"image": name, "bbox": BOX}, {"image": "z", "bbox": "[]"}]
    assert rows_of(written(rows).encode("cp1252"), tmp_path) == rows


@pytest.mark.parametrize(
    ("name", "encoding"), [("фото.jpg", "cp1251"), ("照片库.jpg", "gbk"), ("テスト.jpg", "shift-jis")]
)
def test_an_unknown_encoding_is_named_with_what_was_tried(name: str, encoding: str, tmp_path: Path) -> None:
    text = written([{"image": "a.jpg", "bbox": BOX}, {"image": name, "bbox": BOX}])
    with pytest.raises(UsageError, match=r"line 3 of .*x\.csv is in an enc.* tried UTF-8, .*--csv-encoding.*iconv"):
        texts_of(text.encode(encoding), tmp_path)


ENCODED = {
    "cp1251": "Собака", "koi8-r": "Собака", "cp1250": "Żółw łąka", "iso8859-2": "Žluťoučký kůň", "cp1254": "Köpek ağaç",
    "cp1253": "σκύλος", "cp932": "犬ソ表|テスト", "euc-jp": "犬", "gb18030": "一只狗𠮷", "big5": "一隻狗功",
    "cp949": "개", "utf-16-le": "犬", "utf-16-be": "犬", "cp1252": "café", "utf-8": "ü", "cp037": "a,b",
}  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_encoding_that_is_named_is_used(encoding: str, end: str, tmp_path: Path) -> None:
    rows = [{"image": "a.jpg", "note": ENCODED[encoding]}, {"image": f"{ENCODED[encoding]}.jpg", "note": 'a "b",\n'}]
    assert rows_of(written(rows, lineterminator=end).encode(encoding), tmp_path, csv_encoding=encoding) == rows


def test_a_byte_order_mark_counts_more_than_the_encoding_that_is_named(tmp_path: Path) -> None:
    rows = [{"image": "a.jpg", "note": "Собака"}]
    for encoding in ("utf-8-sig", "utf-16"):
        assert rows_of(written(rows).encode(encoding), tmp_path, csv_encoding="cp1251") == rows


def test_bytes_that_are_not_of_the_encoding_that_is_named_are_a_broken_row(tmp_path: Path) -> None:
    data = written([{"image": "犬.jpg", "n": "1"}]).encode("cp932") + b"a\x81\xff.jpg,2\r\nb.jpg,3\r\n"
    texts = [text for _, text in texts_of(data, tmp_path, csv_encoding="cp932")]
    assert [loads(texts[0])["n"], loads(texts[2])["n"]] == ["1", "3"]
    assert (reason_not_a_row(texts[1]) or ("",))[0] == "not in cp932, as the rows before it are"


@pytest.mark.parametrize("name", ["klingon", "rot13", "hex", "a\0b", "undefined"])
def test_an_encoding_that_does_not_exist_is_refused(name: str) -> None:
    expected = "text in Unicode without zero" if "\0" in name else "a text encoding, such as cp1251"
    with pytest.raises(UsageError, match=f"csv_encoding: expected {expected}"):
        RegionCapConfig(input="x.csv", captioner="pixels", csv_encoding=name)


def test_doubt_about_the_encoding_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = written([{"image": "a.jpg", "note": "Żółw śpi"}]).encode("iso8859-2")
    assert rows_of(data, tmp_path) == rows_of(data, tmp_path) == [{"image": "a.jpg", "note": "¯ó³w ¶pi"}]
    (record,) = caplog.records
    assert "x.csv is not UTF-8 and is read as Windows-1252" in record.getMessage()
    assert "--csv-encoding (cp1251: Cyrillic" in record.getMessage()


@pytest.mark.parametrize(
    ("header", "row"),
    [(" image,bbox ", f'a.jpg,"{BOX}"'), ("image, bbox", f'a.jpg, "{BOX}"'), ("image ; bbox", f"a.jpg;{BOX}")],
)
def test_spaces_around_names_of_columns(header: str, row: str, tmp_path: Path) -> None:
    assert rows_of(f"{header}\n{row}\n".encode(), tmp_path) == [{"image": "a.jpg", "bbox": BOX}]


def test_empty_columns_at_the_end(tmp_path: Path) -> None:
    assert rows_of(b"image,n,,\na.jpg,1,,\nb.jpg,2\nc.jpg,3,,,,\n", tmp_path) == [
        {"image": "a.jpg", "n": "1"}, {"image": "b.jpg", "n": "2"}, {"image": "c.jpg", "n": "3"},
    ]  # fmt: skip


def test_one_column_has_no_delimiter(tmp_path: Path) -> None:
    assert rows_of(b"image\na;b.jpg\nc|d.jpg\ne\tf.jpg\n", tmp_path) == [
        {"image": "a;b.jpg"}, {"image": "c|d.jpg"}, {"image": "e\tf.jpg"},
    ]  # fmt: skip


def test_commas_stay_delimiters_beside_others(tmp_path: Path) -> None:
    data = b'image,a;b;c\nx.jpg,1;2;3\ny.jpg,"4,5"\nz.jpg,6;7,8\n'
    first, second, third = texts_of(data, tmp_path)
    assert [loads(first[1]), loads(second[1])] == [
        {"image": "x.jpg", "a;b;c": "1;2;3"},
        {"image": "y.jpg", "a;b;c": "4,5"},
    ]
    assert reason_not_a_row(third[1])


def test_every_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has the columns 'bbox', 'image' twice"):
        texts_of(b"image,bbox,image ,n,bbox\n", tmp_path)


def test_a_ragged_row_is_the_reject_bad_row(tmp_path: Path) -> None:
    number, text = texts_of(b"image,bbox\na.jpg,10,20,100,120\nb.jpg,\n", tmp_path)[0]
    row = load_row(number, "", text, "image")
    assert (row["reject"]["code"], row["raw"]) == ("bad_row", "a.jpg,10,20,100,120")
    assert json.dumps(row["reject"]["message"]).startswith('"5 cells, but the header has 2')
