"""Runs that audit themselves: `audit_rows`, `min_consistent`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.fake.sight import Sight
from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.config.model import RegionCapConfig
from regioncap.errors import BudgetReached, UsageError
from regioncap.report.run_summary import summary_page
from tests.support.panels import panel_rows
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run

ROWS = 24


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.005, sight=Sight())) as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, server: RunningServer) -> dict[str, Any]:
    """Those of a run on 24 rows of four panels each, which audits 20 of them."""
    write_rows(tmp_path / "photos.jsonl", panel_rows(tmp_path, ROWS, 4))
    return {
        "captioner": "auto", "endpoint": [server.url], "model": "fake-vlm", "max_boxes": 4, "audit_rows": 20,
        "min_consistent": 0.9,
    }  # fmt: skip


def mixing_up(server: RunningServer) -> None:
    """From now on a third of the server's answers is mixed up."""
    server.change(sight=Sight({"number": 0.3}))


def figures(folder: Path, name: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}.audit.json").read_text())
    return found


def test_a_run_whose_captions_follow_their_regions_is_complete(
    tmp_path: Path, settings: dict[str, Any], run: Run
) -> None:
    summary = run(tmp_path, **settings)
    assert summary.ok
    assert summary.audit is not None
    assert (summary.audit.rows, summary.audit.pairs, summary.audit.follows_another) == (20, 160, 0)
    assert summary.audit.consistent is not None
    assert summary.audit.consistent > 0.9
    assert (summary.captions_new, summary.captions_audited, summary.captions_reused) == (96, 240, 0)
    assert figures(tmp_path)["rows"] == 20
    assert f"**audit**: {summary.audit} in 20 rows" in summary_page(summary, [])
    assert str(summary.audit) in summary._repr_html_()


def test_a_run_whose_captions_are_mixed_up_is_incomplete_and_leaves_the_output(
    tmp_path: Path, settings: dict[str, Any], run: Run, server: RunningServer
) -> None:
    (tmp_path / "out.jsonl").write_text('{"earlier": true}\n')
    mixing_up(server)
    summary = run(tmp_path, **settings)
    assert (summary.complete, summary.ok) == (False, False)
    assert "follow their regions (0.0 % are undecided): the whole interval is below min_cons" in summary.problem
    assert (tmp_path / "out.jsonl").read_text() == '{"earlier": true}\n'
    assert len(read_rows(tmp_path / "out.incomplete.jsonl")) == ROWS
    assert figures(tmp_path, "out.incomplete")["follows_another"] > 0
    assert not (tmp_path / "out.audit.json").exists()


def test_a_repeated_run_asks_nothing_and_ends_in_the_same_way(
    tmp_path: Path, settings: dict[str, Any], run: Run, server: RunningServer
) -> None:
    mixing_up(server)
    first = run(tmp_path, **settings)
    asked, written = server.stats["requests"], (tmp_path / "out.incomplete.jsonl").stat().st_mtime_ns
    again = run(tmp_path, **settings)
    assert (again.problem, again.audit, again.requests) == (first.problem, first.audit, 0)
    assert (tmp_path / "out.incomplete.jsonl").stat().st_mtime_ns == written
    allowed = run(tmp_path, **{**settings, "min_consistent": 0.1})
    assert (allowed.ok, allowed.audit) == (True, first.audit)
    assert len(read_rows(tmp_path / "out.jsonl")) == ROWS
    assert not (tmp_path / "out.incomplete.jsonl").exists()
    assert not (tmp_path / "out.incomplete.audit.json").exists()
    assert server.stats["requests"] == asked


def test_an_output_in_parts_has_no_success(
    tmp_path: Path, settings: dict[str, Any], run: Run, server: RunningServer
) -> None:
    mixing_up(server)
    parts = {**settings, "output": f"{tmp_path}/out/"}
    first = run(tmp_path, **parts)
    assert not first.complete
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    before = {path.name for path in (tmp_path / "out").glob("part-*")}
    assert run(tmp_path, **parts).problem == first.problem
    complete = run(tmp_path, **{**parts, "min_consistent": None})
    assert (complete.ok, (tmp_path / "out" / "_SUCCESS").exists()) == (True, True)
    assert {path.name for path in (tmp_path / "out").glob("part-*")} == before
    assert json.loads((tmp_path / "out" / "_regioncap" / "audit.json").read_text())["rows"] == 20


def test_a_run_that_is_audited_later_asks_for_the_audit_alone(
    tmp_path: Path, settings: dict[str, Any], run: Run
) -> None:
    plain = run(tmp_path, **{**settings, "audit_rows": 0, "min_consistent": None})
    assert (plain.audit, plain.captions_audited) == (None, 0)
    later = run(tmp_path, **settings)
    assert (later.captions_new, later.captions_audited, later.captions_reused) == (0, 240, 96)


def test_nothing_to_audit_is_no_failure(tmp_path: Path, settings: dict[str, Any], run: Run) -> None:
    write_rows(tmp_path / "photos.jsonl", panel_rows(tmp_path, 2, 1))
    summary = run(tmp_path, **settings)
    assert (summary.ok, summary.audit, summary.captions_audited) == (True, None, 0)


def test_a_limit_holds_for_captions_and_audit_together(
    tmp_path: Path, settings: dict[str, Any], run: Run, server: RunningServer
) -> None:
    with pytest.raises(BudgetReached):
        run(tmp_path, **settings, max_requests=ROWS + 10)
    assert server.stats["requests"] <= ROWS + 10
    assert not (tmp_path / "out.jsonl").exists()
    assert run(tmp_path, **settings).captions_new == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"min_consistent": 0.9}, "min_consistent: expected audit_rows with it"),
        ({"audit_rows": 5, "captioner": "pixels", "model": None, "endpoint": ()}, "audit_rows: captioner 'pixels'"),
        ({"audit_rows": -1}, "audit_rows: expected greater than or equal to 0"),
        ({"audit_rows": 5, "min_consistent": 90}, "min_consistent: expected less than or equal to 1"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        RegionCapConfig(**{"input": "a.jsonl", "endpoint": ("http://h/v1",), "model": "m", **wrong})
