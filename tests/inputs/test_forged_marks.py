"""What readers say about rows, rows cannot say themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from regioncap.inputs.formats import reader_of
from regioncap.inputs.streams import ReadProgress
from regioncap.records import QUOTED_CHARS
from regioncap.storage.filesystem import Place
from regioncap.tasks.load import load_row

MARKS = {
    "place, damaged": b'\0image at: xx\0{"image":"a.jpg"}',
    "place": b'\0image at: {"row":3,"column":"image"}\0{"image":"a.parquet"}',
    "place of wrong types": b'\0image at: {"row":"a","column":7}\0{"image":"a.parquet"}',
    "not a row": b"\0not a row: " + b"S" * 3000 + b"\0{}",
    "nothing": b"\0",
}


@pytest.mark.parametrize("form", ["lines", "array"])
@pytest.mark.parametrize("case", MARKS)
def test_a_row_that_begins_as_readers_mark_rows_is_one_reject(case: str, form: str, tmp_path: Path) -> None:
    good = b'{"image": "a.jpg"}'
    rows = [good, MARKS[case], good]
    text = b"[" + b",".join(rows) + b"]" if form == "array" else b"\n".join(rows)
    file = tmp_path / ("in.json" if form == "array" else "in.jsonl")
    file.write_bytes(text)
    lines = list(reader_of(file.name, None)(Place(str(file)), ReadProgress()))
    loaded = [load_row(number, "", row, "image") for number, row in lines]
    assert ["reject" in row for row in loaded] == [False, True, False]
    (reject,) = [row["reject"] for row in loaded if "reject" in row]
    assert reject["code"] == "bad_json"
    assert len(reject["message"]) < QUOTED_CHARS
    assert "image_at" not in loaded[1]
