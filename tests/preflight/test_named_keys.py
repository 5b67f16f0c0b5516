"""A key that the settings name and that no row has is refused before the run."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from regioncap.command.app import main
from regioncap.errors import UsageError
from regioncap.preflight.first_rows import MAX_ROWS, FirstRows
from regioncap.preflight.named_keys import check_named_keys
from regioncap.run.context import RunContext, completed
from tests.support.photos import write_photo
from tests.support.rows import BOX, write_rows
from tests.support.runs import config_of

MODEL = {"captioner": "openai", "model": "m", "endpoint": "http://127.0.0.1:1/v1"}
ROW = {"image": "a.png", "boxes": [BOX], "title": "x", "objects": {"score": [0.5], "label": ["cat"]}}
COCO = {
    "images": [{"id": 1, "file_name": "a.png"}],
    "annotations": [{"image_id": 1, "bbox": BOX}, {"image_id": 1, "bbox": BOX, "attributes": {"colour": "red"}}],
}


def check(folder: Path, written: list[Any] | None = None, **settings: Any) -> None:
    """Check the named keys on rows that are `written` now, or on the input that the settings name."""
    if written is not None:
        write_rows(folder / "photos.jsonl", written)
    config = completed(config_of(folder, **settings))
    with closing(RunContext(config)) as context:
        check_named_keys(config, FirstRows(context))


WRONG = [
    ({"bbox_key": "boxs"}, r"bbox_key: no row has the key 'boxs'; did you mean 'boxes'\? The rows have: image, boxes"),
    ({"image_key": "img"}, r"image_key: no row has the key 'img'; did you mean 'image'\?"),
    ({"score_key": "object.score"}, r"score_key: .* 'object.score'; did you mean 'objects.score'\?"),
    ({"score_key": "objects.scor", "box_order": "score"}, r"did you mean 'objects.score'\?"),
    ({"region_fields": ["objects.label", "labl"]}, r"region_fields: .* 'labl'; did you mean 'objects.label'\?"),
    ({**MODEL, "prompt": "{titel}: {num_regions}"}, r"prompt: no row has the key 'titel'; did you mean 'title'\?"),
    ({**MODEL, "system_prompt": "{objects.lable}"}, r"prompt: .* 'objects.lable'; did you mean 'objects.label'\?"),
    ({**MODEL, "prompt": "{title.__class__}"}, "prompt: no row has the key 'title.__class__'"),
    (
        {**MODEL, "region_prompt": "{n} at {box}"},
        r"region_prompt: .* 'box'; \{box\} is filled in where coordinates are",
    ),
    (
        {**MODEL, "coordinates": "px", "prompt": "{regions} {box}", "region_prompt": "{n} {box}"},
        r"prompt: .* 'box'; \{box\} is filled in only in region_prompt",
    ),
    ({**MODEL, "prompt": "Of {n}"}, r"prompt: .* 'n'; \{n\} is filled in only in focal_prompt and region_prompt"),
    ({"bbox_key": "zzz"}, "bbox_key: no row has the key 'zzz'; the rows have: image, boxes, title, objects"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_a_key_that_no_row_has_is_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(tmp_path, [ROW, "no json", ROW], **settings)
    with pytest.raises(UsageError):  # certain, whatever the rows look like
        check(tmp_path, [ROW], **settings, box_check=False)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bbox_key": "boxes", "score_key": "objects.score", "region_fields": ["objects.label"]},
        {**MODEL, "prompt": "{title} {objects.label} {num_regions} {regions}"},
        {"bbox_key": "rare", "image_key": "objects.picture"},
    ],
)
def test_keys_that_one_row_has_are_accepted(tmp_path: Path, settings: dict[str, Any]) -> None:
    check(tmp_path, [ROW] * 500 + [{"image": "a.png", "rare": None, "objects": {"picture": "b.png"}}], **settings)


def test_an_input_without_any_row_says_nothing_about_keys(tmp_path: Path) -> None:
    check(tmp_path, ["no json", [1]], bbox_key="boxes")


def test_of_a_large_input_the_first_rows_decide_unless_they_may_not(tmp_path: Path) -> None:
    rows = [{"image": "a.png"}] * MAX_ROWS + [{"image": "a.png", "boxes": [BOX]}] * 500
    with pytest.raises(UsageError, match=r"none of the first 1,000 rows has the key 'boxes'.*Set --no-box-check if"):
        check(tmp_path, rows, bbox_key="boxes", shard_size=100)
    check(tmp_path, None, bbox_key="boxes", shard_size=100, box_check=False)
    check(tmp_path, rows[1:], bbox_key="boxes", shard_size=100)
    with pytest.raises(UsageError, match="no row has the key 'boxes'"):
        check(tmp_path, None, bbox_key="boxes", limit=900, box_check=False)


def test_keys_that_the_reader_makes_are_there(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    write_photo(tmp_path / "photos" / "a.png", 1)
    check(tmp_path, input=str(tmp_path / "photos"), image_key="picture")
    (tmp_path / "c.json").write_text(json.dumps(COCO))
    check(tmp_path, input=str(tmp_path / "c.json"), image_key="picture", bbox_key="boxes", region_fields=["area"])
    (tmp_path / "t.csv").write_text("file,x1,y1,x2,y2,label\na.png,1,2,3,4,cat\n")
    table: dict[str, Any] = {
        "input": str(tmp_path / "t.csv"),
        "rows": "per_box",
        "bbox_key": "x1,y1,x2,y2",
        "image_key": "file",
    }
    check(tmp_path, **table, region_fields=["label"])
    with pytest.raises(UsageError, match=r"region_fields: .*t\.csv has no column 'lable'; did you mean 'label'\?"):
        check(tmp_path, **table, region_fields=["lable"])
    with pytest.raises(UsageError, match=r"bbox_key: .*t\.csv has no column 'y1x'; did you mean 'y1'\?"):
        check(tmp_path, **{**table, "bbox_key": "x1,y1x,x2,y2"})


def test_a_key_that_no_annotation_of_coco_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(COCO))
    check(tmp_path, input=str(tmp_path / "c.json"), region_fields=["attributes.colour"])
    with pytest.raises(UsageError, match=r"region_fields: no annotation of .*c\.json has .* mean 'attributes\.colour'"):
        check(tmp_path, input=str(tmp_path / "c.json"), region_fields=["attributes.color"])


def test_the_command_ends_before_prefect_with_the_code_of_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(tmp_path / "in.jsonl", [ROW])
    where = [f"--output={tmp_path / 'o.jsonl'}", f"--cache-path={tmp_path / 'cache'}", "--captioner=pixels"]
    for command in ("run", "plan", "try"):
        with pytest.raises(SystemExit) as ended:
            main([command, str(tmp_path / "in.jsonl"), *where, "--bbox-key=boxs"])
        assert ended.value.code == 2
        assert "did you mean 'boxes'?" in capsys.readouterr().err
    assert not (tmp_path / "o.jsonl").exists()
