"""The sizes that rows tell, beside those of their pictures: a run stops, scales, turns or warns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from regioncap.errors import UsageError
from regioncap.image_ref import ImageRef
from regioncap.preflight.box_sample import Header, SampledRow
from regioncap.preflight.box_size import compare
from regioncap.vision.frames import Relation, Size
from tests.support.photos import draw_photo, write_photo
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run

FRACTIONS = [[0.1, 0.2, 0.3, 0.4]]


def sampled(stated: Size, shown: Size, orientation: int = 1, boxes: list[list[float]] | None = None) -> SampledRow:
    return SampledRow(ImageRef("a.jpg"), boxes or [[2.0, 3.0, 20.0, 20.0]], stated, Header(shown, orientation))


@pytest.mark.parametrize(
    ("row", "unit", "expected"),
    [
        (sampled((96, 64), (96, 64)), "px", ["same"]),
        (sampled((192, 128), (96, 64)), "px", ["resized"]),
        (sampled((192, 128), (96, 64), boxes=FRACTIONS), "0-1", ["same"]),  # a scale moves no fractions
        (sampled((96, 64), (64, 96), 6), "px", ["turned"]),
        (sampled((96, 64), (64, 96), 6, FRACTIONS), "0-1", ["turned"]),
        (sampled((96, 64), (64, 96)), "px", ["exchanged"]),
        (sampled((3, 2), (96, 64), boxes=[[20.0, 20.0, 9.0, 9.0]]), "px", []),  # of what is in the picture, in metres
    ],
)
def test_how_rows_relate_to_their_pictures(row: SampledRow, unit: Any, expected: list[Relation]) -> None:
    assert [how for how, _ in compare([row], unit)] == expected


def write_turned(path: Path) -> None:
    """A picture of 96x64 pixels as stored, that is displayed as 64x96."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(draw_photo(1)[..., ::-1]).save(path, exif=exif)


def coco(folder: Path, *images: tuple[str, int, int], box: list[float]) -> str:
    """A COCO file of images (name, width, height), each with one box."""
    whole = {
        "images": [{"id": n, "file_name": name, "width": w, "height": h} for n, (name, w, h) in enumerate(images)],
        "annotations": [{"id": n, "image_id": n, "category_id": 1, "bbox": box} for n, _ in enumerate(images)],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (folder / "coco.json").write_text(json.dumps(whole))
    return str(folder / "coco.json")


def meta_of(folder: Path) -> list[dict[str, Any]]:
    return [row["meta_info"] for row in read_rows(folder / "out.jsonl")]


def test_boxes_of_another_size_stop_the_run_or_are_scaled(tmp_path: Path, run: Run) -> None:
    write_photo(tmp_path / "a.png", 1)
    source = coco(tmp_path, *[("a.png", 192, 128)] * 3, box=[20, 30, 40, 50])
    with pytest.raises(UsageError, match=r"3 of 3 sampled rows .* row 192x128, picture 96x64\..*--box-size row"):
        run(tmp_path, input=source)
    assert run(tmp_path, input=source, box_size="row").rows_out == 3
    meta = meta_of(tmp_path)[0]
    assert (meta["bbox"], meta["normalized_bbox"][0]) == ([[10, 15, 20, 25]], [0.104, 0.234, 0.312, 0.625])
    assert meta["warnings"] == []


def test_boxes_of_the_picture_as_stored_stop_the_run_or_are_turned(tmp_path: Path, run: Run) -> None:
    write_turned(tmp_path / "turned.png")
    source = coco(tmp_path, ("turned.png", 96, 64), box=[12, 16, 36, 40])
    with pytest.raises(UsageError, match=r"row 96x64, picture 64x96\. The EXIF orientation turns .*--box-size row"):
        run(tmp_path, input=source)
    assert run(tmp_path, input=source, box_size="row").rows_out == 1
    meta = meta_of(tmp_path)[0]
    assert (meta["width"], meta["height"]) == (64, 96)
    assert meta["bbox"] == [[64 - 16 - 40, 12, 40, 36]]


def test_exchanged_sizes_are_to_be_corrected(tmp_path: Path, run: Run) -> None:
    write_photo(tmp_path / "a.png", 1)
    rows = [{"image": "a.png", "bbox": [12, 16, 36, 40], "width": 64, "height": 96}]
    write_rows(tmp_path / "photos.jsonl", rows)
    for box_size in ("picture", "row"):
        with pytest.raises(UsageError, match="Width and height are exchanged"):
            run(tmp_path, box_size=box_size)
    assert run(tmp_path, box_check=False).rows_out == 1
    assert run(tmp_path, box_check=False, box_size="row", max_reject_share=1).rejects_by_code == {"bad_row": 1}


def test_single_rows_of_another_size_get_a_warning(tmp_path: Path, run: Run) -> None:
    write_photo(tmp_path / "a.png", 1)
    rows = [{"image": "a.png", "bbox": [12, 16, 36, 40], "image_width": 96, "image_height": 64} for _ in range(40)]
    rows[7] |= {"image_width": 192, "image_height": 128}
    write_rows(tmp_path / "photos.jsonl", rows)
    assert run(tmp_path).rows_out == 40
    warnings = [meta["warnings"] for meta in meta_of(tmp_path)]
    assert len(warnings.pop(7)) == 1
    assert warnings == [[]] * 39
    assert "a size of 192x128, its image has 96x64" in meta_of(tmp_path)[7]["warnings"][0]


def test_rows_that_tell_no_size_cannot_be_scaled(tmp_path: Path, run: Run) -> None:
    write_photo(tmp_path / "a.png", 1)
    rows: list[dict[str, Any]] = [{"image": "a.png", "bbox": [12, 16, 36, 40]} for _ in range(3)]
    write_rows(tmp_path / "photos.jsonl", rows)
    with pytest.raises(UsageError, match=r"expected rows that state the size .* but none of the first rows does"):
        run(tmp_path, box_size="row")
    rows[1] |= {"width": 96, "height": "64"}
    del rows[2]["bbox"]  # its regions are found
    write_rows(tmp_path / "photos.jsonl", rows)
    summary = run(tmp_path, box_size="row", max_reject_share=1)
    assert (summary.rows_out, summary.rejects_by_code) == (2, {"bad_row": 1})
    (reject,) = read_rows(tmp_path / "out.rejects.jsonl")
    assert "expected the size of its image as whole numbers `width` and `height`, got {}" in reject["message"]


def test_another_box_size_is_checked_again(tmp_path: Path, run: Run) -> None:
    write_photo(tmp_path / "a.png", 1)
    source = coco(tmp_path, ("a.png", 192, 128), box=[20, 30, 40, 50])
    assert run(tmp_path, input=source, box_size="row").rows_out == 1
    with pytest.raises(UsageError, match="--box-size row"):
        run(tmp_path, input=source)
