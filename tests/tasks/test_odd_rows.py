"""A fuzz over rows: whatever a row holds, it comes out as a row or as one reject, and no reject is a bug's."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from regioncap.exports.export import ExportRequest, export
from regioncap.output.reading import Written
from regioncap.records import MAX_REJECT_CHARS, QUOTED_CHARS
from regioncap.registry import EXPORTS
from regioncap.report.contact_sheet import sheet_of
from regioncap.report.report import report_of
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Filesystems, Place
from tests.support.odd_rows import SECRET, odd_lines
from tests.support.photos import write_photo
from tests.support.runs import config_of
from tests.support.steps import Made, make_all

ROWS = 1500

pytestmark = pytest.mark.usefixtures("no_s3_credentials")


def made_of(folder: Path, lines: list[bytes], **settings: Any) -> Made:
    """What a run makes of `lines`, with the files there that the images' names mean."""
    for name, seed in (("a.png", 1), ("b.png", 2)):
        write_photo(folder / name, seed)
    (folder / "folder").mkdir()
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:200])
    (folder / "text.png").write_text("no picture")
    (folder / "broken.tar").write_bytes(b"no archive " * 200)
    (folder / "photos.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    with closing(RunContext(config_of(folder, **settings))) as context:
        return make_all(context)


@pytest.mark.parametrize(
    ("seed", "settings"),
    [
        (1, {}),
        (2, {"box_order": "score", "score_key": "scores", "bbox_format": "xyxy", "bbox_unit": "0-1000"}),
        (3, {"box_order": "area", "region_fields": ["label"], "region_prompt": "<region{n}> ({label})"}),
    ],
    ids=["plain", "scores", "fields"],
)
def test_every_row_comes_out_once_and_none_hits_a_bug(
    seed: int, settings: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("regioncap").propagate = True
    lines = list(odd_lines(ROWS, seed))
    made = made_of(tmp_path, lines, box_check=False, **settings)
    assert "internal_error" not in made.codes(), [
        reject for reject in made.rejects if reject["code"] == "internal_error"
    ][:3]
    assert "hit a bug" not in caplog.text
    assert len(made.rows) + len(made.rejects) == ROWS == made.plan.rows
    assert len(made.rows) > ROWS / 3
    messages = [reject["message"] for reject in made.rejects]
    assert not [message for message in messages if SECRET in message]
    # Our own words and what is quoted: those of the vision library, which speak of files, are the longest.
    assert max(map(len, messages)) < 2 * QUOTED_CHARS + 200 < MAX_REJECT_CHARS


def test_all_of_them_are_reported_and_exported(tmp_path: Path) -> None:
    settings = {"region_fields": ["label"], "region_prompt": "<region{n}> ({label})"}
    made = made_of(tmp_path, list(odd_lines(ROWS // 3, 4)), box_check=False, **settings)
    for name, rows in (("out.jsonl", made.rows), ("out.rejects.jsonl", made.rejects)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    files, settled = Filesystems(), config_of(tmp_path, **settings)
    written = Written(files.place(str(tmp_path / "out.jsonl")), settled)
    page = report_of(written, files, most=2 * ROWS)
    assert page.rows == len(made.rows) + len(made.rejects)
    for to in EXPORTS:
        done = export(written, ExportRequest(to), files)
        assert (done.rows, dict(done.left_out)) == (len(made.rows), {}), to
    assert sheet_of(written, files, Place(str(tmp_path / "sheet.jpg")), rows=20) == 20
