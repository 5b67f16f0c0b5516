"""`regioncap steps` and `explain` as their users meet them; they need no Prefect server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import call
from tests.support.photos import write_photo
from tests.support.rows import write_rows
from tests.support.runs import Run


@pytest.fixture
def finished(here: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose run is finished, with no Prefect server to be had any more."""
    run(here)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    return here


@pytest.mark.parametrize(("number", "key"), [(0, "image"), (1, "row"), (2, "type"), (3, "width"), (4, "bbox")])
def test_steps_prints_the_rows_of_a_step(
    finished: Path, capfd: pytest.CaptureFixture[str], number: int, key: str
) -> None:
    done = call(capfd, "steps", str(finished / "out.jsonl"), str(number))
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, len(rows)) == (0, 6)
    assert all(key in row for row in rows)


def test_steps_of_an_input_with_its_options(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--captioner", "pixels", "--max-boxes", "3", "--cache-path", "cache"]
    done = call(capfd, "steps", "photos.jsonl", "6", *options)
    assert (done.code, done.out.count('"captions"')) == (0, 6)


def test_steps_that_are_not_done_exit_1(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = call(capfd, "steps", "out.jsonl", "4", "--max-boxes", "2")
    assert done.code == 1
    assert "shard 00000: step 4 is not done yet" in done.err


def test_explain_says_reused(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = call(capfd, "explain", "out.jsonl")
    assert (done.code, done.out.count("reused\n")) == (0, 6)
    assert "runs again" not in done.out


EXPLAINED = {
    "changed setting": (["--max-boxes", "2"], "extract    runs again: max_boxes 3 -> 2"),
    "changed look": (["--dim", "0.5"], "visualize  runs again: dim 1.0 -> 0.5"),
    "another prefix": (["--file-name-prefix", "other"], "load       runs again: never done before"),
}


@pytest.mark.parametrize("case", EXPLAINED)
def test_explain_names_what_changed(finished: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    flags, line = EXPLAINED[case]
    done = call(capfd, "explain", "out.jsonl", *flags)
    assert done.code == 0
    assert line in done.out


def test_explain_names_changed_rows_and_images(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_photo(finished / "photo1.png", 50)
    done = call(capfd, "explain", "out.jsonl")
    assert done.code == 0
    assert "load       runs again: the size or time of an image changed" in done.out
    write_rows(finished / "photos.jsonl", [{"image": "photo1.png"}])
    assert "load       runs again: other rows" in call(capfd, "explain", "out.jsonl").out


def test_explain_verify_reads_everything(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (data,) = (finished / "cache" / "regioncap_step4").glob("*.jsonl")
    data.write_bytes(data.read_bytes()[::-1])
    assert "normalize  reused" in call(capfd, "explain", "out.jsonl").out
    assert "normalize  runs again: its file is damaged" in call(capfd, "explain", "out.jsonl", "--verify").out
