"""People's corrections in runs: what they say stays and is never asked for; what they reject is asked for once more."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.command import terminal
from regioncap.command.prune import Prune
from regioncap.command.registered_runs import Register
from regioncap.errors import UsageError
from regioncap.output.summary import Summary
from regioncap.report.run_summary import summary_page
from regioncap.storage.cache_folder import CacheFolder
from regioncap.storage.filesystem import Place
from tests.support.commands import call
from tests.support.edits import edit_of, marks_in, text_of, write_edits
from tests.support.model_servers import images_of
from tests.support.photos import write_photo
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run, config_of

BOXES = [[12, 16, 36, 40], [60.5, 10, 20, 20]]
PHOTOS = 4


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """A server that says another text of a region when it sees it closer."""

    def caption(pictures: tuple[str, ...], number: int) -> str:
        return f"A closer view of thing {number}." if len(pictures) > 1 else f"A wooden thing of kind {number}."

    with RunningServer(Behaviour(latency=0.0, slots=8, caption=caption)) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(PHOTOS):
        write_photo(tmp_path / f"photo{number}.png", number)
    write_rows(tmp_path / "photos.jsonl", [{"image": f"photo{n}.png", "bbox": BOXES} for n in range(PHOTOS)])
    return tmp_path


def settings(server: RunningServer, **more: Any) -> dict[str, Any]:
    return {"captioner": "openai", "model": "fake-vlm", "endpoint": [server.url], "max_pixels": 40_000, **more}


def texts(folder: Path, name: str = "out.jsonl") -> list[list[str]]:
    return [[text_of(row, n + 1) for n in range(len(row["mdvp_record"]))] for row in read_rows(folder / name)]


def counts(summary: Summary) -> tuple[int, ...]:
    return tuple(summary.edits[name] for name in ("approved", "edited", "rejected", "rows", "unused"))


def test_what_people_say_is_in_the_output(
    folder: Path, run: Run, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder, **settings(server))
    before = (folder / "out.jsonl").read_bytes()
    rows = read_rows(folder / "out.jsonl")
    asked = server.stats["requests"]
    edits = write_edits(
        folder / "out.edits.jsonl",
        edit_of(rows[0], 1),
        edit_of(rows[0], 2, "edit", "A spoon of silver."),
        edit_of(rows[1], 2, "reject"),
        {**edit_of(rows[2]), "image_sha256": "0" * 64},
    )
    recorded = server.record()
    summary = run(folder, edits=edits, **settings(server))
    assert counts(summary) == (1, 1, 1, 2, 1)
    assert texts(folder)[:2] == [
        ["A wooden thing of kind 1.", "A spoon of silver."], ["A wooden thing of kind 1.", "A closer view of thing 2."],
    ]  # fmt: skip
    assert marks_in(folder / "out.jsonl") == [["approved", "edited"], [None, "rejected"], None, None]
    assert (summary.captions_asked, summary.rejects) == (1, 0)
    assert 2 in [len(images_of(body)) for body in recorded]  # the closer view
    unused = read_rows(folder / "out.unused_edits.jsonl")
    assert [one["image_sha256"] for one in unused] == ["0" * 64]
    assert summary.unused_edits_file.endswith("out.unused_edits.jsonl")
    said = "1 approved, 1 edited, 1 rejected in 2 rows; 1 edit fits no row, see "
    assert said in summary_page(summary, [])
    assert "<td>edits: unused</td>" in summary._repr_html_()
    terminal.show(summary)
    assert f"1 edit fits no row: {folder}/out.unused_edits.jsonl" in capsys.readouterr().out
    asked = server.stats["requests"]
    again = run(folder, edits=edits, **settings(server))
    assert (counts(again), server.stats["requests"]) == (counts(summary), asked)
    (folder / "out.unused_edits.jsonl").unlink()
    run(folder, edits=edits, **settings(server))
    assert read_rows(folder / "out.unused_edits.jsonl") == unused
    plain = run(folder, **settings(server))
    assert (plain.edits, plain.captions_asked) == ({}, 0)
    assert (folder / "out.jsonl").read_bytes() == before
    assert not (folder / "out.unused_edits.jsonl").exists()


def test_a_thousand_rows_keep_their_edits_whatever_becomes_of_them(
    tmp_path: Path, run: Run, server: RunningServer
) -> None:
    for number in range(20):
        write_photo(tmp_path / f"photo{number}.png", number)
    rows = [{"image": f"photo{n % 20}.png", "bbox": [[n // 20, 4.25, 20, 30]], "id": n} for n in range(1000)]
    write_rows(tmp_path / "photos.jsonl", rows)
    run(tmp_path)
    approved = [edit_of(row) for row in read_rows(tmp_path / "out.jsonl")]
    for number in range(0, 1000, 3):
        approved[number] |= {"action": "edit", "caption": f"What a person wrote of {number}."}
    random.Random(7).shuffle(approved)
    edits = write_edits(tmp_path / "out.edits.jsonl", *approved)
    expected = {one["image_sha256"] + str(one["bbox"]): one["caption"] for one in approved}
    assert len(expected) == 1000

    (tmp_path / "moved").mkdir()
    for number in range(20):
        shutil.move(tmp_path / f"photo{number}.png", tmp_path / "moved" / f"{number * 7}.png")
    for row in rows:
        row["image"] = f"moved/{int(str(row['image'])[5:-4]) * 7}.png"
        row["bbox"] = [[float(number) for number in row["bbox"][0]]]  # type: ignore[index]
    random.Random(8).shuffle(rows)
    write_rows(tmp_path / "photos.jsonl", rows)
    summary = run(tmp_path, edits=edits, shard_size=130, **settings(server))  # before, no model was asked
    assert counts(summary) == (666, 334, 0, 1000, 0)
    found = {
        row["meta_info"]["image_sha256"] + str([*map(trimmed, row["meta_info"]["bbox"][0])]): text_of(row)
        for row in read_rows(tmp_path / "out.jsonl")
    }
    assert found == expected
    assert (summary.captions_asked, summary.requests) == (0, 0)
    assert server.stats["requests"] == 0


def trimmed(number: float) -> float:
    return int(number) if number == int(number) else number


def test_parts_that_no_edit_concerns_stay_as_they_are(folder: Path, run: Run, server: RunningServer) -> None:
    # Every shard has a row of its own: borders depend on the lines.
    out = {"output": f"{folder}/out/", "shard_size": 1}
    run(folder, **out, **settings(server))
    parts = {path.name: path for path in (folder / "out").glob("part-*.jsonl")}
    rows = [row for _, path in sorted(parts.items()) for row in read_rows(path)]
    edits = write_edits(
        folder / "e.jsonl", edit_of(rows[-1], 1, "edit", "Mine."), {**edit_of(rows[0]), "bbox": [1, 1, 2, 2]}
    )
    summary = run(folder, edits=edits, **out, **settings(server))
    assert counts(summary) == (0, 1, 0, 1, 1)
    now = {path.name for path in (folder / "out").glob("part-*.jsonl")}
    assert len(parts.keys() - now) == len(now - parts.keys()) == 1
    assert len(read_rows(folder / "out" / "_regioncap" / "unused_edits.jsonl")) == 1
    (folder / "out" / "_regioncap" / "unused_edits.jsonl").unlink()
    again = run(folder, edits=edits, **out, **settings(server))
    assert (again.edits, again.unused_edits_file) == (summary.edits, summary.unused_edits_file)
    assert len(read_rows(folder / "out" / "_regioncap" / "unused_edits.jsonl")) == 1


def test_prune_keeps_what_was_paid_for(folder: Path, run: Run, server: RunningServer) -> None:
    run(folder, **settings(server))
    rows = read_rows(folder / "out.jsonl")
    edits = write_edits(folder / "e.jsonl", edit_of(rows[0], 1), edit_of(rows[1], 2, "reject"))
    run(folder, edits=edits, **settings(server))
    cache = CacheFolder.at(Place(str(folder / "cache")))
    found = Prune(Register.of(cache), before=float("inf")).answers()
    assert (found.seen, found.files) == (PHOTOS + 1, [])
    Path(edits).unlink()
    with pytest.raises(UsageError, match="edits: there is no file"):
        Prune(Register.of(cache), before=float("inf")).answers()


def test_wrong_edits_stop_the_run_before_it_begins(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edits = write_edits(folder / "e.jsonl", {"action": "edit"})
    out = ("--output", str(folder / "out.jsonl"), "--cache-path", str(folder / "cache"), "--captioner", "pixels")
    for command in ("run", "plan", "try"):
        ended = call(capsys, command, str(folder / "photos.jsonl"), "--edits", edits, *out)
        assert ended.code == 2
        assert "e.jsonl has 1 wrong line; fix or remove:\nline 1: caption: expected text, got None" in ended.err
    assert not (folder / "out.summary.json").exists()


@pytest.mark.parametrize(
    "name", ["photos.jsonl", "out.jsonl", "out.unused_edits.jsonl", "out.incomplete.rejects.jsonl"]
)
def test_edits_must_be_a_file_of_their_own(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match="edits: expected a file"):
        config_of(folder, edits=str(folder / name))
