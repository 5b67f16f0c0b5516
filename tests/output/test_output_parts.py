"""An output in parts: there as shards finish, untouched when nothing changed, whole at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regioncap.errors import AccountingError, InputDamaged
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run

Folder = Path


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    """Forty rows in `photos.jsonl`, one of them without its image."""
    write_photo(tmp_path / "p.png", 1)
    found = [{"image": "p.png", "bbox": [BOX], "n": number} for number in range(40)]
    found[17]["image"] = "gone.png"
    write_rows(tmp_path / "photos.jsonl", found)
    return found


@pytest.fixture
def run_parts(run: Run, tmp_path: Path) -> Callable[..., Any]:
    """A run with shards of eight rows into the folder `out/`."""
    return lambda **more: run(tmp_path, **{"output": f"{tmp_path}/out/", "shard_size": 8, **more})


def seen(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time and content of every file below `folder`, but the list of runs."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "runs.jsonl")
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def captioned(folder: Path) -> list[int]:
    """`n` of the rows of all parts, in the order of their names."""
    return [row["n"] for part in sorted(folder.glob("part-*.jsonl")) for row in read_rows(part)]


def test_parts_hold_what_one_file_holds(
    tmp_path: Path, run: Run, run_parts: Callable[..., Any], rows: list[dict[str, Any]]
) -> None:
    summary = run_parts()
    whole = run(tmp_path, shard_size=8)
    out = tmp_path / "out"
    parts = sorted(out.glob("part-*.jsonl"))
    assert len(parts) > 3
    assert b"".join(part.read_bytes() for part in parts) == (tmp_path / "out.jsonl").read_bytes()
    rejects = b"".join(path.read_bytes() for path in (out / "_regioncap" / "rejects").iterdir())
    assert rejects == (tmp_path / "out.rejects.jsonl").read_bytes()
    index = json.loads((out / "_regioncap" / "index.json").read_text())
    assert [part["name"] for part in index["parts"]] == [part.name for part in parts]
    assert [part["bytes"] for part in index["parts"]] == [part.stat().st_size for part in parts]
    assert sum(part["rows"] for part in index["parts"]) == 39
    assert (out / "_SUCCESS").exists()
    same = ("rows_in", "rows_out", "rejects_by_code", "regions", "boxes_in", "boxes_dropped", "output_bytes")
    assert [getattr(summary, name) for name in same] == [getattr(whole, name) for name in same]


def test_an_unchanged_run_touches_nothing(
    tmp_path: Path, run_parts: Callable[..., Any], rows: list[dict[str, Any]]
) -> None:
    run_parts()
    before = seen(tmp_path / "out")
    run_parts()
    assert seen(tmp_path / "out") == before


def test_a_changed_shard_replaces_its_part_only(
    tmp_path: Path, run_parts: Callable[..., Any], rows: list[dict[str, Any]]
) -> None:
    run_parts()
    before = seen(tmp_path / "out")
    write_rows(tmp_path / "photos.jsonl", [*rows, {**rows[0], "n": 40}])
    summary = run_parts()
    assert summary.rows_out == 40
    assert captioned(tmp_path / "out") == [*range(17), *range(18, 41)]
    after = seen(tmp_path / "out")
    same = [name for name in before if name.startswith("part-") and after.get(name) == before[name]]
    assert len(same) == len(list((tmp_path / "out").glob("part-*.jsonl"))) - 1


def test_a_lost_or_cut_part_is_written_again(
    tmp_path: Path, run_parts: Callable[..., Any], rows: list[dict[str, Any]]
) -> None:
    run_parts()
    parts = sorted((tmp_path / "out").glob("part-*.jsonl"))
    contents = [part.read_bytes() for part in parts]
    parts[0].unlink()
    parts[1].write_bytes(contents[1][:-5])
    (tmp_path / "out" / "_regioncap" / "index.json").unlink()
    assert run_parts().step_seconds == {}
    assert [part.read_bytes() for part in parts] == contents
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_parts_are_there_before_the_end(
    tmp_path: Path, run_parts: Callable[..., Any], rows: list[dict[str, Any]]
) -> None:
    # The input breaks off in the middle: what was done before is there to look at, without the mark.
    many = [{"image": "p.png", "bbox": [BOX], "n": number} for number in range(900)]
    (tmp_path / "photos.json").write_text(json.dumps(many)[:-1])
    with pytest.raises(InputDamaged):
        run_parts(input=f"{tmp_path}/photos.json", shard_size=60)
    there = captioned(tmp_path / "out")
    assert there
    assert set(there) < set(range(900))
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    (tmp_path / "photos.json").write_text(json.dumps(many))
    assert run_parts(input=f"{tmp_path}/photos.json", shard_size=60).rows_out == 900
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_a_run_that_ends_badly_takes_the_mark_away(
    tmp_path: Path, run_parts: Callable[..., Any], rows: list[dict[str, Any]]
) -> None:
    run_parts()
    write_rows(tmp_path / "photos.jsonl", [*rows, *[{"image": "gone.png", "n": n} for n in range(60)]])
    summary = run_parts()
    assert (summary.complete, summary.rows_out) == (False, 39)
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    # The parts as such are whole: with more patience the same ones are complete.
    assert run_parts(max_reject_share=1.0).complete
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_counts_that_do_not_add_up_leave_no_mark(
    tmp_path: Path, run_parts: Callable[..., Any], rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import regioncap.output.join

    real = regioncap.output.join.joined
    monkeypatch.setattr(regioncap.output.join, "joined", lambda context, steps: list(real(context, steps))[1:])
    with pytest.raises(AccountingError):
        run_parts()
    assert not (tmp_path / "out" / "_SUCCESS").exists()
