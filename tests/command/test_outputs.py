"""`regioncap report`, `export` and `sheet` as their users meet them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests.support.commands import call, environment
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run, config_of


def test_report_says_where_it_is(project: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(project)
    code, out, _ = call(capsys, "report", str(project / "out.jsonl"))
    assert code == 0
    assert "out.report.html: 6 of 6 rows" in out
    assert (project / "out.report.html").stat().st_size > 10_000


@pytest.mark.parametrize("command", [["report"], ["export", "--to", "csv"]])
@pytest.mark.parametrize("output", ["out.jsonl", "out/"])
def test_marked_pictures_that_are_gone_are_counted(
    project: Path, run: Run, capsys: pytest.CaptureFixture[str], command: list[str], output: str
) -> None:
    run(project, output=f"{project}/{output}")
    name, *more = command
    assert "marked pictures" not in call(capsys, name, f"{project}/{output}", *more)[2]
    pictures = sorted((project / "cache" / "marks").rglob("*.jpg"))
    pictures[0].unlink()
    pictures[1].write_bytes(b"")
    code, _, err = call(capsys, name, f"{project}/{output}", *more)
    assert code == 0
    assert "2 of the 6 marked pictures that the output names are gone; rerun the same command" in err


def test_report_of_two_runs(project: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(project)
    run(project, output=str(project / "other.jsonl"), max_boxes=1)
    out, other = str(project / "out.jsonl"), str(project / "other.jsonl")
    assert call(capsys, "report", out)[0] == 0
    page = (project / "out.report.html").read_bytes()
    assert call(capsys, "report", out, "--against", other)[0] == 0
    assert (project / "out.report.html").read_bytes() == page
    assert "other.jsonl" in (project / "out.against-other.report.html").read_text()
    (project / "b").mkdir()
    for name in ("out.jsonl", "out.rejects.jsonl", "out.summary.json"):
        (project / "b" / name).write_bytes((project / name).read_bytes())
    assert call(capsys, "report", out, "--against", str(project / "b" / "out.jsonl"))[0] == 0
    assert (project / "out.against-b-out.report.html").exists()
    assert call(capsys, "report", out, "--against", other, "--output", str(project / "c.html"))[0] == 0
    assert "other.jsonl" in (project / "c.html").read_text()


def test_report_of_chosen_rows(project: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(project)
    out = str(project / "out.jsonl")
    assert "3 of 3 rows" in call(capsys, "report", out, "--where", "type==with_bbox")[1]
    code, _, err = call(capsys, "report", out, "--where", "type==other")
    assert (code, "--where: no row satisfies all conditions" in err) == (2, True)
    code, _, err = call(capsys, "report", out, "--where", "flags==0", "--against", out)
    assert (code, "--where and --against: expected one of them" in err) == (2, True)


def test_report_of_parts(project: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(project, output=f"{project}/out/")
    assert call(capsys, "report", f"{project}/out")[0] == 0
    assert (project / "out.report.html").exists()


def test_report_of_a_run_that_is_not_finished(
    project: Path, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a run is between its shards and `write`, with one shard that is not captioned yet.
    rows = read_rows(project / "photos.jsonl")
    write_rows(project / "photos.jsonl", rows * 2)

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("regioncap.flows.region_caption.write", stop)
    with pytest.raises(KeyboardInterrupt):
        run(project, shard_size=4)
    assert not (project / "out.jsonl").exists()
    gone = sorted((project / "cache" / "regioncap_step6").glob("????????????????????????????????.json"))
    gone[0].unlink()
    args = [str(project / "out.jsonl"), "--cache-path", config_of(project).cache_path]
    code, _, err = call(capsys, "report", *args)
    assert code == 0, err
    page = (project / "out.report.html").read_text()
    assert "not finished: " in page
    assert " of 12 rows are done" in page
    assert "<img" in page


def test_what_is_no_output_is_reported(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = str(project / "gone.jsonl")
    code, _, err = call(capsys, "report", gone, "--cache-path", str(project / "cache"))
    assert (code, "there is no output of a run" in err, "--cache-path" in err) == (2, True, True)
    assert call(capsys, "export", gone, "--to", "csv")[0] == 2
    assert call(capsys, "sheet", gone, "a.jpg")[0] == 2
    assert call(capsys, "export", gone)[0] == 2
    assert "coco" in call(capsys, "export", gone, "--to", "yolo")[2]


def test_export_writes_beside_the_output_and_counts(
    project: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = run(project)
    code, out, _ = call(capsys, "export", str(project / "out.jsonl"), "--to", "coco")
    assert (code, out.splitlines()[-1]) == (0, f"6 rows, {summary.regions} regions")
    assert len(json.loads((project / "out.coco.json").read_text())["annotations"]) == summary.regions
    (project / "photo0.png").unlink()
    code, out, err = call(capsys, "export", str(project / "out.jsonl"), "--to", "wds")
    assert (code, "1 rows left out: image_missing" in err, out.splitlines()[-1][:6]) == (1, True, "5 rows")


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet.png", "sheet.webp"])
def test_sheet(project: Path, run: Run, capsys: pytest.CaptureFixture[str], name: str) -> None:
    run(project)
    picture = project / name
    code, out, _ = call(capsys, "sheet", str(project / "out.jsonl"), str(picture), "--rows", "4", "--width", "800")
    assert (code, out.strip()) == (0, f"{picture}: 4 pictures")
    sheet = cv2.imread(str(picture))
    assert sheet is not None
    assert sheet.shape[1] == 800


def test_sheets_that_cannot_be(project: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(project)
    output = str(project / "out.jsonl")
    assert "ends in .jpg, .png or .webp" in call(capsys, "sheet", output, "sheet.bmp")[2]
    assert "cannot be read as a font" in call(capsys, "sheet", output, "s.jpg", "--font", "/nowhere.ttf")[2]
    assert "no row has 'lable'" in call(capsys, "sheet", output, "s.jpg", "--where", "lable=x")[2]


def test_an_output_that_is_there_needs_no_prefect(project: Path, run: Run) -> None:
    run(project)
    look = (
        "import sys\nfrom regioncap.command.app import main\n"
        "try: main(['report', 'out.jsonl'])\n"
        "except SystemExit as end: print(end.code, 'prefect' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=project, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr
