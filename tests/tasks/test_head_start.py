"""The first rows are begun before Prefect is there, and their shards' steps take up what was begun."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.image_ref import ImageRef
from regioncap.records import Row
from regioncap.run.context import RunContext
from regioncap.run.runs import RUNS
from regioncap.run.shard_run import ShardRun
from regioncap.storage.images import ImageFiles
from regioncap.tasks.head_start import begin_first_shards, head_start
from regioncap.tasks.shard import keep_input, run_steps
from tests.support.photos import write_photo
from tests.support.rows import BOX, write_rows
from tests.support.runs import config_of
from tests.support.s3_requests import S3Requests
from tests.support.waiting import until

ROWS = 6


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A model server, and in `tmp_path` an input: rows with and without boxes, and one whose image is missing."""
    rows: list[Row] = []
    for number in range(ROWS):
        write_photo(tmp_path / f"{number}.png", number)
        rows.append({"image": f"{number}.png", **({"bbox": [BOX]} if number % 2 else {})})
    write_rows(tmp_path / "photos.jsonl", [*rows, {"image": "gone.png"}])
    with RunningServer(Behaviour(latency=0.0)) as running:
        yield running


def settings(server: RunningServer, **more: Any) -> dict[str, Any]:
    return {"captioner": "openai", "endpoint": server.url, "model": "fake-vlm", **more}


@contextmanager
def run_of(folder: Path, given: dict[str, Any]) -> Iterator[RunContext]:
    """The context of a run, closed at the end."""
    config = config_of(folder, **given)
    with RUNS.enter():
        try:
            yield RUNS.context(config)
        finally:
            RUNS.close(config)


def answered_early(context: RunContext) -> bool:
    """Whether all rows were requested ahead of the steps, and the answers are there."""
    early = {key: count for keys in context.shard_runs.all_requested_early().values() for key, count in keys.items()}
    return len(early) == ROWS and context.progress.counts.captions_new == sum(early.values())


def captioned(context: RunContext) -> list[Row]:
    """The rows that the six steps make of all shards."""
    made = [run_steps(keep_input(shard, context), context.config, False)[-1] for shard in context.shards()]
    return [row for step in made for row in context.storage.read(step)]


def interrupted_in_head_start(context: RunContext, before: Callable[[], object] = lambda: None) -> None:
    """Ctrl-C while Prefect starts, after `before`."""
    with contextlib.suppress(KeyboardInterrupt), head_start(context):
        before()
        raise KeyboardInterrupt


