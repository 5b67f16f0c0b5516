"""What killed runs leave goes when it is a day old and nobody has it; nothing else does."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import fsspec
import pytest

from regioncap.storage.filesystem import Place
from regioncap.storage.leftovers import MIN_AGE_SECONDS, Leftover, beside, in_cache, in_temporary_folder
from regioncap.storage.uploads import abort_old_uploads, is_old
from tests.support.commands import ROOT

OLD = MIN_AGE_SECONDS + 600


def age(path: Path, seconds: float = OLD) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def part(folder: Path, name: str, seconds: float = OLD) -> Path:
    """A temporary file that was to become `name`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{name[:80]}.{uuid.uuid4().hex}.part"
    path.write_bytes(b"half")
    return age(path, seconds)


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


CACHE_FOLDERS = ("regioncap_step0", "other_step6", "regioncap_runs", "captions/ba", "marks/05", "images/0a")


def test_in_a_cache_everywhere_and_nothing_else(tmp_path: Path) -> None:
    left = {part(tmp_path / folder, "a.json") for folder in CACHE_FOLDERS}
    (tmp_path / "dask").mkdir()
    probe = tmp_path / "dask" / f"{uuid.uuid4().hex}.probe"
    probe.touch()
    left.add(age(probe))
    for folder in CACHE_FOLDERS:
        part(tmp_path / folder, "young.json", MIN_AGE_SECONDS - 600)
        part(tmp_path / folder, "of the future.json", -OLD)
        whole = tmp_path / folder / "whole.json"
        whole.write_bytes(b"{}")
        age(whole)
    part(tmp_path / "mine", "a.json")
    part(tmp_path, "a.json")
    assert {leftover.path for leftover in in_cache(Place(str(tmp_path)))} == left
    assert list(in_cache(Place(f"file://{tmp_path}/none"))) == []


def test_beside_an_output_only_its_own(tmp_path: Path) -> None:
    long = "x" * 120
    left = {part(tmp_path, name) for name in ("out.jsonl", "out.rejects.jsonl", "out.report.html")}
    part(tmp_path, "other.jsonl")
    part(tmp_path, "out.jsonl", 60)
    assert {leftover.path for leftover in beside([Place(str(tmp_path))], "out")} == left
    cut_off = part(tmp_path, f"{long}.jsonl")
    assert [leftover.path for leftover in beside([Place(str(tmp_path))], long)] == [cut_off]


WORK = """
import signal, sys
from pathlib import Path
from regioncap.storage.filesystem import Place
from regioncap.storage.scratch import Scratch
from regioncap.storage.temporary import TemporaryFolder, temporary_file
scratch = Scratch()
with scratch.holding(["a"]):
    scratch.put("a", b"an image")
    vllm = TemporaryFolder("vllm")
    (vllm.path / "vllm-0.log").write_text("starting")
    with temporary_file("upload") as upload, Place(sys.argv[1]).writer() as out:
        upload.write(b"half")
        out.write(b"half")
        out.flush()
        print("working", flush=True)
        signal.pause()
"""


def found(folder: Path) -> set[str]:
    every: list[Leftover] = [*in_temporary_folder(), *beside([Place(str(folder))], "out")]
    return {leftover.path.name.rpartition("-")[0] or leftover.path.suffix for leftover in every}


def test_what_a_process_has_is_left_to_it_until_it_is_killed(tmp_path: Path, temporary_folder: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WORK, str(tmp_path / "out.jsonl")], stdout=subprocess.PIPE, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == b"working\n"
    there = [*temporary_folder.iterdir(), *tmp_path.glob(".out*")]
    assert len(there) == 4
    for path in there:
        age(path)
    for prefix in ("regioncap-mine-", "images-"):
        age(Path(tempfile.mkdtemp(prefix=prefix)))
    assert found(tmp_path) == set()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert found(tmp_path) == {"regioncap-images", "regioncap-vllm", "regioncap-upload", ".part"}
    for leftover in [*in_temporary_folder(), *beside([Place(str(tmp_path))], "out")]:
        leftover.remove()
    assert found(tmp_path) == set()
    assert len(list(temporary_folder.iterdir())) == 2


def test_uploads_that_were_never_finished(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = fsspec.filesystem("s3", use_listings_cache=False)
    name = bucket.removeprefix("s3://")
    for key in ("out/captions.jsonl", "out/other.jsonl", "cache/regioncap_step0/a.jsonl"):
        files.call_s3("create_multipart_upload", Bucket=name, Key=key)
    monkeypatch.setattr("regioncap.storage.uploads.MIN_AGE", dt.timedelta(days=365_000))
    assert abort_old_uploads(Place(f"{bucket}/cache")) == 0
    monkeypatch.setattr("regioncap.storage.uploads.MIN_AGE", dt.timedelta(days=-1))
    assert abort_old_uploads(Place(f"{bucket}/out"), "captions") == 1
    assert abort_old_uploads(Place(f"{bucket}/cache")) == 1
    assert [upload["Key"] for upload in files.list_multipart_uploads(name)] == ["out/other.jsonl"]
    assert abort_old_uploads(Place("memory://somewhere")) == 0


@pytest.mark.parametrize(("hours", "old"), [(23, False), (25, True), (-25, False)])
def test_the_age_of_an_upload_is_by_the_clock_of_the_store(hours: int, old: bool) -> None:
    response = {"ResponseMetadata": {"HTTPHeaders": {"date": "Thu, 26 Nov 2026 12:00:00 GMT"}}}
    assert is_old(dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC) - dt.timedelta(hours=hours), response) == old
