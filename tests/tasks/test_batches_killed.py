"""Runs by batches that are really killed, at any of their calls, with the cache on a disk or in a store."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import pytest

from regioncap.captioners.fake_server import RunningServer
from regioncap.records import loads
from tests.support.batch_child import REQUESTS
from tests.support.batches_of_runs import Serve, answered_in_batches, batch_servers, look_quickly
from tests.support.commands import ROOT
from tests.support.photos import photo_rows
from tests.support.rows import write_rows

ROWS = 12

Answers = Mapping[str, Mapping[str, Any]]
"""By key."""


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    look_quickly(monkeypatch)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with batch_servers() as start:
        yield start


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path / "photos.jsonl", photo_rows(tmp_path, ROWS))
    return tmp_path


def stored(cache: str) -> Answers:
    """What is in a cache."""
    files, path = fsspec.core.url_to_fs(f"{cache}/captions", use_listings_cache=False)
    names = [name for name in files.find(path) if name.endswith(".json")]
    return {Path(name).stem: loads(files.cat_file(name)) for name in names}


def left_in(cache: str) -> list[str]:
    """What records of batches and claims a cache has."""
    files, path = fsspec.core.url_to_fs(cache, use_listings_cache=False)
    return [name for kind in ("batches", "claims") for name in files.find(f"{path}/{kind}")]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What a run that nobody killed has in its cache."""
    folder = tmp_path_factory.mktemp("whole")
    write_rows(folder / "photos.jsonl", photo_rows(folder, ROWS))
    with batch_servers() as serve:
        answered_in_batches(folder, serve(), batch_max_requests=REQUESTS)
    return stored(f"{folder}/cache")


def killed_run(folder: Path, server: RunningServer, call: str, number: int, when: str, *cache: str) -> None:
    command = [
        sys.executable, "-m", "tests.support.batch_child", str(folder), server.url, call, str(number), when, *cache
    ]  # fmt: skip
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def check(server: RunningServer, cache: str, expected: Answers) -> None:
    """Nothing was submitted twice, nothing is lost, what was paid for is on record, and nothing is left."""
    seen = server.batches.public()
    assert (seen["submitted"], seen["submitted_twice"], seen["answered"]) == (ROWS, 0, ROWS)
    assert server.stats["for_regions"] == 0
    answers = stored(cache)
    assert {key: answer["captions"] for key, answer in answers.items()} == {
        key: answer["captions"] for key, answer in expected.items()
    }
    for name in ("prompt_tokens", "completion_tokens"):
        assert sum(answer["usage"][name] for answer in answers.values()) == seen["billed"][name]
    assert left_in(cache) == []


POINTS = [
    "before-write-1", "after-write-1", "before-claim-1", "after-claim-5", "after-write_requests-1", "after-write-2",
    "before-upload-1", "after-upload-1", "after-write-3", "after-write-4", "before-create-1", "after-create-1",
    "after-write-5", "after-upload-2", "after-create-2", "after-get-1", "after-download-1", "before-store_replies-3",
    "after-store_replies-9", "before-delete-1", "after-delete-1", "after-delete-2", "before-remove-1",
]  # fmt: skip
"""Between packing, upload, creation, looking, download and keeping."""


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_has_nothing_submitted_twice_and_nothing_lost(
    point: str, folder: Path, serve: Serve, expected: Answers
) -> None:
    when, call, number = point.split("-")
    server = serve(list_delay=0.1)
    killed_run(folder, server, call, int(number), when)
    answered_in_batches(folder, server, batch_max_requests=REQUESTS)
    check(server, f"{folder}/cache", expected)


@pytest.mark.parametrize("point", ["after-claim-5", "after-upload-1", "after-create-1", "after-store_replies-3"])
def test_a_kill_with_the_cache_in_a_store(
    point: str, folder: Path, serve: Serve, expected: Answers, bucket: str
) -> None:
    when, call, number = point.split("-")
    server, cache = serve(list_delay=0.1), f"{bucket}/cache"
    killed_run(folder, server, call, int(number), when, cache)
    answered_in_batches(folder, server, batch_max_requests=REQUESTS, cache_path=cache)
    check(server, cache, expected)
