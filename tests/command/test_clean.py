"""`regioncap cache` as its users meet it, and what `prune` and it do with what is not theirs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import fsspec
import pytest
from click.testing import CliRunner, Result

from regioncap.captioners.remembered import Findings, RememberedFindings
from regioncap.command.app import app
from regioncap.errors import UsageError
from regioncap.storage.filesystem import Place
from tests.support.photos import draw_photo
from tests.support.runs import Run
from tests.support.tars import tar_bytes

LEFTOVER = f".a.jpg.{'0' * 32}.part"


def png(seed: int) -> bytes:
    done, data = cv2.imencode(".png", draw_photo(seed))
    assert done
    return data.tobytes()


def call(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def shown(cache: object) -> Any:
    done = call("cache", "--json", "--cache-path", cache)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def by_kind(contents: Any) -> dict[str, tuple[int, int | None]]:
    return {kind["kind"]: (kind["files"], kind["unneeded"]) for kind in contents["kinds"]}


def test_it_counts_by_kind_and_names_what_removes_it(project: Path, run: Run) -> None:
    run(project)
    run(project, dim=0.8)
    cache = project / "cache"
    (cache / "marks" / "00").mkdir(exist_ok=True)
    (cache / "marks" / "00" / LEFTOVER).write_bytes(b"half")
    (cache / "dask").mkdir()
    (cache / "dask" / "0a.probe").touch()
    contents = shown(cache)
    assert by_kind(contents) == {
        "step files (regioncap)": (17, 4),
        "marked pictures": (12, 6),
        "register (regioncap)": (2, None),
        "leftovers of killed runs": (2, 2),
    }
    assert [output["finished"] for output in contents["outputs"]] == [True]
    lines = call("cache", "--cache-path", cache).output
    assert (
        f"(drawn again when an output names them, costs CPU only): regioncap prune --cache-path {cache} --mar" in lines
    )
    assert f"{project / 'out.jsonl'} (regioncap): complete, " in lines
    for path in cache.rglob("*"):
        os.utime(path, (1e9, 1e9))
    assert call("prune", "--cache-path", cache, "--marks").exit_code == 0
    left = by_kind(shown(cache))
    assert left == {"step files (regioncap)": (13, 0), "marked pictures": (6, 0), "register (regioncap)": (2, None)}
    assert run(project, dim=0.8).step_seconds == {}


def test_what_no_run_made_is_never_touched(project: Path, run: Run) -> None:
    run(project)
    cache = project / "cache"
    shutil.rmtree(cache / "regioncap_step6")  # else everything is needed
    (cache / "other_step1").symlink_to(project)
    (cache / "movies").mkdir()
    foreign = [
        cache / "notes.txt",
        cache / "movies" / "a.mp4",
        cache / "marks" / "b.jpg",
        cache / "regioncap_step1" / "c.jsonl",
        next(path for path in (cache / "marks").iterdir() if path.is_dir()) / "d.jpg",
    ]
    for path in foreign:
        path.write_bytes(b"mine")
    linked = cache / "marks" / "00" / f"{'0' * 64}.jpg"
    linked.parent.mkdir(exist_ok=True)
    linked.symlink_to(project / "photo0.png")
    for path in cache.rglob("*"):
        os.utime(path, (1e9, 1e9), follow_symlinks=False)
    contents = shown(cache)
    assert contents["foreign"] == 7
    assert "never touched: " in call("cache", "--cache-path", cache).output
    assert call("prune", "--cache-path", cache, "--marks", "--forget", project / "out.jsonl").exit_code == 0
    assert all(path.read_bytes() == b"mine" for path in foreign)
    assert linked.is_symlink()
    assert (project / "photo0.png").exists()


@pytest.mark.parametrize("command", ["cache", "prune"])
def test_a_folder_that_is_no_cache_is_refused(tmp_path: Path, command: str) -> None:
    def refusal(folder: str) -> str:
        return str(call(command, "--cache-path", tmp_path / folder).exception)

    assert "typo is not there; expected the cache of earlier runs" in refusal("typo")
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "experiment_runs").mkdir()
    (tmp_path / "data" / "images" / "a.jpg").touch()
    (tmp_path / "file").touch()
    for folder in ("", "data"):
        assert "is no cache of RegionCap; expected a folder with the files of earlier runs" in refusal(folder)
    assert "expected" in refusal("file")


def test_a_damaged_register_entry_stops_prune(project: Path, run: Run) -> None:
    run(project)
    (entry,) = (project / "cache" / "regioncap_runs").glob("*.json")
    entry.write_bytes(entry.read_bytes()[:100])
    contents = shown(project / "cache")
    assert contents["damaged_entries"] == [str(entry)]
    assert by_kind(contents)["marked pictures"] == (6, None)
    refused = call("prune", "--cache-path", project / "cache", "--marks", "--min-age", 0)
    assert f"{entry} cannot be read, so what its outputs need is not known" in str(refused.exception)
    run(project)
    assert call("prune", "--cache-path", project / "cache", "--min-age", 0).exit_code == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--forget", "unknown.jsonl"], "--forget: no run for unknown.jsonl is registered"),
        (["--file-name-prefix", "typo"], "has no files of the prefix 'typo'; expected 'regioncap'"),
    ],
)
def test_a_name_that_the_cache_does_not_know_is_refused(
    project: Path, run: Run, flags: list[str], message: str
) -> None:
    run(project)
    refused = call("prune", "--cache-path", project / "cache", *flags)
    assert isinstance(refused.exception, UsageError)
    assert message in str(refused.exception)


def test_what_is_known_of_servers_goes_that_no_run_asks(project: Path, run: Run) -> None:
    run(project)
    cache = project / "cache"
    (entry,) = (cache / "regioncap_runs").glob("*.json")
    content = json.loads(entry.read_text())
    asked = {"captioner": "openai", "endpoint": ["http://here/v1"], "model": "m"}
    entry.write_text(json.dumps({**content, "config": {**content["config"], **asked}}))
    remembered = RememberedFindings(Place(str(cache / "endpoints")))
    for url in ("http://here/v1", "http://gone/v1"):
        remembered.put(url, "m", Findings("auto", "regex", "max_tokens", "stop"))
    assert by_kind(shown(cache))["trials of servers"] == (2, 1)
    assert call("prune", "--cache-path", cache, "--min-age", 0).exit_code == 0
    assert remembered.get("http://here/v1", "m") is not None
    assert remembered.get("http://gone/v1", "m") is None


def test_indexes_of_tars_go_that_no_run_reads(tmp_path: Path, run: Run) -> None:
    def indexes() -> list[str]:
        return sorted(path.name for path in (tmp_path / "cache" / "tars").rglob("*.rows"))

    for seeds in (range(2), range(3)):
        members = [(f"{seed}.png", png(seed)) for seed in seeds]
        (tmp_path / "photos.tar").write_bytes(tar_bytes(members))
        run(tmp_path, input=str(tmp_path / "photos.tar"))
    assert len(indexes()) == 2
    assert by_kind(shown(tmp_path / "cache"))["tar indexes"] == (2, 1)
    (tmp_path / "photos.tar").rename(tmp_path / "away.tar")
    assert "all are kept" in call("prune", "--cache-path", tmp_path / "cache", "--min-age", 0).output
    (tmp_path / "away.tar").rename(tmp_path / "photos.tar")
    assert call("prune", "--cache-path", tmp_path / "cache", "--min-age", 0).exit_code == 0
    assert by_kind(shown(tmp_path / "cache"))["tar indexes"] == (1, 0)
    assert run(tmp_path, input=str(tmp_path / "photos.tar")).step_seconds == {}


def test_in_an_object_store(bucket: str, project: Path, run: Run) -> None:
    run(project, cache_path=f"{bucket}/cache")
    run(project, cache_path=f"{bucket}/cache", dim=0.8)
    fsspec.filesystem("s3", use_listings_cache=False).pipe_file(f"{bucket}/cache/marks/mine.txt", b"mine")
    contents = shown(f"{bucket}/cache")
    assert by_kind(contents)["marked pictures"] == (12, 6)
    assert contents["foreign_names"] == ["marks/mine.txt"]
    assert call("prune", "--cache-path", f"{bucket}/cache", "--marks", "--min-age", 0).exit_code == 0
    left = by_kind(shown(f"{bucket}/cache"))
    assert (left["marked pictures"], left["step files (regioncap)"]) == ((6, 0), (13, 0))
    assert "is not there" in str(call("cache", "--cache-path", f"{bucket}/typo").exception)
