"""The flow from end to end: what comes out, what is rejected and why, and how a run ends."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from regioncap.errors import RowsFailAlike, UsageError
from tests.support.photos import draw_photo, write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run, config_of

META_KEYS = [
    "type", "bbox", "normalized_bbox", "image_with_bbox", "valid_bboxes_num", "bbox_index", "dropped_bbox", "width",
    "height", "image_sha256", "prompt", "captioner", "model", "usage", "warnings",
]  # fmt: skip


def encoded(kind: str, image: np.ndarray | None = None) -> bytes:
    done, data = cv2.imencode(f".{kind}", draw_photo(1) if image is None else image)
    assert done
    return data.tobytes()


def pillow(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def rotated() -> bytes:
    photo = Image.fromarray(draw_photo(1)[..., ::-1])
    exif = Image.Exif()
    exif[0x0112] = 6  # shown rotated by 90 degrees: 96x64 in the file, 64x96 on screen
    return pillow(photo, "JPEG", exif=exif)


PHOTO = Image.fromarray(draw_photo(1)[..., ::-1])

GOOD_IMAGES = {
    "deep.png": encoded("png", draw_photo(1).astype(np.uint16) * 257),
    "alpha.png": pillow(PHOTO.convert("RGBA"), "PNG"),
    "cmyk.jpg": pillow(PHOTO.convert("CMYK"), "JPEG"),
    "palette.png": pillow(PHOTO.convert("P"), "PNG"),
    "rotated.jpg": rotated(),
}

BAD_ROWS: dict[str, tuple[Any, str]] = {
    "missing": ({"image": "not-there.png"}, "image_missing"),
    "no image": ({"bbox": [BOX]}, "bad_row"),
    "image null": ({"image": None}, "bad_row"),
    "text": ({"image": "text.png"}, "image_unreadable"),
    "empty file": ({"image": "empty.png"}, "image_unreadable"),
    "cut jpeg": ({"image": "cut.jpg", "bbox": [BOX]}, "image_unreadable"),
    "cut png": ({"image": "cut.png", "bbox": [BOX]}, "image_unreadable"),
    "folder": ({"image": "folder"}, "image_unreadable"),
    "scheme": ({"image": "nosuch://a/b.png"}, "image_missing"),
    "1x1": ({"image": "one.png"}, "no_regions"),
    "empty list": ({"image": "good.png", "bbox": []}, "no_boxes"),
    "outside": ({"image": "good.png", "bbox": [[500, 500, 10, 10]]}, "no_valid_boxes"),
    "no area": ({"image": "good.png", "bbox": [[1, 1, 0, 9]]}, "no_valid_boxes"),
    "nan": ('{"image": "good.png", "bbox": [[NaN, 1, 5, 5]]}', "no_valid_boxes"),
    "strings": ({"image": "good.png", "bbox": [["1", "2", "3", "4"]]}, "bad_bbox"),
    "three numbers": ({"image": "good.png", "bbox": [[1, 2, 3]]}, "bad_bbox"),
    "broken json": ('{"image": "good.png", ', "bad_json"),
    "binary": ("\x00\x01\x02", "bad_json"),
    "bare list": ('["good.png"]', "bad_row"),
    "bomb": ({"image": "bomb.png"}, "image_too_large"),
}


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A folder with one good photo and every kind of bad one."""
    write_photo(tmp_path / "good.png", 1)
    jpeg, png = encoded("jpg"), encoded("png")
    contents = {
        "text.png": b"not an image at all", "empty.png": b"", "cut.jpg": jpeg[: len(jpeg) // 2],
        "cut.png": png[: len(png) // 2], "one.png": encoded("png", np.zeros((1, 1, 3), np.uint8)),
        "bomb.png": pillow(Image.new("1", (20_000, 20_000)), "PNG"),
    }  # fmt: skip
    for name, data in (contents | GOOD_IMAGES).items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder").mkdir()
    return tmp_path


def test_every_bad_row_is_rejected_with_its_code_and_stops_no_other(zoo: Path, run: Run) -> None:
    good = {"image": "good.png", "bbox": [BOX], "n": 7}
    write_rows(zoo / "photos.jsonl", [row for bad, _ in BAD_ROWS.values() for row in (bad, good)])
    summary = run(zoo, max_reject_share=0.9)
    rejects = read_rows(zoo / "out.rejects.jsonl")
    assert {name: code for name, (_, code) in BAD_ROWS.items()} == dict(
        zip(BAD_ROWS, [reject["code"] for reject in rejects], strict=True)
    )
    assert [reject["line"] for reject in rejects] == list(range(1, 2 * len(BAD_ROWS), 2))
    assert all(reject["message"].startswith(f"line {reject['line']}: ") for reject in rejects)
    assert (summary.rows_in, summary.rows_out) == (2 * len(BAD_ROWS), len(BAD_ROWS))


def test_a_reject_keeps_the_row_as_it_came(zoo: Path, run: Run) -> None:
    write_rows(zoo / "photos.jsonl", [{"image": "not-there.png", "id": "007", "x": 10**30}, '{"image', "[1, 2]"])
    run(zoo)
    rejects = read_rows(zoo / "out.incomplete.rejects.jsonl")
    assert rejects[0]["row"] == {"image": "not-there.png", "id": "007", "x": 10**30}
    assert [reject["row"] for reject in rejects[1:]] == ['{"image', "[1, 2]"]
    assert all({"line", "row", "step", "code", "message"} <= reject.keys() for reject in rejects)


@pytest.mark.parametrize("name", GOOD_IMAGES)
def test_every_kind_of_image_is_captioned(zoo: Path, run: Run, name: str) -> None:
    write_rows(zoo / "photos.jsonl", [{"image": name, "bbox": [BOX]}])
    assert run(zoo).rejects_by_code == {}
    meta = read_rows(zoo / "out.jsonl")[0]["meta_info"]
    assert (meta["width"], meta["height"]) == ((64, 96) if name == "rotated.jpg" else (96, 64))


BOX_CASES = {
    "flat": ([12, 16, 36, 40], {}, [[12, 16, 36, 40]]),
    "xyxy": ([[12, 16, 48, 56]], {"bbox_format": "xyxy"}, [[12, 16, 36, 40]]),
    "cxcywh": ([[30, 36, 36, 40]], {"bbox_format": "cxcywh"}, [[12, 16, 36, 40]]),
    "parts": ([[0.125, 0.25, 0.375, 0.625]], {"bbox_unit": "0-1"}, [[12, 16, 36, 40]]),
    "thousandths": ([[125, 250, 375, 625]], {"bbox_unit": "0-1000"}, [[12, 16, 36, 40]]),
    "negative": ([[-10, -10, 30, 30]], {}, [[-10, -10, 30, 30]]),
}


@pytest.mark.parametrize("name", BOX_CASES)
def test_boxes_in_every_form(zoo: Path, run: Run, name: str) -> None:
    given, settings, expected = BOX_CASES[name]
    write_rows(zoo / "photos.jsonl", [{"image": "good.png", "bbox": given}])
    run(zoo, **settings)
    meta = read_rows(zoo / "out.jsonl")[0]["meta_info"]
    assert meta["bbox"] == pytest.approx(np.array(expected)) if settings else meta["bbox"] == expected
    assert all(0 <= edge <= 1 for box in meta["normalized_bbox"] for edge in box)


def test_fifty_boxes_keep_the_first_and_name_the_rest(zoo: Path, run: Run) -> None:
    write_rows(zoo / "photos.jsonl", [{"image": "good.png", "bbox": [[n, n, 9, 9] for n in range(50)]}])
    summary = run(zoo, max_boxes=10)
    meta = read_rows(zoo / "out.jsonl")[0]["meta_info"]
    assert meta["bbox_index"] == list(range(10))
    assert (summary.regions, summary.boxes_dropped, summary.boxes_in) == (10, {"over_max_boxes": 40}, 50)


def test_the_documented_example(tmp_path: Path, run: Run) -> None:
    (tmp_path / "big.png").write_bytes(encoded("png", np.full((832, 1537, 3), 90, np.uint8)))
    write_rows(tmp_path / "photos.jsonl", [{"image": "big.png", "bbox": [[196, 104, 310, 495]]}])
    run(tmp_path, max_boxes=10)
    meta = read_rows(tmp_path / "out.jsonl")[0]["meta_info"]
    assert meta["normalized_bbox"] == [[0.128, 0.125, 0.329, 0.72]] + [[0.0, 0.0, 0.0, 0.0]] * 9
    assert meta["valid_bboxes_num"] == 1


def test_an_output_row_holds_the_contract(project: Path, run: Run) -> None:
    run(project)
    row = read_rows(project / "out.jsonl")[1]
    assert list(row) == ["image", "id", "bbox", "mdvp_record", "meta_info"]
    assert list(row["meta_info"]) == META_KEYS
    assert row["id"] == "001"
    assert [text.split(" ")[0] for text in row["mdvp_record"]] == ["<region1>"]
    assert (project / row["meta_info"]["image_with_bbox"]).is_file()


def test_every_region_has_its_caption_in_order(project: Path, run: Run) -> None:
    run(project, max_boxes=10)
    for row in read_rows(project / "out.jsonl"):
        meta = row["meta_info"]
        assert len(row["mdvp_record"]) == len(meta["bbox"]) == len(meta["bbox_index"]) == meta["valid_bboxes_num"] > 0
        assert [text.startswith(f"<region{n}> ") for n, text in enumerate(row["mdvp_record"], 1)].count(False) == 0


def test_joined_records_and_no_pictures(project: Path, run: Run) -> None:
    run(project, record_style="joined", draw_visualization=False)
    row = read_rows(project / "out.jsonl")[0]
    assert len(row["mdvp_record"]) == 1
    assert row["meta_info"]["image_with_bbox"] == ""
    assert not list((project / "cache").glob("marks/**/*.jpg"))


def test_keys_of_the_input_are_replaced_and_counted(zoo: Path, run: Run) -> None:
    write_rows(zoo / "photos.jsonl", [{"image": "good.png", "bbox": [BOX], "meta_info": "mine", "mdvp_record": 1}])
    assert run(zoo).keys_replaced == {"mdvp_record": 1, "meta_info": 1}
    assert isinstance(read_rows(zoo / "out.jsonl")[0]["meta_info"], dict)


def test_summary_holds_what_it_promises(project: Path, run: Run) -> None:
    run(project)
    summary = json.loads((project / "out.summary.json").read_text())
    promised = {
        "rows_in", "rows_out", "rejects", "rejects_by_code", "regions", "captions_asked", "captions_reused",
        "step_seconds", "captioner", "model", "config", "versions",
    }  # fmt: skip
    assert promised <= summary.keys()
    assert summary["rows_in"] == summary["rows_out"] + summary["rejects"] == 6


def test_every_run_leaves_a_line_of_its_bill(project: Path, run: Run) -> None:
    run(project)
    run(project)
    lines = read_rows(project / "out.runs.jsonl")
    assert [line["outcome"] for line in lines] == ["complete", "complete"]
    assert lines[0]["captions_asked"] > lines[1]["captions_asked"] == 0


def test_too_many_rejects_leave_the_earlier_output(project: Path, run: Run) -> None:
    run(project)
    before = (project / "out.jsonl").read_bytes()
    rows = [{"image": "photo1.png", "bbox": [BOX]}] + [{"image": f"gone{n}.png"} for n in range(5)]
    write_rows(project / "photos.jsonl", rows)
    summary = run(project)
    assert (summary.complete, summary.ok) == (False, False)
    assert (project / "out.jsonl").read_bytes() == before
    assert len(read_rows(project / "out.incomplete.jsonl")) == 1


def test_a_complete_run_takes_the_incomplete_files_away(project: Path, run: Run) -> None:
    rows = [{"image": f"gone{n}.png"} for n in range(5)]
    write_rows(project / "bad.jsonl", rows)
    run(project, input=str(project / "bad.jsonl"))
    assert (project / "out.incomplete.rejects.jsonl").is_file()
    run(project)
    assert not list(project.glob("out.incomplete.*"))


def test_rows_that_all_fail_alike_stop_the_run_early(project: Path, run: Run) -> None:
    write_rows(project / "photos.jsonl", [{"image": f"gone{n}.png"} for n in range(3000)])
    with pytest.raises(RowsFailAlike, match=r"image_missing: .*gone0.png is not there"):
        run(project)
    assert not (project / "out.jsonl").exists()
    assert read_rows(project / "out.runs.jsonl")[0]["outcome"] == "stopped"


def test_a_missing_input_is_named(tmp_path: Path, run: Run) -> None:
    with pytest.raises(UsageError, match=r"photos\.jsonl"):
        run(tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_empty_input_replaces_nothing(project: Path, run: Run) -> None:
    run(project)
    before = (project / "out.jsonl").read_bytes()
    (project / "photos.jsonl").write_text("")
    summary = run(project)
    assert summary.problem == "the input has no rows"
    assert (project / "out.jsonl").read_bytes() == before


def test_cut_gzip_stops_before_write_and_names_the_place(project: Path, run: Run) -> None:
    import gzip

    from regioncap.errors import InputDamaged

    run(project)
    before = (project / "out.jsonl").read_bytes()
    whole = gzip.compress((project / "photos.jsonl").read_bytes() * 400)
    (project / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputDamaged, match="line"):
        run(project, input=str(project / "cut.jsonl.gz"))
    assert (project / "out.jsonl").read_bytes() == before


def test_many_shards_keep_the_order_of_the_input(tmp_path: Path, run: Run) -> None:
    photo = write_photo(tmp_path / "p.png", 1)
    write_rows(tmp_path / "photos.jsonl", [{"image": photo.name, "bbox": [BOX], "n": n} for n in range(200)])
    summary = run(tmp_path, shard_size=16)
    assert [row["n"] for row in read_rows(tmp_path / "out.jsonl")] == list(range(200))
    assert summary.rows_out == 200


def test_memory_filesystem_for_everything(run: Run) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    data = base64.b64encode(encoded("png")).decode()
    memory.pipe_file("/flow/in.jsonl", json.dumps({"image": "p.png", "bbox": [BOX]}).encode() + b"\n")
    memory.pipe_file("/flow/p.png", base64.b64decode(data))
    places = {name: f"memory://flow/{name}" for name in ("in.jsonl", "out.jsonl", "cache")}
    changes = {"input": places["in.jsonl"], "output": places["out.jsonl"], "cache_path": places["cache"]}
    try:
        summary = run(Path("unused"), **changes)
        row = json.loads(memory.cat_file("/flow/out.jsonl"))
        assert summary.rows_out == 1
        assert memory.exists(row["meta_info"]["image_with_bbox"])
    finally:
        memory.rm("/flow", recursive=True)


def test_a_config_survives_the_way_through_json(project: Path) -> None:
    config = config_of(project)
    assert type(config).model_validate(json.loads(config.model_dump_json())) == config