@pytest.mark.parametrize("shard_size", [1000, 2], ids=["one shard", "several"])
def test_what_was_begun_is_taken_up(
    shard_size: int, tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[str] = Counter()
    read = ImageFiles.read

    def counted(self: ImageFiles, ref: ImageRef) -> bytes:
        reads[ref.name] += 1
        return read(self, ref)

    monkeypatch.setattr(ImageFiles, "read", counted)
    with run_of(tmp_path, settings(server, shard_size=shard_size)) as context:
        assert (len(list(context.shards())) == 1) == (shard_size > ROWS)
        begin_first_shards(context)
        until(lambda: answered_early(context))
        sent = server.stats["requests"]
        rows = captioned(context)
        assert server.stats["requests"] == sent
    assert [len(row["captions"]) >= 1 for row in rows[:ROWS]] == [True] * ROWS
    assert rows[ROWS]["reject"]["code"] == "image_missing"
    assert [reads[f"{number}.png"] for number in range(ROWS)] == [1] * ROWS


def test_images_on_s3_are_fetched_once(
    tmp_path: Path, server: RunningServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.filesystem("s3").put([str(path) for path in tmp_path.iterdir() if path.is_file()], f"{bucket}/in/")
    requests = S3Requests(monkeypatch)
    places = {"input": f"{bucket}/in/photos.jsonl", "cache_path": f"{bucket}/cache", "output": f"{bucket}/out.jsonl"}
    with run_of(tmp_path, settings(server, **places)) as context:
        begin_first_shards(context)
        until(lambda: answered_early(context))
        sent = server.stats["requests"]
        rows = captioned(context)
        assert server.stats["requests"] == sent
    assert [len(row["captions"]) >= 1 for row in rows[:ROWS]] == [True] * ROWS
    assert rows[ROWS]["reject"]["code"] == "image_missing"
    fetched = Counter(key for method, key in requests.sent if method == "GET" and key.endswith(".png"))
    assert [fetched[f"in/{number}.png"] for number in range(ROWS)] == [1] * ROWS


def test_images_that_are_still_on_their_way_do_not_stop_the_threads_that_they_need(
    tmp_path: Path, server: RunningServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.filesystem("s3").put([str(path) for path in tmp_path.iterdir() if path.is_file()], f"{bucket}/in/")
    bring, slow = ImageFiles.bring, threading.Event()

    def bring_slowly(*args: Any) -> None:
        slow.wait(300)
        bring(*args)

    monkeypatch.setattr(ImageFiles, "bring", bring_slowly)
    with run_of(tmp_path, settings(server, input=f"{bucket}/in/photos.jsonl", threads=2)) as context:
        begin_first_shards(context)
        threading.Timer(1.0, slow.set).start()  # the shard's steps have begun by then
        rows = captioned(context)
        assert server.stats["paid_twice"] == 0
    assert [len(row["captions"]) >= 1 for row in rows[:ROWS]] == [True] * ROWS


def test_a_run_that_ends_while_images_are_fetched_leaves_nothing_waiting(
    tmp_path: Path, server: RunningServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.filesystem("s3").put([str(path) for path in tmp_path.iterdir() if path.is_file()], f"{bucket}/in/")
    ended = threading.Event()
    monkeypatch.setattr(ImageFiles, "bring", lambda *_: ended.wait(300))
    with run_of(tmp_path, settings(server, input=f"{bucket}/in/photos.jsonl")) as context:
        begun: list[Future[Row]] = []
        monkeypatch.setattr(ShardRun, "extract_ahead", lambda _, row, extracting: begun.append(extracting))
        begin_first_shards(context)
        context.threads.close()
        ended.set()
    assert len(begun) > 0
    assert all(extracting.exception(300) is not None for extracting in begun)


def test_rows_are_the_same_as_without_it(tmp_path: Path, server: RunningServer) -> None:
    found = []
    for name in ("begun", "plain"):
        with run_of(tmp_path, settings(server, cache_path=str(tmp_path / name))) as context:
            if name == "begun":
                begin_first_shards(context)
            found.append(captioned(context))
    assert found[0] == found[1]


def test_an_image_that_changed_meanwhile_is_read_again(tmp_path: Path, server: RunningServer) -> None:
    with run_of(tmp_path, settings(server)) as context:
        begin_first_shards(context)
        until(lambda: answered_early(context))
        sent = server.stats["requests"]
        write_photo(tmp_path / "1.png", 99)
        assert captioned(context)[1]["captions"]
        assert server.stats["requests"] == sent + 1


@pytest.mark.parametrize(
    "more",
    [
        {"captioner": "pixels", "endpoint": [], "model": None},
        {"api_key_block": "key"},
        {"runner": "dask", "dask_address": "tcp://host:8786"},
    ],
    ids=["no model", "a key in Prefect", "other processes"],
)
def test_nothing_is_begun(tmp_path: Path, server: RunningServer, more: dict[str, Any]) -> None:
    with run_of(tmp_path, settings(server, **more)) as context:
        begin_first_shards(context)
        assert server.stats["requests"] == 0


def test_a_run_that_ends_with_an_error_sends_nothing_more(tmp_path: Path, server: RunningServer) -> None:
    with run_of(tmp_path, settings(server)) as context:
        interrupted_in_head_start(context)
        assert context.stop.is_set()


def test_neither_does_one_that_ends_while_rows_are_begun(
    tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("regioncap.tasks.head_start._begin", interrupted)
    with run_of(tmp_path, settings(server)) as context:
        with pytest.raises(KeyboardInterrupt), head_start(context):
            pass
        assert context.stop.is_set()


def test_what_was_paid_for_before_an_end_without_a_flow_is_on_record(tmp_path: Path, server: RunningServer) -> None:
    with run_of(tmp_path, settings(server)) as context:
        interrupted_in_head_start(context, lambda: until(lambda: answered_early(context)))
        regions = context.progress.counts.captions_new
        assert context.kept is not None
        assert context.kept.count == regions
        runs = Path(context.config.output).with_suffix(".runs.jsonl")
    (line,) = map(json.loads, runs.read_text().splitlines())
    assert (line["outcome"], line["captions_new"]) == ("stopped", regions)
    assert line["requests"] == server.stats["requests"]


def test_the_record_of_a_flow_that_began_is_its_own(tmp_path: Path, server: RunningServer) -> None:
    with run_of(tmp_path, settings(server)) as context:
        interrupted_in_head_start(context, lambda: RUNS.close(context.config))
        assert context.kept is None
