# ruff: noqa: RUF001 - captions of other scripts are meant here.
"""People's corrections: what is read of a file of them, and what is said of wrong ones."""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.errors import UsageError
from regioncap.inputs.edits import MAX_CAPTION_CHARS, MAX_LINE_BYTES, Edit, Edits, problem_of, read_edits
from regioncap.records import Row, dumps, loads
from regioncap.storage.filesystem import Place

SHA = "5e" * 32
BOX = [12, 16, 36.5, 40]


def edit(**changes: Any) -> dict[str, Any]:
    line = {"image_sha256": SHA, "bbox": BOX, "action": "edit", "caption": "A red mug.", **changes}
    return {key: value for key, value in line.items() if value is not ...}


def row(*boxes: Any, sha256: str = SHA) -> Row:
    return {"image_sha256": sha256, "bbox": list(boxes)}


def read(folder: Path, *lines: Any, name: str = "out.edits.jsonl") -> Edits:
    path = folder / name
    path.write_bytes(
        b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    )
    return read_edits(Place(str(path)))


def of_region(edits: Edits, box: Any = BOX) -> Edit:
    return edits.of_row(row(box))[1]


def test_an_edit_is_found_by_image_and_box(tmp_path: Path) -> None:
    edits = read(
        tmp_path,
        edit(),
        edit(
            bbox=[1, 2, 3, 4], action="approve", caption=" A cat. ", image="p.png", region=2, time="2026", note={"a": 1}
        ),
        edit(image_sha256="AB" * 32, action="reject", caption="Not this."),
    )
    found = edits.of_row(row([0, 0, 9, 9], BOX, [1.0, 2.0, 3.0, 4.0], BOX))
    assert {number: (one.mark, one.caption) for number, one in found.items()} == {
        2: ("edited", "A red mug."), 3: ("approved", "A cat."), 4: ("edited", "A red mug."),
    }  # fmt: skip
    assert [one.mark for one in edits.of_row(row(BOX, sha256="ab" * 32)).values()] == ["rejected"]
    assert edits.of_row(row(BOX, sha256="0" * 64)) == {}


def test_a_later_line_replaces_an_earlier_one(tmp_path: Path) -> None:
    edits = read(tmp_path, edit(), edit(bbox=[12.0, 16, 36.5, 40.0], caption="Second."), edit(caption="Last."))
    assert (len(edits), of_region(edits).caption) == (1, "Last.")
    nearly = read(tmp_path, edit(caption="First."), edit(bbox=[12.0001, 16, 36.5, 40], caption="Second."))
    assert of_region(nearly).caption == "Second."
    assert {one.line for _, one in nearly.fitting(row(BOX))} == {1, 2}


numbers = st.floats(0, 20_000, allow_nan=False) | st.integers(0, 20_000)
boxes = st.tuples(numbers, numbers, numbers.filter(bool), numbers.filter(bool)).map(list)


