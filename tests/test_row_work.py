"""One row never stops another: each hook where a row is worked on throws once, and that costs one row."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regioncap.command.try_row import try_row
from regioncap.errors import CaptionerError, RowReject, UsageError
from regioncap.exports.export import ExportRequest, export
from regioncap.output.reading import open_output
from regioncap.records import QUOTED_CHARS
from regioncap.report.contact_sheet import sheet_of
from regioncap.report.report import report_of
from regioncap.row_work import guarded, row_work
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Filesystems, Place
from regioncap.tasks.extract import extract_row
from tests.support.outputs import Make, output_row
from tests.support.photos import write_photo
from tests.support.rows import BOX, write_rows
from tests.support.runs import config_of
from tests.support.steps import Made, make_all

DATA = "x" * 5000
SAID = f"token=hush-hush-hush {DATA}"
Break = Callable[[str], None]


@pytest.fixture
def break_once(monkeypatch: pytest.MonkeyPatch) -> Break:
    """`break_once("module.name")`: the second call of that function raises what quotes much of a row."""

    def once(target: str) -> None:
        original, calls = resolve_name(target), itertools.count(1)

        def broken(*args: Any, **more: Any) -> Any:
            if next(calls) == 2:
                raise ZeroDivisionError(SAID)
            return original(*args, **more)

        monkeypatch.setattr(target, broken)

    return once


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A folder with `photos.jsonl` of three rows with boxes, and their photos."""
    for number in range(3):
        write_photo(tmp_path / f"p{number}.png", number)
    write_rows(tmp_path / "photos.jsonl", [{"image": f"p{number}.png", "bbox": [BOX]} for number in range(3)])
    return tmp_path


def made_of(folder: Path, **settings: Any) -> Made:
    with closing(RunContext(config_of(folder, **settings))) as context:
        return make_all(context)


# --- steps


