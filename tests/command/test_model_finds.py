"""`regioncap` where a model finds the regions: what is planned, said, shown, exported, kept."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap.captioners.fake_server import Behaviour, Boxes, RunningServer
from tests.support.commands import Ended, call, regioncap
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows

ROWS, BARE = 5, 4
"""Photos, and those of them without boxes."""
OUT = "photos.regioncap.jsonl"


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """A model that finds a dog on the left of every picture and a cat on the right."""

    def places(digest: str, wh: tuple[int, int]) -> list[tuple[int, int, int, int]]:
        return [(0, 0, wh[0] // 4, wh[1] // 2), (wh[0] // 2, 0, wh[0], wh[1] // 2)]

    with RunningServer(Behaviour(latency=0.01, boxes=Boxes(places=places))) as running:
        yield running


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [{"image": write_photo(tmp_path / f"{n}.png", n).name} for n in range(BARE)]
    write_photo(tmp_path / "boxed.png", BARE)
    write_rows(tmp_path / "photos.jsonl", [*rows, {"image": "boxed.png", "bbox": [BOX], "label": ["ball"]}])
    return tmp_path


def flags(server: RunningServer, *more: str) -> list[str]:
    asking = ["--extractor", "vlm", "--find", "dog, cat", "--find-coordinates", "px", "--max-boxes", "3"]
    return ["photos.jsonl", "--endpoint", server.url, "--model", "fake-vlm", *asking, *more]


def planned(capsys: pytest.CaptureFixture[str], server: RunningServer, *more: str) -> tuple[dict[str, str], str]:
    """The counts of a plan by name, and all that it says."""
    ended = call(capsys, "plan", *flags(server, *more))
    assert ended.code == 0, ended.err
    counts = ended.out.partition("\n\n")[0].splitlines()
    return dict(line.rsplit(maxsplit=1) for line in counts), " ".join(ended.out.split())


def test_a_plan_counts_and_prices_the_questions(
    here: Path, server: RunningServer, capsys: pytest.CaptureFixture[str], prefect_server: None
) -> None:
    prices = ("--usd-per-m-in", "100", "--usd-per-m-out", "400")
    counts, text = planned(capsys, server, *prices)
    assert (counts["requests needed"], counts["  for regions, at most"]) == (str(ROWS + BARE), str(BARE))
    assert "How many captions there will be is known when the model has named the regions" in text
    cheaper, _ = planned(capsys, server, *prices, "--extractor", "edges", "--find", "", "--find-coordinates", "auto")
    assert float(counts["US dollars, about"]) > float(cheaper["US dollars, about"])
    assert float(counts["  with delivery=batch"]) > float(counts["US dollars, about"]) / 2
    assert server.stats["requests"] == 0
    assert regioncap(here, "run", *flags(server)).returncode == 0
    counts, text = planned(capsys, server, "--prompt", "Another one.")
    assert (counts["requests needed"], "at most" in text.partition("regions to find")[0]) == (str(ROWS), False)


def test_a_run_says_what_it_asked(here: Path, server: RunningServer, prefect_server: None) -> None:
    done = regioncap(here, "run", *flags(server))
    assert done.returncode == 0, done.stderr
    assert "(pictures and marked pictures are sent there)" in done.stderr
    assert ["pictures asked for their regions", str(BARE)] in [
        line.rsplit(maxsplit=1) for line in done.stdout.splitlines()
    ]
    (entry,) = read_rows(here / "photos.regioncap.runs.jsonl")
    assert (entry["regions_asked"], entry["captions_asked"]) == (BARE, 2 * BARE + 1)
    assert entry["requests"] == server.stats["requests"]
    assert server.stats["for_boxes"] == BARE


def test_labels_reach_exports_and_the_report(here: Path, server: RunningServer, prefect_server: None) -> None:
    write_rows(here / "photos.jsonl", read_rows(here / "photos.jsonl")[:BARE])
    assert regioncap(here, "run", *flags(server)).returncode == 0
    assert regioncap(here, "export", OUT, "--to", "coco").returncode == 0
    coco = json.loads((here / "photos.regioncap.coco.json").read_text())
    assert [category["name"] for category in coco["categories"]] == ["dog", "cat"]
    assert regioncap(here, "export", OUT, "--to", "csv").returncode == 0
    assert "dog" in (here / "photos.regioncap.csv").read_text()
    assert regioncap(here, "report", OUT).returncode == 0
    page = next(here.glob("*.html")).read_text()
    assert "label: dog" in page


def test_try_shows_the_question_and_its_answer(
    here: Path, server: RunningServer, capsys: pytest.CaptureFixture[str], prefect_server: None
) -> None:
    tried = call(
        capsys, "try", *flags(server, "--region-prompt", "<region{n}>, a {label}", "--prompt", "See {regions}.")
    )
    assert tried.code == 0, tried.err
    assert "label        ['dog', 'cat']" in tried.out
    assert "See <region1>, a dog, <region2>, a cat." in tried.out


def prune(capsys: pytest.CaptureFixture[str], folder: Path) -> Ended:
    """`regioncap prune --answers` when everything in the cache is two days old."""
    for path in (folder / ".regioncap").rglob("*"):
        if path.is_file():
            os.utime(path, (path.stat().st_mtime - 2 * 86_400,) * 2)
    return call(capsys, "prune", "--answers", "--yes")


def answers(folder: Path) -> set[str]:
    return {path.name for path in (folder / ".regioncap" / "captions").rglob("*.json")}


@pytest.mark.parametrize("form", ["bbox_2d", "prose"])
def test_prune_keeps_what_a_finished_run_was_told(
    here: Path, server: RunningServer, capsys: pytest.CaptureFixture[str], prefect_server: None, form: str
) -> None:
    server.change(boxes=Boxes(form))
    assert regioncap(here, "run", *flags(server, "--max-reject-share", "1")).returncode == 0
    before = answers(here)
    assert len(before) > BARE
    assert prune(capsys, here).code == 0
    assert answers(here) == before


def test_prune_keeps_what_was_asked_in_words_that_are_a_region_field(
    here: Path, server: RunningServer, capsys: pytest.CaptureFixture[str], prefect_server: None
) -> None:
    rows = read_rows(here / "photos.jsonl")
    write_rows(here / "photos.jsonl", [{"label": ["dog", "cat"], **row} for row in rows])
    named = flags(server, "--find", "{label}", "--region-fields", "label")
    assert regioncap(here, "run", *named).returncode == 0
    assert server.stats["for_boxes"] == BARE
    before = answers(here)
    assert prune(capsys, here).code == 0
    assert answers(here) == before


def test_prune_asks_no_model_about_a_run_that_stopped(
    here: Path, server: RunningServer, capsys: pytest.CaptureFixture[str], prefect_server: None
) -> None:
    stopped = regioncap(here, "run", *flags(server, "--max-requests", "5", "--max-in-flight", "1"))
    assert stopped.returncode == 1
    before, asked = answers(here), server.stats["requests"]
    assert prune(capsys, here).code == 0
    assert (answers(here), server.stats["requests"]) == (before, asked)
    assert regioncap(here, "run", *flags(server)).returncode == 0
    assert server.stats["for_boxes"] == BARE
