"""Rows are asked about again in every arm, and what comes is what the model said of each box."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from regioncap.audit.asking import AskedAgain, asked_again, left_to_ask
from regioncap.audit.figures import measure
from regioncap.audit.rows import ARMS
from regioncap.captioners.fake.model import decoded
from regioncap.captioners.fake.sight import look, marks_in
from regioncap.captioners.fake_server import Behaviour, RunningServer, Sight
from regioncap.config.model import RegionCapConfig
from regioncap.errors import BudgetReached
from regioncap.flows.region_caption import region_caption
from regioncap.output.reading import Captioned, open_output
from regioncap.records import Counts
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Filesystems
from tests.support.model_servers import images_of
from tests.support.panels import colour_in, panel_rows
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run, config_of

ROWS, REGIONS = 12, 5
MIX_UPS = {"number": 0.2}


@pytest.fixture(scope="module")
def seeing() -> Iterator[RunningServer]:
    """A model server that sees what is under a mark, and mixes regions up in some requests."""
    with RunningServer(Behaviour(latency=0.0, slots=8, sight=Sight(MIX_UPS))) as running:
        yield running


@pytest.fixture(scope="module")
def made(seeing: RunningServer, prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos.jsonl`, `out.jsonl` and `cache`: a run over panels, of a few regions each."""
    folder = tmp_path_factory.mktemp("panels")
    write_rows(folder / "photos.jsonl", panel_rows(folder, ROWS, REGIONS))
    model = {"captioner": "openai", "model": "fake-vlm", "endpoint": [seeing.url], "max_boxes": REGIONS}
    region_caption(config_of(folder, **model))
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, which is the current one."""
    folder = tmp_path / "here"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


def settings(folder: Path, server: RunningServer, **more: Any) -> RegionCapConfig:
    model = {"captioner": "openai", "model": "fake-vlm", "endpoint": [server.url], "max_boxes": REGIONS}
    return config_of(folder, **{**model, **more})


def rows_of(folder: Path) -> list[Captioned]:
    return list(open_output(str(folder / "out.jsonl"), Filesystems()).rows())


def ask(folder: Path, server: RunningServer, **more: Any) -> AskedAgain:
    with closing(RunContext(settings(folder, server, **more))) as context:
        return asked_again(rows_of(folder), context)


def asked_bodies(folder: Path, server: RunningServer, **more: Any) -> list[dict[str, Any]]:
    """The bodies of an audit's requests; the server was tried out by the run."""
    bodies = server.record()
    ask(folder, server, **more)
    return bodies


def test_the_figures_are_those_of_what_the_model_said(here: Path, seeing: RunningServer) -> None:
    again = ask(here, seeing)
    assert (len(again.rows), again.left_out) == (ROWS, {})
    audit = measure(again.rows, seed=0)
    assert audit.count("undecided") < len(audit.pairs) / 50
    for pair in audit.pairs:
        row = again.rows[pair.row]
        first, now = colour_in(row.first[pair.box]), colour_in(row.of(pair.arm)[pair.box])
        if pair.verdict != "undecided":
            assert (pair.verdict == "follows") == (first == now)
        if pair.another is not None:
            assert colour_in(row.first[pair.another]) == now
    true = {row["image"]: row["colours"] for row in read_rows(here / "photos.jsonl")}
    wrong = [
        colour_in(row.of(arm)[box]) != true[row.image][box]
        for row in again.rows for arm in ARMS for box in range(REGIONS)
    ]  # fmt: skip
    assert 0 < sum(wrong) < len(wrong) / 2  # some were mixed up, and boxes are told apart all the same


def test_repeated_it_asks_for_nothing(here: Path, seeing: RunningServer) -> None:
    with closing(RunContext(settings(here, seeing))) as context:
        rows = rows_of(here)
        assert sum(left.requests for left in left_to_ask(rows, context)) == 3 * ROWS
        counted: list[Counts] = []
        first, asked = asked_again(rows, context, counted.append), seeing.stats["requests"]
        assert sum(counts.rows for counts in counted) == ROWS
        assert asked_again(rows, context) == first
        assert seeing.stats["requests"] == asked
        assert sum(left.requests for left in left_to_ask(rows, context)) == 0
        assert len(first.answers) == 3 * ROWS
        assert all(context.answers.get(key) for key in first.answers)


def test_a_stopped_audit_goes_on_where_it_was(here: Path, seeing: RunningServer) -> None:
    before = seeing.stats["answered"]
    with pytest.raises(BudgetReached):
        ask(here, seeing, max_requests=20, max_in_flight=2)
    again = ask(here, seeing)
    assert len(again.rows) == ROWS
    assert seeing.stats["answered"] - before <= 3 * ROWS + 2  # in flight when it stopped