@pytest.mark.parametrize(
    ("step", "hook"),
    [
        ("load", "regioncap.tasks.load.loads_given"),
        ("route", "regioncap.tasks.route.boxes_at"),
        ("extract", "regioncap.tasks.extract.extract_row"),
        ("extract", "regioncap.tasks.extract.Picture"),
        ("normalize", "regioncap.tasks.normalize.normalize_boxes"),
        ("visualize", "regioncap.tasks.draw_row.draw_marks"),
        ("caption", "regioncap.tasks.caption.ask"),
        ("caption", "regioncap.tasks.caption.finish"),
        ("write", "regioncap.output.join.flags_of"),
        ("write", "regioncap.output.jsonl.RowFormat.captioned"),
    ],
)
def test_a_hook_of_a_step_that_throws_costs_one_row(
    step: str, hook: str, three: Path, break_once: Break, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    logging.getLogger("regioncap").propagate = True
    # The checks before the steps are hooks of their own, below.
    monkeypatch.setattr("tests.support.steps.check_box_format", lambda *_: None)
    monkeypatch.setattr("tests.support.steps.count", lambda *_: None)
    break_once(hook)
    made = made_of(three)
    (reject,) = made.rejects
    assert (reject["step"], reject["code"], len(made.rows)) == (step, "internal_error", 2)
    assert "ZeroDivisionError: token=***" in reject["message"]
    assert "in broken" in caplog.text  # where it arose
    for told in (reject["message"], caplog.text):
        assert "x" * (QUOTED_CHARS + 1) not in told
        assert "hush" not in told


def test_a_row_that_cannot_be_written_to_its_step_is_a_reject(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(row: dict[str, Any], *more: Any) -> dict[str, Any]:
        deep: list[Any] = []
        for _ in range(5000):
            deep = [deep]
        return extract_row(row, *more) | ({"more": deep} if row["image"] == "p1.png" else {})

    monkeypatch.setattr("regioncap.tasks.extract.extract_row", found)
    made = made_of(three)
    (reject,) = made.rejects
    assert (reject["step"], reject["code"], reject["row"]["image"]) == ("extract", "internal_error", "p1.png")
    assert len(made.rows) == 2


# --- what is looked at before a run, and by `try`


@pytest.mark.parametrize(
    "hook",
    [
        "regioncap.preflight.box_sample.boxes_at",
        "regioncap.preflight.box_sample.Picture",
        "regioncap.preflight.plan.route_row",
        "regioncap.preflight.plan.read_info",
    ],
)
def test_a_hook_of_a_check_that_throws_costs_nothing(hook: str, three: Path, break_once: Break) -> None:
    break_once(hook)
    made = made_of(three)
    assert (len(made.rows), made.rejects, made.plan.rows) == (3, [], 3)


def test_try_says_what_a_row_hit(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regioncap.command.try_row.extract_row", lambda *_, **__: 1 // 0)
    said: list[str] = []
    assert try_row(config_of(three), 1, said.append) is False
    assert said[-1].startswith("rejected     internal_error: ZeroDivisionError: ")


# --- readers that put rows together


def _per_box(folder: Path) -> dict[str, Any]:
    lines = [f"p{number}.png,1,2,30,40" for number in range(3)]
    (folder / "in.csv").write_text("\n".join(["image,x,y,w,h", *lines]) + "\n")
    return {"input": str(folder / "in.csv"), "rows": "per_box", "bbox_key": "x,y,w,h"}


def _coco(folder: Path) -> dict[str, Any]:
    images = [{"id": number, "file_name": f"p{number}.png"} for number in range(3)]
    annotations = [{"id": number, "image_id": number, "bbox": BOX} for number in range(3)]
    (folder / "in.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return {"input": str(folder / "in.json")}


def _parquet(folder: Path) -> dict[str, Any]:
    rows = [{"image": f"p{number}.png", "bbox": [BOX]} for number in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "in.parquet")
    return {"input": str(folder / "in.parquet")}


@pytest.mark.parametrize(
    ("source", "hook"),
    [
        (_per_box, "regioncap.inputs.per_box.PerBoxTable._joined"),
        (_coco, "regioncap.inputs.coco.CocoFile._row"),
        (_parquet, "regioncap.inputs.parquet.jsonable"),
    ],
    ids=["per box", "coco", "parquet"],
)
def test_a_reader_that_throws_costs_one_row(
    source: Callable[[Path], dict[str, Any]], hook: str, three: Path, break_once: Break
) -> None:
    settings = source(three)
    with closing(RunContext(config_of(three, **settings))) as context:
        break_once(hook)
        (shard,) = context.shards()
    assert [text.startswith(b"\0not a row: internal_error: ZeroDivisionError: ") for _, text in shard.lines] == [
        False, True, False,
    ]  # fmt: skip


# --- what is made of an output


@pytest.fixture
def output(tmp_path: Path, make_output: Make) -> Path:
    for number in range(3):
        write_photo(tmp_path / f"p{number}.png", number)
    fields = {"region_fields": {"label": ["cat"]}}
    return make_output([output_row(f"p{n}.png", ["A cat."], id=n, meta=fields) for n in range(3)])


@pytest.mark.parametrize(
    ("to", "hook"),
    [
        ("coco", "regioncap.exports.coco._annotations"),
        ("llava", "regioncap.exports.llava._conversation"),
        ("csv", "regioncap.exports.csv_table._region"),
        ("parquet", "regioncap.exports.parquet._row"),
        ("wds", "regioncap.exports.wds._metadata"),
        ("wds", "regioncap.exports.with_images.read_info"),
        ("hf", "regioncap.exports.hf._path_of"),
    ],
)
def test_an_export_that_throws_leaves_one_row_out(to: str, hook: str, output: Path, break_once: Break) -> None:
    break_once(hook)
    done = export(open_output(str(output), Filesystems()), ExportRequest(to), Filesystems())
    assert (done.rows, dict(done.left_out)) == (2, {"internal_error": 1})


@pytest.mark.parametrize(
    ("to", "hook"),
    [
        ("csv", "regioncap.exports.columns.kind_of"),
        ("parquet", "regioncap.exports.columns.kind_of"),
        ("coco", "regioncap.exports.coco._number"),
    ],
)
def test_a_look_before_an_export_that_throws_costs_nothing(to: str, hook: str, output: Path, break_once: Break) -> None:
    break_once(hook)
    done = export(open_output(str(output), Filesystems()), ExportRequest(to), Filesystems())
    assert (done.rows, dict(done.left_out)) == (3, {})


@pytest.mark.parametrize(
    ("hook", "named"),
    [
        ("regioncap.report.report.card_of", 1),
        ("regioncap.report.card_picture.thumb_of", 1),
        ("regioncap.report.report.sample_row", 0),
        ("regioncap.report.selection.Overview.add", 0),
    ],
)
def test_a_report_says_which_card_could_not_be_made(hook: str, named: int, output: Path, break_once: Break) -> None:
    break_once(hook)
    done = report_of(open_output(str(output), Filesystems()), Filesystems())
    assert Path(done.place.address).read_text().count("<article") == 3
    assert ("ZeroDivisionError" in Path(done.place.address).read_text()) == bool(named)


@pytest.mark.parametrize("hook", ["regioncap.report.compare._key", "regioncap.report.report.change_of_row"])
def test_a_comparison_that_throws_costs_one_row_of_it(hook: str, output: Path, break_once: Break) -> None:
    break_once(hook)
    written = open_output(str(output), Filesystems())
    done = report_of(written, Filesystems(), against=written)
    assert Path(done.place.address).read_text().count("<article") == 3


def test_a_condition_that_throws_chooses_all_rows_but_one(output: Path, break_once: Break) -> None:
    break_once("regioncap.output.where.value_at")
    done = export(open_output(str(output), Filesystems()), ExportRequest("llava", where=["id>=0"]), Filesystems())
    assert done.rows == 2


def test_lines_that_are_no_rows_of_an_output_are_refused(output: Path) -> None:
    for line in ("[1, 2]", '"text"', json.dumps({"image": "p.png", "mdvp_record": [], "meta_info": {"bbox": []}})):
        output.write_text(line + "\n")
        with pytest.raises(UsageError, match=r"out\.jsonl (line|row) 1: "):
            export(open_output(str(output), Filesystems()), ExportRequest("llava"), Filesystems())


def test_a_sheet_lacks_a_picture_that_throws(output: Path, break_once: Break) -> None:
    break_once("regioncap.report.contact_sheet.draw_marks")
    sheet = Place(str(output.with_name("sheet.jpg")))
    assert sheet_of(open_output(str(output), Filesystems()), Filesystems(), sheet, rows=3) == 3


# --- the guard itself


def test_what_concerns_more_than_the_row_is_not_held_back() -> None:
    with pytest.raises(CaptionerError), row_work("caption"):
        raise CaptionerError("all is lost")
    with pytest.raises(KeyboardInterrupt):
        guarded("caption", partial(_raise, KeyboardInterrupt()), {})


def test_a_reject_stays_what_it_is() -> None:
    reject = guarded("route", partial(_raise, RowReject("no_boxes", "none")), {"line": 3})
    assert reject == {"reject": {"step": "route", "code": "no_boxes", "message": "none"}}


def _raise(error: BaseException, _: Any) -> Any:
    raise error
