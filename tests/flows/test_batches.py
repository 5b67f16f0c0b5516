"""Runs by batches: submitted once, collected when they are done, and with the output of an online run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from regioncap.captioners.fake_server import RunningServer
from regioncap.command.app import main
from regioncap.errors import BudgetReached, CaptionerError, Waiting
from regioncap.storage.batch_records import BatchRecord
from tests.support.batches_of_runs import Serve, batch_servers, left_in, look_quickly, settings_of
from tests.support.photos import photo_rows
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run

ROWS = 12


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


def places(folder: Path, name: str) -> dict[str, str]:
    """An output and a cache of its own."""
    return {"output": f"{folder}/{name}.jsonl", "cache_path": f"{folder}/{name}-cache"}


def command(*args: str) -> int:
    """The exit code of `regioncap`, called in this process."""
    with pytest.raises(SystemExit) as end:
        main(args)
    return int(end.value.code or 0)


def texts(folder: Path, name: str) -> bytes:
    """An output, with the names of the cache's folders made the same."""
    return (folder / f"{name}.jsonl").read_bytes().replace(f"{name}-cache".encode(), b"cache")


def test_the_output_is_that_of_an_online_run(folder: Path, run: Run, serve: Serve) -> None:
    server = serve(shuffled=True, twice=0.3)
    run(folder, **settings_of(serve(), delivery="online"), **places(folder, "online"))
    summary = run(folder, **settings_of(server, batch_max_requests=5), **places(folder, "batch"))
    assert texts(folder, "batch") == texts(folder, "online")
    seen = server.batches.public()
    assert (seen["batches"], seen["submitted"], seen["submitted_twice"], seen["answered"]) == (3, ROWS, 0, ROWS)
    assert server.stats["for_regions"] == 0  # nothing was asked online
    assert summary.ok


def test_a_run_that_has_waited_long_enough_is_waiting_and_the_next_goes_on(
    folder: Path, run: Run, serve: Serve
) -> None:
    done = threading.Event()
    server = serve(until={"in_progress": done})
    with pytest.raises(Waiting, match="0 of 1 batches done, 0 of 12 answers"):
        run(folder, **settings_of(server, batch_wait=0))
    assert not (folder / "out.jsonl").exists()
    done.set()
    run(folder, **settings_of(server))
    assert len(read_rows(folder / "out.jsonl")) == ROWS
    assert server.batches.public()["submitted"] == ROWS
    assert [line["outcome"] for line in read_rows(folder / "out.runs.jsonl")] == ["waiting", "complete"]
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["summary-out"])))
    assert any(str(each.data).startswith("## The run waits for its answers") for each in found)


def test_a_run_with_nothing_to_do_needs_no_server(folder: Path, run: Run, serve: Serve) -> None:
    server = serve()
    run(folder, **settings_of(server))
    settings = settings_of(server, endpoint="http://127.0.0.1:9/v1", server_patience=0.1)
    (folder / "out.jsonl").unlink()
    assert run(folder, **settings).ok
    assert len(read_rows(folder / "out.jsonl")) == ROWS


