"""`regioncap prune --answers` keeps what a stopped run would reuse, however far it came, and refuses to guess."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.command.app import app
from regioncap.errors import BudgetReached, UsageError
from regioncap.output.summary import Summary
from tests.support.photos import write_photo
from tests.support.rows import BOX, write_rows
from tests.support.runs import Run

ROWS = 6
OTHER_PROMPT = "Say what is in the {num_regions} regions."

Caption = Callable[..., Summary]


@pytest.fixture
def caption(tmp_path: Path, run: Run) -> Iterator[Caption]:
    """`caption(**settings)`: a run on six photos with two boxes each, in shards of two."""
    for number in range(ROWS):
        write_photo(tmp_path / f"{number}.png", number)
    write_rows(tmp_path / "photos.jsonl", [{"image": f"{n}.png", "bbox": [BOX, [60, 10, 20, 20]]} for n in range(ROWS)])
    with RunningServer(Behaviour(latency=0.0)) as server:
        asking = {"captioner": "openai", "model": "fake-vlm", "endpoint": server.url, "max_pixels": 40_000}
        yield lambda **more: run(tmp_path, **{**asking, "shard_size": 2, "max_in_flight": 1, **more})


def prune(folder: Path, *flags: str) -> Result:
    """`regioncap prune --answers` when everything in the cache is two days old."""
    for path in (folder / "cache").rglob("*"):
        if path.is_file():
            os.utime(path, (path.stat().st_mtime - 2 * 86_400,) * 2)
    return CliRunner().invoke(app, ["prune", "--cache-path", str(folder / "cache"), "--answers", "--yes", *flags])


def captions_kept(folder: Path) -> int:
    answers = (folder / "cache" / "captions").rglob("*.json")
    return sum(len(json.loads(path.read_bytes())["captions"]) for path in answers)


ASKED: dict[str, dict[str, Any]] = {
    "marks": {},
    "focal": {"prompt_mode": "focal"},
    "boxes in the prompt": {"prompt_mode": "coords", "coordinates": "px"},
    "groups of marks": {"marks_per_request": 1},
    "repairs": {"repair_flags": ["duplicate_in_row", "too_short", "repeats", "refusal", "mentions_mark"]},
}


@pytest.mark.parametrize("asked", ASKED)
def test_a_stopped_run_pays_for_nothing_twice(tmp_path: Path, caption: Caption, asked: str) -> None:
    with pytest.raises(BudgetReached):
        caption(max_requests=6, **ASKED[asked])
    kept = captions_kept(tmp_path)
    pruned = prune(tmp_path)
    assert pruned.exit_code == 0, pruned.output
    assert 0 < captions_kept(tmp_path) == kept < 2 * ROWS
    assert caption(**ASKED[asked]).captions_asked == 2 * ROWS - kept


@pytest.fixture
def back_to_the_first_prompt(tmp_path: Path, caption: Caption) -> set[str]:
    """Runs of one output with two prompts finished; the third, with the first prompt and two new rows, was stopped
    after one of these. The names of the answers."""
    caption()
    caption(prompt=OTHER_PROMPT)
    with (tmp_path / "photos.jsonl").open("a") as rows:
        for number in (ROWS, ROWS + 1):
            write_photo(tmp_path / f"{number}.png", number)
            rows.write(json.dumps({"image": f"{number}.png", "bbox": [BOX, [60, 10, 20, 20]]}) + "\n")
    with pytest.raises(BudgetReached):
        caption(max_requests=1)
    return names(tmp_path)


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "cache" / "captions").rglob("*.json")}


def test_answers_that_it_did_not_come_to_are_kept(
    tmp_path: Path, caption: Caption, back_to_the_first_prompt: set[str]
) -> None:
    for _ in range(2):  # the second time without the step files that tell whose answers they are
        assert prune(tmp_path).exit_code == 0
        assert names(tmp_path) == back_to_the_first_prompt
    assert caption().captions_asked == 2


def test_it_goes_by_where_the_run_was_started(
    tmp_path: Path, caption: Caption, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BudgetReached):
        caption(max_requests=6, input="photos.jsonl")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    write_rows(Path("photos.jsonl"), [])  # the same name is another input here
    before = names(tmp_path)
    assert prune(tmp_path).exit_code == 0
    assert names(tmp_path) == before != set()


def test_nothing_goes_while_its_images_or_input_cannot_be_read(
    tmp_path: Path, caption: Caption, back_to_the_first_prompt: set[str]
) -> None:
    shutil.rmtree(tmp_path / "cache" / "regioncap_step3")
    (tmp_path / "0.png").rename(tmp_path / "away.png")
    refused = prune(tmp_path)
    assert isinstance(refused.exception, UsageError)
    assert "the images of 1 of its rows cannot be read now" in str(refused.exception)
    (tmp_path / "photos.jsonl").rename(tmp_path / "away.jsonl")
    refused = prune(tmp_path)
    assert "was stopped, or its step files are gone, and its input cannot be read" in str(refused.exception)
    assert names(tmp_path) == back_to_the_first_prompt
    (tmp_path / "away.jsonl").rename(tmp_path / "photos.jsonl")
    (tmp_path / "away.png").rename(tmp_path / "0.png")
    assert prune(tmp_path).exit_code == 0
    assert names(tmp_path) == back_to_the_first_prompt


def test_a_bug_on_a_row_removes_no_answer(tmp_path: Path, caption: Caption, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BudgetReached):
        caption(max_requests=6)
    before = names(tmp_path)

    def fail(*args: object) -> Iterator[object]:
        raise KeyError("a bug")

    monkeypatch.setattr("regioncap.command.needed.keys_of_answers", fail)
    refused = prune(tmp_path)
    assert isinstance(refused.exception, UsageError)
    assert "would use are not known (KeyError: 'a bug'; please report this); no answer was removed" in str(
        refused.exception
    )
    assert names(tmp_path) == before != set()
