"""`regioncap audit`: what it says and writes, what stops it, and how it goes on."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer, Sight
from regioncap.flows.region_caption import region_caption
from tests.support.commands import COMMAND, Ended, call, environment
from tests.support.panels import panel_rows
from tests.support.rows import read_rows, write_rows
from tests.support.runs import config_of

ROWS, REGIONS = 8, 3
ASKED = 3 * ROWS
"""Requests of an audit: three arms, one picture each."""

Audit = Callable[..., Ended]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.0, slots=4, sight=Sight({"number": 0.2}))) as running:
        yield running


@pytest.fixture(scope="module")
def made(server: RunningServer, prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run over pictures of panels, one of which has a single region."""
    folder = tmp_path_factory.mktemp("panels")
    rows = panel_rows(folder, ROWS, REGIONS)
    write_rows(folder / "photos.jsonl", [*rows, {**rows[0], "bbox": rows[0]["bbox"][:1]}])
    prices = {"usd_per_m_in": 1.0, "usd_per_m_out": 2.0}
    region_caption(config_of(folder, captioner="openai", model="fake-vlm", endpoint=[server.url], **prices))
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, which is the current one; the run's own is not looked at."""
    folder = tmp_path / "here"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def audit(here: Path, capsys: pytest.CaptureFixture[str]) -> Audit:
    """`audit(*flags)`: the command for the output in `here`."""
    flags = ["--cache-path", "cache", "--image-root", "."]
    return lambda *more: call(capsys, "audit", "out.jsonl", *flags, *more)


def lines_of(ended: Ended) -> dict[str, str]:
    """The table that a command wrote: text by name."""
    return {line[:26].strip(): line[26:] for line in ended.out.splitlines()}


def change_summary(folder: Path, **settings: Any) -> None:
    file = folder / "out.summary.json"
    summary = json.loads(file.read_bytes())
    summary["config"].update(settings)
    file.write_text(json.dumps(summary))


def test_it_says_what_it_found_and_leaves_the_output_alone(here: Path, audit: Audit, server: RunningServer) -> None:
    before = {file.name: file.read_bytes() for file in here.glob("out.*")}
    ended = audit()
    assert ended.code == 0
    found, said = json.loads((here / "out.audit.json").read_bytes()), lines_of(ended)
    assert found["consistent"]["pairs"] == 2 * ROWS * REGIONS
    assert said["consistent"].startswith(f"{100 * found['consistent']['share']:.1f} % of {2 * ROWS * REGIONS} pairs")
    assert said["rows asked about again"] == f"{ROWS} of {ROWS} with two or more regions"
    assert f" for {ASKED * REGIONS} captions" in said["requests"]
    assert "US dollars" in said["requests"]
    assert f"{ROWS} of {ROWS} rows with two or more regions" in ended.err
    assert {name: (here / name).read_bytes() for name in before} == before
    asked = server.stats["requests"]
    again = audit()
    assert lines_of(again) | {"requests": ""} == said | {"requests": ""}
    assert lines_of(again)["requests"].startswith("0 for 0 captions")
    assert server.stats["requests"] == asked
    assert lines_of(audit("--rows", "3", "--seed", "1"))["rows asked about again"].startswith(f"3 of {ROWS}")


def test_its_price_is_told_before(here: Path, audit: Audit, server: RunningServer) -> None:
    asked = server.stats["requests"]
    said = lines_of(audit("--plan"))
    assert (said["requests needed"], said["rows to ask about again"][:6]) == (str(ASKED), f"{ROWS} of {ROWS}")
    assert {"prompt tokens, about", "answer tokens, about", "US dollars, about"} <= set(said)
    assert server.stats["requests"] == asked
    assert not (here / "out.audit.json").exists()
    audit("--rows", "2")
    assert lines_of(audit("--plan"))["requests needed"] == str(ASKED - 3 * 2)


def test_rows_without_their_image_are_left_out_and_counted(here: Path, audit: Audit) -> None:
    (here / "panels1.png").unlink()
    ended = audit()
    assert ended.code == 1
    assert lines_of(ended)["rows left out"] == "1: the image is gone"
    assert json.loads((here / "out.audit.json").read_bytes())["left_out"] == {"image_missing": 1}


def test_if_nothing_came_the_earlier_audit_stays(here: Path, audit: Audit) -> None:
    (here / "out.audit.json").write_text("{}")
    for image in here.glob("*.png"):
        image.unlink()
    ended = audit()
    assert ended.code == 1
    assert f"nothing came of any of {ROWS} rows: {ROWS}: the image is gone" in ended.err
    assert (here / "out.audit.json").read_text() == "{}"


def test_what_cannot_be_audited_is_refused(here: Path, audit: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no output of a run found" in call(capsys, "audit", "other.jsonl").err
    lines = read_rows(here / "out.jsonl")
    write_rows(here / "single.jsonl", lines[ROWS:])
    shutil.copy(here / "out.summary.json", here / "single.summary.json")
    single = call(capsys, "audit", "single.jsonl")
    assert (single.code, "no row has two or more regions" in single.err) == (2, True)
    change_summary(here, captioner="pixels", model=None, endpoint=[])
    pixels = audit()
    assert (pixels.code, "sees no numbers, so its captions always follow their boxes" in pixels.err) == (2, True)
    (here / "out.summary.json").unlink()
    unknown = audit()
    assert (unknown.code, "its summary is missing" in unknown.err) == (2, True)


def test_a_limit_stops_it_and_the_same_command_goes_on(here: Path, audit: Audit, server: RunningServer) -> None:
    before = server.stats["answered"]
    stopped = audit("--max-requests", "8", "--max-in-flight", "2")
    assert stopped.code == 1
    assert "the output and its earlier audit are unchanged. Resume with:\n  regioncap audit out.jsonl" in stopped.err
    assert not (here / "out.audit.json").exists()
    assert audit().code == 0
    assert server.stats["answered"] - before <= ASKED + 2  # each session tries the server out


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_what_came_before_it_was_killed_is_kept(
    here: Path, audit: Audit, server: RunningServer, sign: signal.Signals
) -> None:
    server.change(latency=0.2)
    try:
        halfway = server.when_answered(server.stats["answered"] + 10)
        flags = ["--cache-path", "cache", "--image-root", ".", "--max-in-flight", "2"]
        process = subprocess.Popen(
            [*COMMAND, "audit", "out.jsonl", *flags], cwd=here, env=environment(), stderr=subprocess.PIPE, text=True
        )
        assert halfway.wait(120)
        process.send_signal(sign)
        _, errors = process.communicate(timeout=120)
    finally:
        server.change(latency=0.0)
    assert process.returncode == (-signal.SIGKILL if sign is signal.SIGKILL else 1)
    assert ("Resume with:" in errors) == (sign is signal.SIGINT)
    assert not (here / "out.audit.json").exists()
    before = server.stats["answered"]
    assert audit().code == 0
    assert server.stats["answered"] - before <= ASKED - 10 + 2 + 4  # in flight, or on the way to the disk
