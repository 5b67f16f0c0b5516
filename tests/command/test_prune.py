"""`regioncap prune`: what no run needs goes, what one needs stays, and nothing goes unasked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.command.app import app
from tests.support.photos import write_photo
from tests.support.rows import BOX, write_rows
from tests.support.runs import Run

Prune = Callable[..., Result]


@pytest.fixture
def prune(tmp_path: Path) -> Prune:
    """`prune(*flags)` on the cache of the test's folder."""
    return lambda *flags, **more: CliRunner().invoke(
        app, ["prune", "--cache-path", str(tmp_path / "cache"), *flags], **more
    )


@pytest.fixture
def project(tmp_path: Path, run: Run) -> Callable[..., Any]:
    """Three photos in `photos.jsonl`, captioned by a server with the given settings."""
    rows = []
    for number in range(3):
        write_photo(tmp_path / f"{number}.png", number)
        rows.append({"image": f"{number}.png", "bbox": [BOX]})
    write_rows(tmp_path / "photos.jsonl", rows)

    def caption(**settings: Any) -> Any:
        with RunningServer(Behaviour(latency=0.0)) as server:
            return run(
                tmp_path, captioner="openai", model="fake-vlm", endpoint=server.url, max_pixels=40_000, **settings
            )

    return caption


def files(tmp_path: Path, folder: str) -> set[str]:
    found = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    return {path.name for path in found if path.relative_to(tmp_path / "cache").parts[0].startswith(folder)}


def make_old(tmp_path: Path) -> None:
    for path in (tmp_path / "cache").rglob("*"):
        os.utime(path, (1e9, 1e9))


def test_what_the_last_run_needs_stays(tmp_path: Path, project: Callable[..., Any], prune: Prune) -> None:
    project()
    needed = {kind: files(tmp_path, kind) for kind in ("regioncap_step", "marks", "captions")}
    project(dim=0.8, prompt="Say what is in the {num_regions} regions.")
    project()  # back again: everything of the run in between is unneeded now
    everything = {kind: files(tmp_path, kind) for kind in needed}
    assert all(needed[kind] < everything[kind] for kind in needed)
    young = prune("--yes")
    assert young.exit_code == 0, young.output
    assert files(tmp_path, "regioncap_step") == everything["regioncap_step"]  # a run may be under way
    make_old(tmp_path)
    counted = prune("--dry-run", "--marks", "--answers")
    assert f"answers                  3 of {len(everything['captions'])} unneeded" in counted.output
    assert {kind: files(tmp_path, kind) for kind in needed} == everything
    assert "removed" in prune().output
    assert files(tmp_path, "regioncap_step") == needed["regioncap_step"]
    assert (files(tmp_path, "marks"), files(tmp_path, "captions")) == (everything["marks"], everything["captions"])
    refused = prune("--answers", input="n\n")
    assert "Remove 3 answers that were paid for? [y/N]" in refused.output
    assert files(tmp_path, "captions") == everything["captions"]
    assert prune("--marks", "--answers", "--yes").exit_code == 0
    assert {kind: files(tmp_path, kind) for kind in needed} == needed
    again = project()
    assert (again.captions_asked, again.step_seconds) == (0, {})


def test_every_output_of_the_cache_counts(tmp_path: Path, project: Callable[..., Any], prune: Prune) -> None:
    project()
    project(output=str(tmp_path / "second.jsonl"), file_name_prefix="other", prompt="What are these {num_regions}?")
    make_old(tmp_path)
    before = {kind: files(tmp_path, kind) for kind in ("regioncap_step", "other_step", "marks", "captions")}
    assert prune("--marks", "--answers", "--yes").exit_code == 0
    assert {kind: files(tmp_path, kind) for kind in before} == before
    second = str(tmp_path / "second.jsonl")
    pruned = prune("--file-name-prefix", "other", "--forget", second, "--answers", "--yes")
    assert "answers                  3 of 6 unneeded" in pruned.output
    assert (files(tmp_path, "other_step"), len(files(tmp_path, "captions"))) == (set(), 3)
    assert files(tmp_path, "regioncap_step") == before["regioncap_step"]


def test_a_cache_that_is_not_there_is_named(tmp_path: Path, prune: Prune) -> None:
    from regioncap.errors import UsageError

    result = prune()
    assert isinstance(result.exception, UsageError)
    assert "cache is not there; expected the cache of earlier runs" in str(result.exception)


def test_answers_do_not_all_go_because_no_run_is_known(
    tmp_path: Path, project: Callable[..., Any], prune: Prune
) -> None:
    project()
    make_old(tmp_path)
    for entry in (tmp_path / "cache" / "regioncap_runs").iterdir():
        entry.unlink()
    result = prune("--answers", "--yes")
    assert "no run is registered" in str(result.exception)
    assert len(files(tmp_path, "captions")) == 3
