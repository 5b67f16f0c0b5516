"""How far a run has come, row by row: what is in step files, and answers whose shard is not captioned yet."""

from __future__ import annotations

import re
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.command.explain import explain_run
from regioncap.command.partial_report import report_live
from regioncap.records import Counts
from regioncap.run.context import RunContext
from regioncap.run.kept import KeptCaptions
from regioncap.tasks.so_far import count_kept, rows_so_far, steps_so_far
from tests.support.photos import write_photo
from tests.support.rows import BOX, write_rows
from tests.support.runs import Run, config_of

ROWS = 6


@pytest.fixture
def settings(tmp_path: Path, run: Run) -> dict[str, Any]:
    """The settings of a run that was stopped: one shard, whose file of captions and two answers of it are gone.

    Its last row names no image, and its first row's boxes lie outside.
    """
    rows: list[dict[str, Any]] = []
    for number in range(ROWS):
        write_photo(tmp_path / f"{number}.png", number)
        rows.append({"image": f"{number}.png", "bbox": [BOX, [60, 10, 20, 20]]})
    rows[0]["bbox"] = [[900, 900, 5, 5]]
    write_rows(tmp_path / "photos.jsonl", [*rows, {"image": "gone.png"}])
    with RunningServer(Behaviour(latency=0.0)) as server:
        settings = {"captioner": "openai", "endpoint": server.url, "model": "fake-vlm"}
        run(tmp_path, **settings)
    for manifest in (tmp_path / "cache" / "regioncap_step6").iterdir():
        manifest.unlink()
    for answer in sorted((tmp_path / "cache" / "captions").glob("*/*.json"))[:2]:
        answer.unlink()
    (tmp_path / "out.jsonl").unlink()
    (tmp_path / "out.summary.json").unlink()
    return settings


def test_rows_are_captioned_rejected_or_not_yet(tmp_path: Path, settings: dict[str, Any]) -> None:
    with closing(RunContext(config_of(tmp_path, **settings))) as context:
        (shard,) = context.shards()
        rows = list(rows_so_far(context, steps_so_far(shard, context)))
        kept = count_kept(context)
    results = [row.result for row in rows]
    assert ["reject" in result for result in results if result is not None] == [True, *[False] * 3, True]
    assert [len(row.captions) for row in rows if row.result is None] == [0, 0]
    assert kept == KeptCaptions(6)


def test_a_store_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(RunContext, "shards", lambda self: over.wait(60) and iter(()))
    with closing(RunContext(config_of(tmp_path))) as context:
        context.progress.add(Counts(captions_new=1200))
        kept = count_kept(context, seconds=0.01)
    over.set()
    assert kept == KeptCaptions(1200, exact=False)
    assert str(kept) == "At least 1,200 captions are kept and will be reused."


def test_a_report_and_explain_count_rows_and_not_shards(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = config_of(tmp_path, **settings)
    done = report_live(config)
    page = done.place.read().decode()
    assert "not finished: 5 of 7 rows are done" in page
    assert re.findall(r'data-code="(\w*)"', page) == [
        "",
        "",
        "",
        "no_valid_boxes",
        "not_yet",
        "not_yet",
        "image_missing",
    ]
    assert re.search(r"captioned</dt><dd>3<", page)
    assert re.search(r"rejected</dt><dd>2<", page)
    assert re.search(r"not yet</dt><dd>2<", page)
    assert (done.shown, done.rows) == (7, 7)
    lines = list(explain_run(config, verify=False))
    assert "shard 00000  caption    runs again: never done before" in lines
    assert "shard 00000  rows       3 of 7 captioned, 2 rejected, 2 not yet; 6 captions" in lines