def test_boxes_share_pictures_as_they_did(here: Path, seeing: RunningServer) -> None:
    """Three regions a picture: boxes 1 and 2 in one, 3 to 5 in the other, whatever their numbers are."""
    true = {row["image"]: row["colours"] for row in read_rows(here / "photos.jsonl")}
    together = {frozenset(part) for colours in true.values() for part in (colours[:2], colours[2:])}
    bodies = asked_bodies(here, seeing, marks_per_request=3)
    assert len(bodies) == 3 * 2 * ROWS
    for body in bodies:
        image = decoded(base64.b64decode(images_of(body)[0].partition(",")[2]))
        numbers = list(map(int, re.findall(r"<region(\d)>: …", body["messages"][-1]["content"][-1]["text"])))
        seen = {look(image, marks_in(image), number)[0] for number in numbers}
        assert seen in together


def test_in_reverse_order_everything_is_reversed(here: Path, seeing: RunningServer) -> None:
    texts = [
        body["messages"][-1]["content"][-1]["text"]
        for body in asked_bodies(here, seeing, prompt="Here are {regions}.", region_prompt="number {n}")
    ]
    downwards = [text for text in texts if "number 5, number 4, number 3, number 2, number 1" in text]
    assert len(downwards) == ROWS
    assert all(re.findall(r"<region(\d)>: …", text) == list("54321") for text in downwards)
    assert len([text for text in texts if "number 1, number 2, number 3, number 4, number 5" in text]) == 2 * ROWS


def test_region_fields_move_with_their_box(here: Path, seeing: RunningServer) -> None:
    prompts = {"region_prompt": "{n}={colours}", "region_fields": ["colours"], "prompt": "{regions}"}
    lines = read_rows(here / "out.jsonl")
    for line in lines:
        line["meta_info"]["region_fields"] = {"colours": line.pop("colours")}
    write_rows(here / "out.jsonl", lines)
    bodies = asked_bodies(here, seeing, **prompts)
    assert len(bodies) == 3 * ROWS
    for body in bodies:
        image = decoded(base64.b64decode(images_of(body)[0].partition(",")[2]))
        named = re.findall(r"(\d)=(\w+)", body["messages"][-1]["content"][-1]["text"])
        assert [look(image, marks_in(image), int(number))[0] for number, _ in named] == [name for _, name in named]


def test_the_control_has_another_seed(here: Path, seeing: RunningServer) -> None:
    seeds = sorted(body["seed"] for body in asked_bodies(here, seeing, seed=7))
    assert seeds == [7] * (2 * ROWS) + [8] * ROWS


def test_one_region_at_a_time_has_no_order_to_reverse(here: Path, seeing: RunningServer) -> None:
    again = ask(here, seeing, prompt_mode="focal")
    assert all(caption is None for row in again.rows for caption in row.reversed)
    assert all(colour_in(caption) for row in again.rows for caption in (*row.permuted, *row.control))


def test_captions_of_people_are_not_compared(here: Path, seeing: RunningServer) -> None:
    lines = read_rows(here / "out.jsonl")
    lines[0]["meta_info"]["edited"] = ["edited", None, "approved", None, None]
    write_rows(here / "out.jsonl", lines)
    first = ask(here, seeing).rows[0]
    assert [caption is None for caption in first.permuted] == [True, False, True, False, False]


def test_images_that_are_gone_leave_their_rows_out(here: Path, made: Path, seeing: RunningServer) -> None:
    (here / "panels0.png").unlink()
    (here / "panels1.png").write_bytes((here / "panels2.png").read_bytes())
    again = ask(here, seeing)
    assert again.left_out == {"image_missing": 1, "image_unavailable": 1}
    assert [row.image for row in again.rows] == [f"panels{number}.png" for number in range(2, ROWS)]


def test_neighbours_that_are_swapped_by_place_are_not_seen(tmp_path: Path, run: Run, seeing: RunningServer) -> None:
    """What an audit cannot see: the model is wrong about the same boxes, whatever their numbers and order."""
    seeing.change(sight=Sight({"place": 1.0}))
    try:
        rows = panel_rows(tmp_path, 6, 4)
        write_rows(tmp_path / "photos.jsonl", rows)
        run(tmp_path, captioner="openai", model="fake-vlm", endpoint=[seeing.url], max_boxes=REGIONS)
        again = ask(tmp_path, seeing)
    finally:
        seeing.change(sight=Sight(MIX_UPS))
    assert not any(colour_in(row.first[0]) == true["colours"][0] for row, true in zip(again.rows, rows, strict=True))
    audit = measure(again.rows, seed=0)
    assert audit.count("follows_another") == 0
    assert audit.count("follows") > len(audit.pairs) * 0.8