@given(boxes)
def test_a_box_is_the_same_whoever_wrote_its_numbers(box: list[float]) -> None:
    edits = Edits([Edit(1, SHA, tuple(map(float, box)), "approve", "A.", b"")])  # type: ignore[arg-type]
    written = [loads(dumps(box)), json.loads(json.dumps(box)), [round(number, 4) for number in box]]
    written += [[struct.unpack("f", struct.pack("f", number))[0] for number in box]]
    for again in written:
        assert 1 in edits.of_row(row(again)), again
    assert edits.of_row(row([box[0] + 0.01, *box[1:]])) == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "not JSON; expected an object with image_sha256, bbox, action and caption, got '{'"),
        (b"\x00\x01\xff", "not JSON"),
        (b'{"a": ' * 500 + b"1" + b"}" * 500, "not JSON"),
        ([1, 2], "expected an object with image_sha256, bbox, action and caption, got [1, 2]"),
        (edit(action="aprove"), "action: expected approve, edit or reject, got 'aprove'"),
        (edit(action=["edit"]), "action: expected approve, edit or reject, got ['edit']"),
        (edit(action=...), "action: expected approve, edit or reject, got None"),
        (edit(image_sha256="5e" * 31), "image_sha256: expected 64 hex digits"),
        (edit(image_sha256="zz" * 32), "image_sha256: expected 64 hex digits"),
        (edit(image_sha256=7), "image_sha256: expected 64 hex digits, as meta_info.image_sha256 has them, got 7"),
        (
            edit(bbox=[1, 2, 3]),
            "bbox: expected [x, y, width, height] in pixels, as meta_info.bbox has it, got [1, 2, 3]",
        ),
        (edit(bbox=[1, 2, math.nan, 4]), "bbox: expected"),
        (edit(bbox=[1, 2, math.inf, 4]), "bbox: expected"),
        (edit(bbox=[10**400, 2, 3, 4]), "bbox: expected"),
        (edit(bbox=[1, 2, 0, 4]), "bbox: expected"),
        (edit(bbox=[1, 2, True, 4]), "bbox: expected"),
        (edit(bbox=["1", 2, 3, 4]), "bbox: expected"),
        (edit(bbox={"x": 1}), "bbox: expected"),
        (edit(caption=" \t"), "caption: expected text, got an empty one"),
        (edit(caption=None), "caption: expected text, got None"),
        (edit(action="reject", caption=""), "caption: expected text, got an empty one"),
        (edit(caption="One.\nTwo."), "caption: expected one line, got a line break (U+000A) after 'One.'"),
        (edit(caption="One.\u2028Two."), "caption: expected one line, got a line break (U+2028) after 'One.'"),
        (edit(caption="A \x1b[31mmug"), "caption: expected no control characters, got U+001B after 'A '"),
        (edit(caption="A\x00mug"), "caption: expected no control characters, got U+0000"),
        (edit(caption="A \ud800 mug"), "caption: expected no control characters, got U+D800"),
        (edit(caption="A \u202emug"), "caption: expected no control characters, got U+202E"),
        (edit(caption="<region2> A mug"), "caption: expected no label of a region at the beginning of a sentence"),
        (edit(caption="A mug. < Region 2 > A"), "at the beginning of a sentence, got '< Region 2 >'"),
        (edit(caption="x" * (MAX_CAPTION_CHARS + 1)), "caption: expected at most 20,000 characters, got 20,001"),
        (b'"' + b"x" * MAX_LINE_BYTES + b'"', "longer than 1,000,000 bytes; expected one edit a line"),
    ],
)
def test_every_wrong_line_is_named(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        read(tmp_path, edit(), b"", line, edit(action="no"))
    text = str(error.value)
    assert text.startswith(f"edits: {tmp_path}/out.edits.jsonl has 2 wrong lines; fix or remove:\nline 3: ")
    assert message in text
    assert "line 4: action: expected" in text
    assert max(map(len, text.splitlines())) < 400


def test_many_wrong_lines_are_counted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 1,000 wrong lines") as error:
        read(tmp_path, *[b"x"] * 1000)
    assert str(error.value).endswith("… and 980 more")


def test_a_person_may_write_what_a_caption_may_hold() -> None:
    for caption in (
        "A dog, left of <region2>, \"Rex\" & {co}: 50 % [sic].", "Ein Hund.", "一只狗。", "👩‍👩‍👧 a family",
        "كلب\u200f صغير", "می\u200cخواهم", "Région 2 du pays.",
    ):  # fmt: skip
        assert problem_of(caption) == ""


def test_what_was_rejected_need_not_be_well_formed(tmp_path: Path) -> None:
    found = of_region(read(tmp_path, edit(action="reject", caption="<region1> A\nmug")))
    assert found.rejects("<region1>  A mug ")
    assert not found.rejects("A mug")


@pytest.mark.parametrize("form", ["bom", "crlf", "gzip", "utf-16", "no end"])
def test_files_of_other_programs_are_read(tmp_path: Path, form: str) -> None:
    text = json.dumps(edit(caption="Ein Krug, rötlich."), ensure_ascii=False)
    data = {
        "bom": b"\xef\xbb\xbf" + text.encode() + b"\n", "crlf": f"{text}\r\n\r\n".encode(), "no end": text.encode(),
        "gzip": gzip.compress(text.encode()), "utf-16": text.encode("utf-16"),
    }[form]  # fmt: skip
    path = tmp_path / "a.edits.jsonl"
    path.write_bytes(data)
    assert of_region(read_edits(Place(str(path)))).caption == "Ein Krug, rötlich."


def test_a_file_in_a_store_is_read() -> None:
    place = Place("memory://edits-of-tests/e.jsonl")
    place.write(gzip.compress(json.dumps(edit()).encode()))
    assert len(read_edits(place)) == 1
    place.remove()
    with pytest.raises(UsageError, match="edits: there is no file memory://edits-of-tests"):
        read_edits(place)


def test_what_is_no_file_of_edits_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone.jsonl"):
        with pytest.raises(UsageError, match="edits: there is no file"):
            read_edits(Place(str(path)))
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(json.dumps(edit()).encode() * 1000)[:-9])
    with pytest.raises(UsageError, match=r"edits: .*cut.jsonl.gz is damaged at line 1"):
        read_edits(Place(str(cut)))
    assert len(read(tmp_path)) == 0


@given(st.binary(max_size=400) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda inner: st.lists(inner)
    | st.dictionaries(st.sampled_from(["image_sha256", "bbox", "action", "caption"]) | st.text(), inner)
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_whatever_a_file_holds_is_read_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(data)
    with contextlib.suppress(UsageError):
        assert isinstance(read_edits(Place(str(path))), Edits)


captions = st.text(min_size=1, max_size=60)


@given(captions)
def test_a_caption_that_is_accepted_comes_back_from_an_output(caption: str) -> None:
    caption = caption.strip()
    if caption and not problem_of(caption):
        line = dumps({"mdvp_record": [f"<region1> {caption}"]})
        assert line.count(b"\n") == 0
        assert len(caption.splitlines()) == 1
        assert loads(line)["mdvp_record"][0].removeprefix("<region1> ") == caption
