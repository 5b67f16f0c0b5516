"""Runs by files: written, answered by others, read; with the output of an online run, and without any server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from regioncap.captioners import session
from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.command.app import main
from regioncap.errors import ConfigError, UsageError, Waiting
from tests.support.edits import edit_of, marks_in, write_edits
from tests.support.photos import photo_rows
from tests.support.request_files import (
    FOLDER,
    Answerer,
    file_settings,
    request_files,
    requests_in,
    results_beside,
)
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run, config_of

ROWS = 12


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.0, slots=8)) as running:
        yield running


@pytest.fixture
def answerer(server: RunningServer) -> Answerer:
    return Answerer(server)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path / "photos.jsonl", photo_rows(tmp_path, ROWS))
    return tmp_path


def command(*args: str) -> int:
    """The exit code of `regioncap`, called in this process."""
    with pytest.raises(SystemExit) as end:
        main(args)
    return int(end.value.code or 0)


def online(server: RunningServer, folder: Path, **more: Any) -> dict[str, Any]:
    """Of an online run with an output and a cache of its own."""
    return {
        "captioner": "openai", "model": "fake-vlm", "endpoint": server.url, "shard_size": 5, "structure": "regex",
        "output": f"{folder}/online.jsonl", "cache_path": f"{folder}/online-cache", **more,
    }  # fmt: skip


def texts(path: Path) -> bytes:
    """An output, with the names of the cache's folders made the same."""
    return path.read_bytes().replace(b"online-cache", b"cache")


def until_done(folder: Path, run: Run, answerer: Answerer, **settings: Any) -> int:
    """Run and answer in turn until the output is there; returns how often the run had to wait."""
    for waited in range(5):
        try:
            run(folder, **file_settings(**settings))
        except Waiting:
            answerer.answer_all(folder)
            continue
        return waited
    raise AssertionError("still waiting")


def test_the_output_is_that_of_an_online_run(folder: Path, run: Run, server: RunningServer, answerer: Answerer) -> None:
    run(folder, **online(server, folder))
    assert until_done(folder, run, answerer, batch_max_requests=5) == 1
    assert texts(folder / "out.jsonl") == texts(folder / "online.jsonl")
    assert set(answerer.asked.values()) == {1}


