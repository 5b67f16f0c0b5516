"""`repair_flags`: flagged captions are asked for once more, with a closer view, and paid for once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.command.prune import Prune
from regioncap.command.registered_runs import Register
from regioncap.errors import UsageError
from regioncap.storage.cache_folder import CacheFolder
from regioncap.storage.filesystem import Place
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run, config_of

BOXES = [BOX, [60, 10, 20, 20]]


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """A server that describes the marks when it sees the whole picture, and the region when it sees that closer."""

    def caption(pictures: tuple[str, ...], number: int) -> str:
        closer = len(pictures) > 1
        return f"A wooden thing of kind {number}." if closer or number == 1 else "A red rectangle with the number 2."

    with RunningServer(Behaviour(latency=0.0, slots=8, caption=caption)) as running:
        yield running


def settings(server: RunningServer, **more: Any) -> dict[str, Any]:
    return {"captioner": "openai", "model": "fake-vlm", "endpoint": [server.url], "max_pixels": 40_000, **more}


def photos(folder: Path) -> None:
    for number in range(4):
        write_photo(folder / f"photo{number}.png", number)
    write_rows(folder / "photos.jsonl", [{"image": f"photo{number}.png", "bbox": BOXES} for number in range(4)])


def test_flagged_captions_are_asked_again_closer_and_never_twice(
    tmp_path: Path, run: Run, server: RunningServer
) -> None:
    photos(tmp_path)
    assert run(tmp_path, **settings(server)).flags == {"mentions_mark": 4}
    summary = run(tmp_path, **settings(server, repair_flags=["mentions_mark"]))
    assert summary.flags == {}
    assert summary.captions_asked == summary.captions_repaired == 4  # the four that were flagged, and no other
    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["mdvp_record"] for row in rows] == [
        ["<region1> A wooden thing of kind 1.", "<region2> A wooden thing of kind 2."]
    ] * 4
    assert all(row["meta_info"]["usage"]["repaired"] == 1 for row in rows)
    asked = server.stats["requests"]
    run(tmp_path, **settings(server))  # back to none
    (tmp_path / "cache" / "regioncap_step6").rename(tmp_path / "gone")
    again = run(tmp_path, **settings(server, repair_flags=["mentions_mark"]))
    assert (again.captions_asked, again.flags, server.stats["requests"]) == (0, {}, asked)


def test_prune_keeps_what_was_paid_for(tmp_path: Path, run: Run, server: RunningServer) -> None:
    photos(tmp_path)
    run(tmp_path, **settings(server, repair_flags=["mentions_mark"]))
    cache = CacheFolder.at(Place(str(tmp_path / "cache")))
    found = Prune(Register.of(cache), before=float("inf")).answers()
    assert (found.seen, found.files) == (8, [])


def test_a_flag_that_stays_keeps_the_caption(tmp_path: Path, run: Run, server: RunningServer) -> None:
    server.change(caption=lambda pictures, number: "A cat." if len(pictures) > 1 else "A dog.")
    photos(tmp_path)
    summary = run(tmp_path, **settings(server, repair_flags="too_short"))
    assert summary.rows_out == 4
    assert read_rows(tmp_path / "out.jsonl")[0]["mdvp_record"][0] == "<region1> A dog."


def test_a_model_is_needed(tmp_path: Path) -> None:
    (tmp_path / "photos.jsonl").touch()
    with pytest.raises(UsageError, match="repair_flags: captioner 'pixels' always gives the same caption"):
        config_of(tmp_path, repair_flags=["refusal"])
    with pytest.raises(UsageError, match="repair_flags"):
        config_of(tmp_path, repair_flags=["nonsense"], captioner="openai", endpoint=["http://h/v1"], model="m")
