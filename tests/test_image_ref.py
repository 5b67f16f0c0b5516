"""Where a row's image is travels with the row's text, with step rows and with output rows."""

from __future__ import annotations

import pytest

from regioncap.image_ref import ImageRef, ref_at, ref_in_output, with_place, without_place

REFS = [
    ImageRef("a.jpg"),
    ImageRef("tar://a.jpg::0.tar", byte_range=(512, 3000)),
    ImageRef("0.parquet", row=17, column="image"),
]


@pytest.mark.parametrize("ref", REFS, ids=str)
def test_a_place_survives_every_form(ref: ImageRef) -> None:
    assert ref_at(ref.name, ref.at()) == ref
    assert ref_in_output(ref.name, ref.meta(), "image") == ref
    text = b'{"image": "x"}'
    assert without_place(with_place(text, ref)) == (text, ref.at())


def test_an_output_tells_which_image_a_cell_held() -> None:
    ref = ref_in_output("0.parquet", {"image_row": 17, "image_sha256": "ab"}, "image")
    assert ref == ImageRef("0.parquet", row=17, column="image", sha256="ab")


def test_a_row_of_any_other_reader_is_left_as_it_is() -> None:
    assert without_place(b'{"image": "a.jpg"}') == (b'{"image": "a.jpg"}', {})
    assert without_place(b"") == (b"", {})


def test_only_members_and_cells_lie_in_a_container() -> None:
    assert [ref.in_container for ref in REFS] == [False, True, True]


def test_the_rows_of_one_file_are_told_apart() -> None:
    assert str(REFS[2]) == "0.parquet row 17"