def test_the_command_lists_batches_and_ends_them(
    folder: Path, run: Run, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    done = threading.Event()
    server = serve(until={"in_progress": done})
    with pytest.raises(Waiting):
        run(folder, **settings_of(server, batch_wait=0))
    of = [str(folder / "out.jsonl"), "--cache-path", str(folder / "cache")]
    assert command("batches", *of) == 0
    assert ": in_progress, 0 of 12 answers" in capsys.readouterr().out
    assert command("batches", *of, "--cancel") == 0
    done.set()
    assert server.batches.public()["cancelled"] == 1
    run(folder, **settings_of(server))
    assert len(read_rows(folder / "out.jsonl")) == ROWS
    assert command("batches", *of) == 0
    assert "no batches" in capsys.readouterr().out


def test_the_command_says_that_it_waits(
    folder: Path, prefect_server: None, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(until={"in_progress": threading.Event()})
    given = [
        str(folder / "photos.jsonl"), "--output", str(folder / "out.jsonl"), "--cache-path", str(folder / "cache"),
        "--model", "fake-vlm", "--endpoint", server.url, "--delivery", "batch", "--batch-wait", "0",
    ]  # fmt: skip
    assert command("run", *given) == 75
    said = capsys.readouterr().err
    assert "waiting: 0 of 1 batches done, 0 of 12 answers" in said
    assert f"Go on with:\n  regioncap run {folder}" in said
    look = f"regioncap batches {folder / 'out.jsonl'} --cache-path {folder / 'cache'}"
    assert f"See how far they are with:\n  {look}\n" in said
    assert not (folder / "out.jsonl").exists()
    assert command(*look.split()[1:]) == 0


def test_what_is_not_created_yet_is_listed_and_given_up(
    folder: Path, run: Run, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(enqueued_tokens=1)
    with pytest.raises(Waiting, match="1 wait for room at the provider"):
        run(folder, **settings_of(server, batch_wait=1))
    server.change_batches(enqueued_tokens=None)
    of = [str(folder / "out.jsonl"), "--cache-path", str(folder / "cache")]
    assert command("batches", *of, "--cancel") == 0
    capsys.readouterr()
    run(folder, **settings_of(server))
    assert len(read_rows(folder / "out.jsonl")) == ROWS
    assert left_in(folder, "batches") + left_in(folder, "claims") == []


# --- what only a person knows


def record_of(folder: Path) -> BatchRecord:
    """The one record of a batch in a folder's cache."""
    (found,) = [path for path in left_in(folder, "batches") if path.name.count(".") == 1]
    return BatchRecord.of(found.read_bytes())


@pytest.fixture
def unclear(folder: Path, run: Run, serve: Serve) -> RunningServer:
    """A server without a list that a run did not hear of after it had created its batch."""
    server = serve(no_list=404, calls={"create": ["lost"]})
    with pytest.raises(CaptionerError, match=r"--adopt [0-9a-f]{32}=BATCH"):
        run(folder, **settings_of(server))
    return server


def test_a_batch_that_a_person_names_is_collected(
    folder: Path, run: Run, unclear: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = record_of(folder).id
    of = ["batches", str(folder / "out.jsonl"), "--cache-path", str(folder / "cache"), "--adopt"]
    for wrong, said in {
        "nothing": "expected ID=BATCH or ID=none",
        f"{'0' * 32}=batch_1": "no batch with this ID is on record",
        f"{ours}=batch_1": "has no batch batch_1",
    }.items():
        assert command(*of, wrong) == 2
        assert said in capsys.readouterr().err
    (theirs,) = unclear.batch_ids
    assert command(*of, f"{ours}={theirs}") == 0
    assert f"{ours} is batch {theirs}" in capsys.readouterr().out
    run(folder, **settings_of(unclear))
    assert len(read_rows(folder / "out.jsonl")) == ROWS
    assert unclear.batches.public()["batches"] == 1


def test_a_batch_that_a_person_has_not_found_is_created_again(folder: Path, run: Run, serve: Serve) -> None:
    server = serve(no_list=404, calls={"create": ["unheard"]})
    with pytest.raises(CaptionerError, match="--adopt"):
        run(folder, **settings_of(server))
    of = ["batches", str(folder / "out.jsonl"), "--cache-path", str(folder / "cache")]
    assert command(*of, "--adopt", f"{record_of(folder).id}=none") == 0
    run(folder, **settings_of(server))
    seen = server.batches.public()
    assert (seen["files"], seen["batches"], seen["submitted"]) == (1, 1, ROWS)


def test_a_batch_that_is_gone_is_given_up(
    folder: Path, run: Run, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(calls={"retrieve": ["404", "404"]})
    with pytest.raises(CaptionerError, match="has no batch"):
        run(folder, **settings_of(server))
    of = ["batches", str(folder / "out.jsonl"), "--cache-path", str(folder / "cache")]
    ours = record_of(folder).id
    assert command(*of) == 0
    assert f"not at the provider (any more), 12 requests; --adopt {ours}=none gives it up" in capsys.readouterr().out
    assert command(*of, "--adopt", f"{ours}=none") == 0
    run(folder, **settings_of(server))
    assert len(read_rows(folder / "out.jsonl")) == ROWS
    assert server.batches.public()["batches"] == 2


def test_an_online_run_says_that_batches_are_waited_for(
    folder: Path, run: Run, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(until={"in_progress": threading.Event()})
    with pytest.raises(Waiting):
        run(folder, **settings_of(server, batch_wait=0))
    write_rows(folder / "photos.jsonl", [{"image": photo_rows(folder, ROWS + 1)[-1]["image"], "bbox": [[1, 1, 9, 9]]}])
    run(folder, **settings_of(server, delivery="online"))
    assert "1 batches or files of requests of earlier runs on this cache are not collected" in caplog.text


def test_regions_are_found_online_and_captioned_by_batches(folder: Path, run: Run, serve: Serve) -> None:
    write_rows(folder / "photos.jsonl", [{"image": row["image"]} for row in read_rows(folder / "photos.jsonl")])
    asking = {"extractor": "vlm", "find_coordinates": "px", "max_boxes": 4}
    server = serve()
    run(folder, **settings_of(serve(), delivery="online"), **places(folder, "online"), **asking)
    summary = run(folder, **settings_of(server), **places(folder, "batch"), **asking)
    assert texts(folder, "batch") == texts(folder, "online")
    assert (server.stats["for_boxes"], server.stats["for_regions"]) == (ROWS, 0)
    assert server.batches.public()["submitted"] == ROWS
    assert (summary.regions_asked, summary.captions_asked) == (ROWS, summary.regions)


def test_limits_of_batches_count_what_was_asked_for_regions(folder: Path, run: Run, serve: Serve) -> None:
    write_rows(folder / "photos.jsonl", [{"image": row["image"]} for row in read_rows(folder / "photos.jsonl")])
    asking = {"extractor": "vlm", "find_coordinates": "px", "max_boxes": 4}
    server = serve()
    with pytest.raises(BudgetReached):
        run(folder, **settings_of(server), **asking, max_requests=ROWS + ROWS // 2)
    assert server.stats["for_boxes"] == ROWS
    assert server.stats["requests"] + server.batches.public()["submitted"] <= ROWS + ROWS // 2
