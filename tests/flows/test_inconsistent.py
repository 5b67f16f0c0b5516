"""What an audit finds is flagged when the output is read, and repaired by a run: asked for again, closer, and once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from regioncap.audit.auditing import Audited, audit_output
from regioncap.audit.sampling import sample_of
from regioncap.captioners.fake_server import Behaviour, RunningServer, Sight
from regioncap.command.prune import Prune
from regioncap.command.registered_runs import Register
from regioncap.output.reading import Written, open_output
from regioncap.output.where import Condition, chosen
from regioncap.run.context import RunContext
from regioncap.storage.cache_folder import CacheFolder
from regioncap.storage.filesystem import Filesystems, Place
from regioncap.storage.steps import digest, key_parts
from regioncap.tasks.caption import CAPTION
from tests.support.panels import colour_in, panel_rows
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run, config_of

ROWS, REGIONS = 16, 4


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.0, slots=8, sight=Sight({"number": 0.3}))) as running:
        yield running


def settings(server: RunningServer, **more: Any) -> dict[str, Any]:
    return {"captioner": "openai", "model": "fake-vlm", "endpoint": [server.url], "max_boxes": REGIONS, **more}


def output_of(folder: Path) -> Written:
    return open_output(str(folder / "out.jsonl"), Filesystems())


def audit(folder: Path, server: RunningServer, **more: Any) -> Audited:
    """The audit of the output in `folder`, all of its rows."""
    with closing(RunContext(config_of(folder, **settings(server, **more)))) as context:
        return audit_output(output_of(folder), sample_of(output_of(folder).rows(), ROWS, 0), context, seed=0)


def inconsistent(folder: Path) -> list[tuple[str, list[int]]]:
    """(image, numbers of its regions) that are flagged as the output is read."""
    rows = chosen(output_of(folder).rows(), [Condition.of("flag==inconsistent")])
    return [(row.image, row.regions) for row in rows]


def wrong(folder: Path) -> int:
    """How many regions have the caption of another."""
    return sum(
        colour_in(text) != colour
        for row in read_rows(folder / "out.jsonl")
        for text, colour in zip(row["mdvp_record"], row["colours"], strict=True)
    )


def test_a_run_repairs_what_an_audit_found(tmp_path: Path, run: Run, server: RunningServer) -> None:
    write_rows(tmp_path / "photos.jsonl", panel_rows(tmp_path, ROWS, REGIONS))
    run(tmp_path, **settings(server))
    before = (tmp_path / "out.jsonl").read_bytes()
    assert wrong(tmp_path) > 0
    assert inconsistent(tmp_path) == []
    server.change(sight=Sight({"order": 0.2}))  # other mistakes, so that none is made the same way in all askings
    found = audit(tmp_path, server)
    assert (tmp_path / "out.jsonl").read_bytes() == before
    flagged = inconsistent(tmp_path)
    pairs = {(pair.row, pair.box) for pair in found.audit.inconsistent}
    assert sum(len(regions) for _, regions in flagged) == len(pairs) > 0

    repairing = settings(server, repair_flags=["inconsistent"])
    repaired = run(tmp_path, **repairing)
    assert (wrong(tmp_path), inconsistent(tmp_path)) == (0, [])
    assert repaired.captions_asked == repaired.captions_repaired == len(pairs)  # and no other region

    again = audit(tmp_path, server, repair_flags=["inconsistent"])
    assert again.audit.inconsistent == []
    earlier = json.loads((tmp_path / "out.audit.json").read_bytes())["earlier"]
    assert len(earlier) == len(pairs)  # else the next run would take the first captions again

    asked, now = server.stats["requests"], (tmp_path / "out.jsonl").read_bytes()
    assert run(tmp_path, **repairing).captions_asked == 0
    assert (server.stats["requests"], (tmp_path / "out.jsonl").read_bytes()) == (asked, now)

    cache = CacheFolder.at(Place(str(tmp_path / "cache")))
    kept = Prune(Register.of(cache), before=float("inf")).answers()
    assert kept.seen > ROWS
    assert len(kept.files) < kept.seen
    assert not {Path(file.place.address).stem for file in kept.files} & set(
        json.loads((tmp_path / "out.audit.json").read_bytes())["answers"]
    )


def test_only_runs_that_repair_it_depend_on_the_audit(tmp_path: Path) -> None:
    model = {"captioner": "openai", "model": "m", "endpoint": ["http://h/v1"]}
    (tmp_path / "photos.jsonl").touch()

    def key(*flags: str, image: str = "ab" * 32) -> str:
        """The key of `caption` for a shard with this image."""
        with closing(RunContext(config_of(tmp_path, **model, repair_flags=flags))) as context:
            parts = key_parts("visualize", "1", {"image": image}, "")
            drawn = context.storage.at(5).write(parts, [{"image_sha256": image}], 0.0)
            return digest(CAPTION.parts(context, drawn.reference(0)))

    before = {flags: key(*flags) for flags in [(), ("refusal",), ("refusal", "inconsistent")]}
    elsewhere = key("inconsistent", image="cd" * 32)
    entry = {"image_sha256": "ab" * 32, "bbox": [1, 2, 3, 4], "caption": "a cup"}
    file = tmp_path / "out.audit.json"
    file.write_text(json.dumps({"schema": 1, "inconsistent": [entry], "consistent": {"share": 0.5}}))
    assert (key(), key("refusal")) == (before[()], before["refusal",])
    changed = key("refusal", "inconsistent")
    assert changed != before["refusal", "inconsistent"]
    assert key("inconsistent", image="cd" * 32) == elsewhere  # shards that it does not concern stay done
    file.write_text(json.dumps({"schema": 1, "inconsistent": [], "earlier": [entry, {"a": 1}], "seed": 3}))
    assert key("refusal", "inconsistent") == changed
    file.write_text("{")
    assert key("refusal", "inconsistent") == before["refusal", "inconsistent"]


def test_a_caption_that_changed_or_that_a_person_approved_is_not_flagged(
    tmp_path: Path, run: Run, server: RunningServer
) -> None:
    write_rows(tmp_path / "photos.jsonl", panel_rows(tmp_path, 1, 2))
    run(tmp_path, **settings(server))
    (line,) = read_rows(tmp_path / "out.jsonl")
    meta = line["meta_info"]
    found = [
        {"image_sha256": meta["image_sha256"], "bbox": [float(value) for value in box], "caption": text[10:]}
        for box, text in zip(meta["bbox"], line["mdvp_record"], strict=True)
    ]
    audits = tmp_path / "out.incomplete.audit.json", tmp_path / "out.audit.json"
    audits[0].write_text(json.dumps({"schema": 1, "inconsistent": found[:1]}))
    assert inconsistent(tmp_path) == [("panels0.png", [1])]  # that of a run that stayed incomplete counts, too
    damaged = [{"bbox": 1}, 7, {**found[0], "bbox": ["x"]}, {**found[0], "image_sha256": []}]
    audits[1].write_text(json.dumps({"schema": 1, "inconsistent": [*damaged, *found], "earlier": 3}))
    assert inconsistent(tmp_path) == [("panels0.png", [1, 2])]
    meta["edited"] = ["approved", None]
    write_rows(tmp_path / "out.jsonl", [line])
    assert inconsistent(tmp_path) == [("panels0.png", [2])]
    line["mdvp_record"][1] += " It shines."
    write_rows(tmp_path / "out.jsonl", [line])
    assert inconsistent(tmp_path) == []
