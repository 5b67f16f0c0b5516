"""`regioncap compare`: the same rows under several settings; what was asked for is kept, whatever happens."""

from __future__ import annotations

import base64
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.fake.sight import Sight
from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.command.compare_settings import settings_of
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.vision.images import Picture
from tests.support.commands import COMMAND, Ended, call, environment
from tests.support.model_servers import images_of
from tests.support.panels import panel_rows
from tests.support.photos import write_photo
from tests.support.rows import BOX, write_rows
from tests.support.runs import Run

ROWS = 12
WIDTH = 96
"""Of a photo, in pixels."""
BOXES = [BOX, [60, 10, 20, 20]]


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.01)) as running:
        yield running


@pytest.fixture
def flags(tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The current folder has `photos.jsonl`, of 12 rows with two boxes each; the arguments that caption it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for number in range(ROWS):
        write_photo(tmp_path / f"{number}.png", number)
    write_rows(tmp_path / "photos.jsonl", [{"image": f"{n}.png", "bbox": BOXES} for n in range(ROWS)])
    return ["photos.jsonl", "--endpoint", server.url, "--model", "fake-vlm"]


def figures(ended: Ended) -> dict[str, list[str]]:
    """The rows of the printed table, by name."""
    cells = [re.split(r"\s{2,}", line.strip()) for line in ended.out.splitlines()]
    return {name: values for name, *values in cells if values}


def paid(bodies: list[dict[str, Any]]) -> int:
    """How many of the requests asked for captions of the photos: those that try the server out have larger pictures."""
    pictures = [base64.b64decode(images_of(body)[0].partition(",")[2]) for body in bodies]
    widths = [Picture(picture, max_image_pixels=1 << 32).info.width for picture in pictures]
    return widths.count(WIDTH)


# --- which settings


def base(**settings: object) -> RegionCapConfig:
    return RegionCapConfig(**{"input": "a.jsonl", "endpoint": ("http://h/v1",), "model": "m", **settings})


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("prompt_mode=focal", {"prompt_mode": "focal"}),
        ("prompt_mode=focal temperature=0.5", {"prompt_mode": "focal", "temperature": 0.5}),
        ("prompt_mode=focal, max-boxes=3", {"prompt_mode": "focal", "max_boxes": 3}),
        ("--dim=0.5,max_boxes=3", {"dim": 0.5, "max_boxes": 3}),
        ("endpoint=http://a/v1,http://b/v1 model=n", {"endpoint": ("http://a/v1", "http://b/v1"), "model": "n"}),
        ("prompt=What is in it, please? top_p=0.9", {"prompt": "What is in it, please?", "top_p": 0.9}),
        ("prompt='a dim=2 lamp?'", {"prompt": "a dim=2 lamp?"}),
        ('request_body={"reasoning_effort": "low"}', {"request_body": {"reasoning_effort": "low"}}),
        ("top_p=", {"top_p": None}),
    ],
)
def test_an_option_holds_one_setting_or_several(text: str, values: dict[str, object]) -> None:
    given, changed = settings_of(base(top_p=0.5, limit=9), [text], rows=5)
    assert {name: getattr(changed.config, name) for name in values} == values
    assert (given.config.sample, changed.config.sample, changed.config.limit) == (5, 5, 9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prompt_mode=fokal", "--with 'prompt_mode=fokal': prompt_mode: expected 'marks'"),
        ("promt_mode=focal", "promt_mode: there is no such setting; did you mean prompt_mode?"),
        ("prompt_mode=focal temprature=1", "temprature: there is no such setting; did you mean temperature?"),
        ("focal", "expected name=value"),
        ("", "expected name=value"),
        ("model=a model=b", "model: it is given twice"),
        ("limit=5", "limit: it decides which rows are read"),
        (
            "input=b.jsonl",
            "input: it decides which rows are read, and all settings are compared on the same ones; remove "
            "it here, and give INPUT instead",
        ),
        ("max_boxes=many", "max_boxes: expected a valid integer"),
        ("endpoint=ftp://a/v1", "endpoint: expected a URL such as http"),
        ("rows=per_box", "rows: it decides which rows are read"),
        ("record_style=joined", "record_style: it decides the form of an output"),
        ("cache_path=/tmp/c", "cache_path: it applies to the whole comparison; remove it here, and give --cache-path"),
        ("max_usd=1", "max_usd: it applies to the whole comparison"),
        ("coordinates=auto", "coordinates: which ones the model 'm' was trained with is not known"),
        ("prompt={", "prompt: "),
    ],
)
def test_a_wrong_setting_is_refused_and_the_option_named(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as refused:
        settings_of(base(), ["dim=0.5", text], rows=5)
    assert str(refused.value).startswith("--with ")


def test_settings_that_are_given_twice_or_not_at_all() -> None:
    with pytest.raises(UsageError, match=r"--with 'dim=0\.5': it is given twice"):
        settings_of(base(), ["dim=0.5", " dim=0.5"], rows=5)
    with pytest.raises(UsageError, match="--with: expected at least one"):
        settings_of(base(), [], rows=5)


def test_long_settings_that_begin_alike_have_names_of_their_own() -> None:
    begin = "prompt=" + 60 * "Describe it. "
    names = [setting.name for setting in settings_of(base(), [begin + "A", begin + "B"], rows=5)]
    assert len(set(names)) == 3
    assert max(map(len, names)) < 70


def test_a_secret_in_an_option_is_not_shown() -> None:
    with pytest.raises(UsageError) as refused:
        settings_of(base(), ["request_headers=Authorization: sk-1234567890abcdef1234"], rows=5)
    assert "sk-12" not in str(refused.value)


def test_settings_that_ask_for_the_same_answers_are_told() -> None:
    names = [setting.same_as for setting in settings_of(base(), ["max_repairs=5", "dim=0.5", "max_tokens=99"], rows=5)]
    assert names == ["", "as given", "", "as given"]


def test_nothing_is_asked_where_a_setting_is_wrong(
    flags: list[str], server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = call(capsys, "compare", *flags, "--with", "dim=0.5", "--with", "prompt=This is {place}")
    assert ended.code == 2
    assert "--with 'prompt=This is {place}': prompt: no row has the key 'place'" in ended.err
    assert call(capsys, "compare", *flags, "--with", "dim=0.5", "--rows", "0").code == 2
    assert server.stats["requests"] == 0


# --- what comes


def test_each_setting_has_a_column_and_its_captions_on_the_page(
    flags: list[str], server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = ["--usd-per-m-in", "1", "--usd-per-m-out", "1"]
    ended = call(capsys, "compare", *flags, *prices, "--rows", "8", "--with", "prompt_mode=focal", "--with", "dim=0.5")
    assert ended.code == 0, ended.err
    found = figures(ended)
    assert found["rows captioned"] == ["8 of 8"] * 3
    assert found["regions captioned"] == ["16"] * 3
    assert len(found["consistent"]) == 3
    as_given, focal, _ = found["US dollars per 1,000 regions"]
    assert float(focal) > float(as_given) > 0
    page = (tmp_path / "photos.regioncap.compare.html").read_text()
    assert page.count("<article") == 8
    assert page.count("<img") == 8
    assert not (tmp_path / "photos.regioncap.jsonl").exists()


def test_what_is_clearly_better_is_said_and_what_overlaps_too(
    flags: list[str], server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.change(sight=Sight({"number": 0.3}))
    write_rows(tmp_path / "photos.jsonl", panel_rows(tmp_path, 16, 4))
    ended = call(capsys, "compare", *flags, "--with", "prompt_mode=focal", "--with", "temperature=0.1")
    as_given, focal, warmer = (float(text.partition(" ")[0]) for text in figures(ended)["consistent"])
    assert max(as_given, warmer) < 85 < focal
    assert "“prompt_mode=focal” is clearly more consistent than “as given”: " in ended.out
    assert "“prompt_mode=focal” is clearly more consistent than “temperature=0.1”: " in ended.out
    assert ">inconsistent</em>" in (tmp_path / "photos.regioncap.compare.html").read_text()
    overlap = call(capsys, "compare", *flags, "--with", "temperature=0.1")
    assert "the intervals overlap, so neither is clearly more consistent" in overlap.out


def test_consistency_is_measured_on_the_rows_that_come_through_everywhere(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"image": f"{n}.png", "bbox": BOXES, **({"label": "a cup"} if n < 3 else {})} for n in range(6)]
    write_rows(tmp_path / "photos.jsonl", rows)
    ended = call(capsys, "compare", *flags, "--with", "prompt=This is {label}. {regions}")
    assert figures(ended)["rows captioned"] == ["6 of 6", "3 of 6"]
    assert len({text.partition("(")[0] for text in figures(ended)["consistent"]}) == 1


def test_a_repeated_comparison_asks_nothing(
    flags: list[str], server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", *flags, "--rows", "6", "--with", "prompt_mode=focal"]
    first = call(capsys, *command)
    asked = server.stats["requests"]
    again = call(capsys, *command)
    assert server.stats["requests"] == asked
    assert figures(again)["requests now, with the audit"] == ["0", "0"]
    assert figures(again)["tokens per region, prompt + answer"] == figures(first)["tokens per region, prompt + answer"]


def test_the_run_with_the_chosen_settings_asks_nothing(
    flags: list[str], server: RunningServer, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "compare", *flags, "--cache-path", "cache", "--with", "prompt_mode=focal")
    asked = server.stats["requests"]
    assert asked > 2 * ROWS
    chosen = {"captioner": "auto", "endpoint": [server.url], "model": "fake-vlm", "prompt_mode": "focal"}
    summary = run(tmp_path, **chosen, max_boxes=10)
    assert (summary.rows_out, summary.captions_reused, summary.requests) == (ROWS, 2 * ROWS, 0)
    assert server.stats["requests"] == asked


def test_rows_that_are_rejected_are_counted_and_shown(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(tmp_path / "photos.jsonl", [{"image": "0.png", "bbox": BOXES}, {"image": "<b>gone</b>.png"}, "{bad"])
    ended = call(capsys, "compare", *flags, "--with", "dim=0.5")
    assert figures(ended)["rows rejected"] == ["2 (bad_json 1, image_missing 1)"] * 2
    page = (tmp_path / "photos.regioncap.compare.html").read_text()
    assert page.count("<b>image_missing</b>") == 2
    assert "&lt;b&gt;gone" in page


def test_a_setting_that_cannot_work_says_so_and_the_others_go_on(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = call(capsys, "compare", *flags, "--rows", "4", "--with", "model=other", "--with", "dim=0.5")
    assert ended.code == 1
    assert figures(ended)["rows captioned"] == ["4 of 4", "-", "4 of 4"]
    assert "model=other: stopped: " in ended.err
    assert "knows no model &#39;other&#39;" in (tmp_path / "photos.regioncap.compare.html").read_text()


def test_the_plan_asks_nothing_and_writes_nothing(
    flags: list[str], server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    prices = ["--usd-per-m-in", "1", "--usd-per-m-out", "1"]
    ended = call(capsys, "compare", *flags, *prices, "--plan", "--with", "prompt_mode=focal")
    assert ended.code == 0
    as_given, focal, together = ended.out.splitlines()
    assert as_given.startswith("as given: 12 requests for 12 rows")
    assert focal.startswith("prompt_mode=focal: 24 requests for 12 rows")
    assert together.startswith("all together: about 0.0")
    assert server.stats["requests"] == 0
    assert {path.name for path in tmp_path.iterdir()} == before


# --- what it may cost

# One request a row, and one for each of three arms; in focal mode one a region, and for each of two arms.
AS_GIVEN, FOCAL, DIM = 6 * 4, 6 * 2 * 3, 6 * 4


def test_a_limit_applies_to_all_settings_together_and_a_rerun_resumes(
    flags: list[str], server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", *flags, "--rows", "6", "--with", "prompt_mode=focal", "--with", "dim=0.5"]
    bodies = server.record()
    first = call(capsys, *command, "--max-requests", "40")
    assert first.code == 1
    assert len(bodies) <= 40
    assert "prompt_mode=focal: stopped: max_requests=40, for all settings together, is reached" in first.err
    assert "dim=0.5: stopped: max_requests=40" in first.err
    assert call(capsys, *command).code == 0
    assert paid(bodies) == AS_GIVEN + FOCAL + DIM


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_what_came_before_the_end_is_not_paid_for_twice(
    flags: list[str], server: RunningServer, tmp_path: Path, how: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", *flags, "--rows", "6", "--max-in-flight", "2", "--with", "prompt_mode=focal"]
    server.change(latency=0.05)
    bodies, enough = server.record(), server.when_answered(40)
    begun = subprocess.Popen([*COMMAND, *command], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    assert enough.wait(300)
    begun.send_signal(how)
    said = begun.communicate(timeout=300)[1]
    assert begun.returncode == (1 if how == signal.SIGINT else -how)
    assert how == signal.SIGKILL or ("are kept. Resume with:" in said and "Traceback" not in said)
    assert call(capsys, *command).code == 0
    assert AS_GIVEN + FOCAL <= paid(bodies) <= AS_GIVEN + FOCAL + 2  # those that were on their way