def test_nothing_is_sent(folder: Path, run: Run, answerer: Answerer, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(session, "open_client", connect)
    assert until_done(folder, run, answerer) == 1
    assert len(read_rows(folder / "out.jsonl")) == ROWS


def test_what_the_files_do_not_answer_is_asked_online_where_that_is_wanted(
    folder: Path, run: Run, server: RunningServer, answerer: Answerer
) -> None:
    rest = {"endpoint": server.url, "batch_rest": "online"}
    with pytest.raises(Waiting):
        run(folder, **file_settings(**rest))
    assert server.stats["requests"] == 0
    answerer.answer_all(folder, lambda results: results[3:])
    before = server.stats["for_regions"]
    summary = run(folder, **file_settings(**rest))
    assert (summary.rows_out, server.stats["for_regions"] - before) == (ROWS, 3)
    assert request_files(folder) == []


def test_flagged_captions_are_asked_for_in_another_file(folder: Path, run: Run, answerer: Answerer) -> None:
    def say_little(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        results[0]["response"]["body"]["choices"][0]["message"]["content"] = "<region1>: Cat"
        return results

    settings = {"repair_flags": ["too_short"]}
    with pytest.raises(Waiting):
        run(folder, **file_settings(**settings))
    answerer.answer_all(folder, say_little)
    with pytest.raises(Waiting, match=r"\(0 of 1 answers\)"):
        run(folder, **file_settings(**settings))
    answerer.answer_all(folder)
    run(folder, **file_settings(**settings))
    (caption,) = read_rows(folder / "out.jsonl")[0]["mdvp_record"]
    assert len(caption) > len("<region1> Cat")


def test_captions_that_people_rejected_are_asked_for_in_another_file(
    folder: Path, run: Run, server: RunningServer, answerer: Answerer
) -> None:
    until_done(folder, run, answerer)
    rejected = edit_of(read_rows(folder / "out.jsonl")[1], action="reject")
    settings = {"edits": write_edits(folder / "edits.jsonl", rejected)}
    assert until_done(folder, run, answerer, **settings) == 1
    for more in ({}, settings):
        run(folder, **online(server, folder, **more))
    assert texts(folder / "out.jsonl") == texts(folder / "online.jsonl")
    assert "rejected" in str(marks_in(folder / "out.jsonl"))


def test_a_row_that_no_file_answers_is_a_reject_in_the_end(folder: Path, run: Run, answerer: Answerer) -> None:
    def say_nothing(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        results[0]["response"]["body"]["choices"][0]["finish_reason"] = "content_filter"
        return results

    for _ in range(2):
        with pytest.raises(Waiting):
            run(folder, **file_settings(max_repairs=1))
        answerer.answer_all(folder, say_nothing)
    summary = run(folder, **file_settings(max_repairs=1))
    assert (summary.rows_in, summary.rows_out) == (ROWS, ROWS - 1)
    (reject,) = read_rows(folder / "out.rejects.jsonl")
    assert reject["code"] == "captions_incomplete"
    assert "with a higher max_repairs they are written into another file" in reject["message"]


# --- the command


def test_the_command_writes_says_how_to_go_on_and_goes_on(
    folder: Path, prefect_server: None, answerer: Answerer, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        str(folder / "photos.jsonl"), "--output", str(folder / "out.jsonl"), "--cache-path", str(folder / "cache"),
        "--model", "fake-vlm", "--delivery", "file",
    ]  # fmt: skip
    assert command("run", *given) == 75
    said = capsys.readouterr().err
    (path,) = request_files(folder)
    assert f"waiting: 1 file of requests waits for its results: {path} (0 of 12 answers)" in said
    assert "written: " in said
    assert "structure regex" in said
    answerer.answer_all(folder)
    assert command("run", *given) == 0
    assert len(read_rows(folder / "out.jsonl")) == ROWS


def test_the_command_lists_files_and_gives_them_up(
    folder: Path, run: Run, answerer: Answerer, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Waiting):
        run(folder, **file_settings(batch_max_requests=6))
    first, second = request_files(folder)
    answerer.answer(first, lambda results: results[:2], ".results-1.jsonl")
    of = [str(folder / "out.jsonl"), "--cache-path", str(folder / "cache")]
    assert command("batches", *of) == 0
    said = capsys.readouterr().out
    assert f"{first}: 0 of 6 answers; the next run reads {results_beside(first, '.results-1.jsonl').name}" in said
    assert f"{second}: 0 of 6 answers\n" in said
    assert command("batches", *of, "--cancel") == 0
    assert capsys.readouterr().out.count("given up") == 2
    assert request_files(folder) == []
    with pytest.raises(Waiting, match=r"\(0 of 10 answers\)"):
        run(folder, **file_settings())
    (again,) = request_files(folder)
    assert len(requests_in(again)) == 10
    assert command("batches", *of, "--cancel") == 0
    assert command("batches", *of) == 0
    assert "no batches" in capsys.readouterr().out


def test_the_folder_may_be_anywhere(folder: Path, run: Run, answerer: Answerer) -> None:
    other = folder / "elsewhere" / FOLDER
    with pytest.raises(Waiting, match="elsewhere"):
        run(folder, **file_settings(batch_folder=str(other)))
    answerer.answer_all(folder / "elsewhere")
    run(folder, **file_settings())  # files know where they are
    assert len(read_rows(folder / "out.jsonl")) == ROWS


def test_the_folder_may_be_in_a_store(folder: Path, run: Run, answerer: Answerer, bucket: str) -> None:
    store = fsspec.filesystem("s3", use_listings_cache=False)
    settings = file_settings(batch_folder=f"{bucket}/requests")
    with pytest.raises(Waiting, match=f"{bucket}/requests/out-"):
        run(folder, **settings)
    (there,) = store.ls(f"{bucket}/requests", detail=False)
    store.get(there, str(folder / FOLDER / Path(there).name))
    (path,) = request_files(folder)
    results = answerer.answer(path)
    store.put(str(results), f"{bucket}/requests/{results.name}")
    run(folder, **settings)
    assert len(read_rows(folder / "out.jsonl")) == ROWS
    assert [Path(left).name for left in store.ls(f"{bucket}/requests", detail=False)] == [results.name]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"captioner": "vllm"}, "delivery: captioner 'vllm' writes no requests into files"),
        ({"endpoint": "http://a/v1"}, "endpoint: with delivery=file nothing is sent"),
        ({"batch_rest": "online"}, "batch_rest: expected an endpoint"),
        ({"audit_rows": 5}, "audit_rows: an audit asks a server"),
        ({"runner": "processes"}, "delivery: expected runner 'threads'"),
        ({"model": None}, "model: expected the name"),
    ],
)
def test_settings_that_do_not_go_with_files_are_refused(settings: dict[str, Any], why: str, tmp_path: Path) -> None:
    with pytest.raises((UsageError, ConfigError), match=why):
        config_of(tmp_path, **file_settings(**settings))


def test_a_folder_inside_of_the_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises((UsageError, ConfigError), match="batch_folder: expected a place outside of the input"):
        config_of(tmp_path, input=str(tmp_path / "in"), **file_settings(batch_folder=str(tmp_path / "in" / "requests")))


def test_files_that_nobody_could_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises((UsageError, ConfigError), match="batch_folder: expected a folder that whoever answers can"):
        config_of(tmp_path, **file_settings(batch_folder="memory://requests"))


def test_the_plan_prices_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [
        str(folder / "photos.jsonl"), "--cache-path", str(folder / "cache"), "--model", "fake-vlm",
        "--delivery", "file", "--usd-per-m-in", "1000", "--usd-per-m-out", "1000", "--batch-price", "0",
    ]  # fmt: skip
    assert command("plan", *given) == 0
    said = capsys.readouterr().out
    assert re.search(r"with delivery=file +0\.00\n", said)
    assert "US dollars, about" in said
