"""Runs on rows that hold their images: as on rows that name files, and the bytes go into no step file."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.command.app import app
from regioncap.exports.export import ExportRequest, export
from regioncap.output.pictures import Pictures
from regioncap.output.reading import open_output
from regioncap.storage.filesystem import Filesystems, Place
from tests.support.commands import call
from tests.support.inline_rows import base64_of, data_uri, forms_of, photo_file
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run

PHOTOS = [photo_file(seed) for seed in range(4)]


def inline_rows() -> list[dict[str, Any]]:
    values = [list(forms_of(photo).values()) for photo in PHOTOS]
    images = [values[0][0], base64_of(PHOTOS[1]), {"bytes": base64_of(PHOTOS[2]), "path": "c.png"}, values[3][6]]
    return [
        {"image": image, "id": place} | ({"bbox": [BOX]} if place % 2 else {}) for place, image in enumerate(images)
    ]


@pytest.fixture
def inline(tmp_path: Path) -> Path:
    """A folder with `photos.jsonl` of four rows that hold their images."""
    write_rows(tmp_path / "photos.jsonl", inline_rows())
    return tmp_path


def files_of(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in folder.rglob("*") if path.is_file()}


def test_they_are_captioned_as_files_are(inline: Path, run: Run) -> None:
    for place, photo in enumerate(PHOTOS):
        (inline / f"{place}.png").write_bytes(photo)
    rows = [{**row, "image": f"{place}.png"} for place, row in enumerate(inline_rows())]
    named = write_rows(inline / "named.jsonl", rows)
    run(inline)
    run(inline, input=str(named), output=str(inline / "named.out.jsonl"))
    ours, theirs = read_rows(inline / "out.jsonl"), read_rows(inline / "named.out.jsonl")
    assert [{**row, "image": ""} for row in ours] == [{**row, "image": ""} for row in theirs]
    assert len(ours) == 4


def test_the_bytes_go_into_no_step_file_and_no_output(inline: Path, run: Run) -> None:
    run(inline, report=True)
    pieces = [base64.b64encode(photo)[40:80] for photo in PHOTOS]
    for path in (inline / "cache").rglob("*.json*"):
        assert not [piece for piece in pieces if piece in path.read_bytes()], path
    assert not [piece for piece in pieces if piece in (inline / "out.jsonl").read_bytes()]
    page = (inline / "out.report.html").read_text(encoding="utf-8")
    assert ("c.png</" in page, "image/png " in page, ";sha256=" in page) == (True, True, False)
    kept = files_of(inline / "cache" / "images")
    assert sorted(path.read_bytes() for path in kept.values()) == sorted(PHOTOS)
    assert {row["image"].rpartition("=")[2] for row in read_rows(inline / "out.jsonl")} == set(kept)


def test_a_second_run_reads_and_writes_no_image(inline: Path, run: Run) -> None:
    run(inline)
    for path in files_of(inline / "cache" / "images").values():
        path.unlink()
    again = run(inline)
    assert (again.captions_reused, files_of(inline / "cache" / "images")) == (again.regions, {})
    changed = run(inline, max_boxes=2)  # reads them again, so they are put there again
    assert (changed.rows_out, len(files_of(inline / "cache" / "images"))) == (4, 4)


def test_a_changed_image_is_captioned_again(inline: Path, run: Run) -> None:
    run(inline)
    rows = inline_rows()
    write_rows(inline / "photos.jsonl", [{**rows[0], "image": data_uri(photo_file(9))}, *rows[1:]])
    before, after = read_rows(inline / "out.jsonl"), (run(inline), read_rows(inline / "out.jsonl"))[1]
    assert [one["image"] == other["image"] for one, other in zip(before, after, strict=True)] == [
        False,
        True,
        True,
        True,
    ]


def test_what_is_no_picture_is_one_reject(inline: Path, run: Run) -> None:
    rows = inline_rows()
    bad = [data_uri(PHOTOS[0])[:-7] + "!", data_uri(b"hello", "data:text/plain;base64,"), data_uri(PHOTOS[0][:300]),
           "data:image/png;base64"]  # fmt: skip
    write_rows(inline / "photos.jsonl", [*rows, *({"image": image} for image in bad)])
    summary = run(inline)
    assert (summary.rows_in, summary.rows_out, summary.rejects_by_code) == (8, 4, {"image_unreadable": 4})
    messages = [reject["message"] for reject in read_rows(inline / "out.rejects.jsonl")]
    assert "cannot be decoded" in messages[0]
    assert "not an image: 5 bytes, text" in messages[1]
    assert max(map(len, messages)) < 300


def test_pictures_and_exports_find_them_from_anywhere(
    inline: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(inline)
    run(inline, input="photos.jsonl", output="out.jsonl", cache_path="cache")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    written = open_output(str(inline / "out.jsonl"), Filesystems())
    pictures = Pictures(written, Filesystems())
    assert [pictures.read(row.ref) for row in written.rows()] == PHOTOS
    assert export(written, ExportRequest("wds"), Filesystems()).rows == 4
    (inline / "cache").rename(inline / "moved")
    lost = export(open_output(str(inline / "out.jsonl"), Filesystems()), ExportRequest("wds"), Filesystems())
    assert lost.left_out == {"image_unavailable": 4}
    found = open_output(str(inline / "out.jsonl"), Filesystems(), cache_path=str(inline / "moved"))
    assert export(found, ExportRequest("wds"), Filesystems()).rows == 4


@pytest.mark.parametrize("mode", ["marks", "focal"])
def test_a_model_sees_them(inline: Path, run: Run, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    with RunningServer(Behaviour(latency=0.0)) as server:
        summary = run(inline, captioner="openai", model="fake-vlm", endpoint=server.url, prompt_mode=mode)
    assert (summary.rows_out, summary.rejects) == (4, 0)
    assert "image: 1 of 4 rows at the beginning hold their image as base64 text" in caplog.text


def test_the_cache_may_be_in_s3(inline: Path, run: Run, bucket: str) -> None:
    assert run(inline, cache_path=f"{bucket}/cache").rows_out == 4
    assert len(Place(f"{bucket}/cache/images").find().names) == 4


def test_plan_and_try_read_them_without_keeping_them(inline: Path) -> None:
    flags = ["--cache-path", str(inline / "cache")]
    model = ["--endpoint", "http://127.0.0.1:9/v1", "--model", "m"]
    planned = CliRunner().invoke(app, ["plan", str(inline / "photos.jsonl"), *flags, *model])
    assert "mean of 4 images" in planned.output
    tried = CliRunner().invoke(
        app, ["try", str(inline / "photos.jsonl"), "--row", "3", "--captioner", "pixels", *flags]
    )
    assert (tried.exit_code, "data:image/png;name=c.png;sha256=" in tried.output) == (0, True), tried.output
    assert not (inline / "cache" / "images").exists()


def test_boxes_are_checked_with_their_sizes(inline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"image": base64_of(photo), "bbox": [[60, 40, 90, 60], [50, 30, 80, 60]]} for photo in PHOTOS]
    source, cache = str(write_rows(inline / "photos.jsonl", rows)), str(inline / "cache")
    code, _, err = call(capsys, "run", source, "--captioner", "pixels", "--cache-path", cache)
    assert (code, "look like xyxy" in err) == (2, True), err


def test_prune_keeps_what_step_files_name(inline: Path, run: Run) -> None:
    def prune(*flags: str) -> str:
        return CliRunner().invoke(app, ["prune", "--cache-path", str(inline / "cache"), *flags]).output

    run(inline)
    rows = inline_rows()
    write_rows(inline / "photos.jsonl", rows[:2])
    run(inline)
    assert "images of rows           0 of 4 unneeded" in prune("--dry-run")  # young ones stay
    for path in (inline / "cache").rglob("*"):
        os.utime(path, (1e9, 1e9))
    assert "images of rows           2 of 4 unneeded" in prune()
    kept = {path.read_bytes() for path in files_of(inline / "cache" / "images").values()}
    assert kept == set(PHOTOS[:2])
    prune("--forget", str(inline / "out.jsonl"))
    assert files_of(inline / "cache" / "images") == {}


def test_the_output_may_be_an_input_again(inline: Path, run: Run) -> None:
    run(inline)
    again = run(inline, input=str(inline / "out.jsonl"), output=str(inline / "again.jsonl"))
    assert (again.rows_out, again.rejects) == (4, 0)
    elsewhere = run(inline, input=str(inline / "out.jsonl"), output=str(inline / "b.jsonl"),
                    cache_path=str(inline / "other"))  # fmt: skip
    assert elsewhere.rejects_by_code == {"image_unavailable": 4}
    (line, *_) = read_rows(inline / "b.incomplete.rejects.jsonl")
    assert "a run of its input puts it there again" in line["message"]
