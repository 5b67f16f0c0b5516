"""People's corrections in step 6: which regions are asked for, what becomes of their captions, and what is counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.command.explain import explain_run
from regioncap.command.partial_report import LiveSource
from regioncap.errors import UsageError
from regioncap.output.edits import unused_edits
from regioncap.preflight.plan import Plan, plan
from regioncap.preflight.settings_diff import changed_settings
from regioncap.preflight.start import work_left
from regioncap.run.context import RunContext
from regioncap.tasks.shard import STEPS, find_cached_steps
from tests.support.edits import edit_of, text_of, write_edits
from tests.support.model_servers import images_of
from tests.support.photos import write_photo
from tests.support.rows import read_rows, write_rows
from tests.support.runs import config_of
from tests.support.steps import Made, make_all

BOXES = [[12, 16, 36, 40], [60.5, 10, 20, 20]]
PHOTOS = 3


def caption(pictures: tuple[str, ...], number: int) -> str:
    return f"A closer view of thing {number}." if len(pictures) > 1 else f"A wooden thing of kind {number}."


@pytest.fixture(scope="module")
def running() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.0, slots=8)) as server:
        yield server


@pytest.fixture
def server(running: RunningServer) -> RunningServer:
    """A server that says another text of a region when it sees it closer."""
    running.change(caption=caption)
    return running


@dataclass(frozen=True)
class Ran:
    """What the steps made of the input, and how many captions were asked for."""

    made: Made
    asked: int
    unused: int

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.made.rows

    def texts(self) -> list[list[str]]:
        return [[text_of(row, n) for n in range(1, len(row["mdvp_record"]) + 1)] for row in self.rows]

    def marks(self) -> list[Any]:
        return [row["meta_info"].get("edited") for row in self.rows]


class Project:
    """A folder with photos, and runs of it by a model; `edits`: the file of edits."""

    def __init__(self, folder: Path, server: RunningServer) -> None:
        self.folder, self.edits = folder, folder / "e.jsonl"
        self._settings = {"captioner": "openai", "model": "fake-vlm", "endpoint": [server.url], "max_pixels": 40_000}
        for number in range(PHOTOS):
            write_photo(folder / f"photo{number}.png", number)
        rows = [{"image": f"photo{n}.png", "bbox": BOXES, "place": "a zoo"} for n in range(PHOTOS)]
        write_rows(folder / "photos.jsonl", rows)

    def config(self, *edits: dict[str, Any], **settings: Any) -> Any:
        if edits:
            settings["edits"] = write_edits(self.edits, *edits)
        return config_of(self.folder, **{**self._settings, **settings})

    def run(self, *edits: dict[str, Any], **settings: Any) -> Ran:
        with closing(RunContext(self.config(*edits, **settings))) as context:
            made = make_all(context)
            shards = [find_cached_steps(shard, context, STEPS) for shard in context.shards()]
            unused = unused_edits([steps for steps in shards if steps], context)
            return Ran(made, context.progress.counts.captions_asked, len(unused))

    def plan(self, *edits: dict[str, Any], **settings: Any) -> Plan:
        return plan(self.config(*edits, **settings))


@pytest.fixture
def project(tmp_path: Path, server: RunningServer) -> Project:
    return Project(tmp_path, server)


def test_only_open_regions_are_asked_for_and_the_answer_of_the_row_stays(
    project: Project, server: RunningServer
) -> None:
    edits = [edit_of(row, 1) for row in project.run().rows]
    recorded = server.record()
    other = {"prompt": "What is in {regions}?"}
    assert project.run(*edits, **other).asked == PHOTOS
    asked = [body["messages"][-1]["content"] for body in recorded]
    questions = [part["text"] for parts in asked for part in parts if part["type"] == "text"]
    assert sum("Describe only <region2>." in text for text in questions) == PHOTOS
    # Without the edits the rest of each answer is asked for, and no more.
    assert project.run(**other).asked == PHOTOS
    assert project.run(*edits, **other).asked == 0
    assert project.run().asked == 0


def test_rows_of_which_all_is_decided_are_not_asked_for(project: Project) -> None:
    edits = [edit_of(row, region, "edit", f"Mine {region}.") for row in project.run().rows for region in (1, 2)]
    done = project.run(*edits, model_id="another", prompt_mode="focal")
    assert (done.asked, done.texts()) == (0, [["Mine 1.", "Mine 2."]] * PHOTOS)
    assert done.made.tally.edits == {"edited": 2 * PHOTOS, "rows": PHOTOS}


def test_an_edit_applies_to_every_region_with_its_image_and_box(project: Project) -> None:
    (first, *_) = project.run().rows
    rows = [
        {"image": "photo0.png", "bbox": [BOXES[1], BOXES[0], BOXES[1]]},
        {"image": f"{project.folder}/photo0.png", "bbox": [[60.5, 10.0, 20, 2e1]]},
    ]
    write_rows(project.folder / "photos.jsonl", rows)
    done = project.run(edit_of(first, 2, "edit", "Mine."))
    assert done.texts() == [["Mine.", "A wooden thing of kind 2.", "Mine."], ["Mine."]]
    assert done.marks() == [["edited", None, "edited"], ["edited"]]


def test_found_regions_keep_their_edits(project: Project) -> None:
    write_rows(project.folder / "photos.jsonl", [{"image": f"photo{n}.png"} for n in range(PHOTOS)])
    found = project.run(min_score=-100.0, extractor="canny")
    edits = [edit_of(row, 1, "edit", "Found, and mine.") for row in found.rows]
    assert edits
    again = project.run(*edits, min_score=-100.0, extractor="canny", model_id="another")
    assert [texts[0] for texts in again.texts()] == ["Found, and mine."] * len(edits)


def test_a_rejected_caption_is_asked_for_once_more_with_a_closer_view(project: Project, server: RunningServer) -> None:
    first = project.run().rows[0]
    recorded = server.record()
    done = project.run(edit_of(first, 2, "reject"))
    assert (done.asked, done.marks()) == (1, [[None, "rejected"], None, None])
    assert done.texts()[0] == ["A wooden thing of kind 1.", "A closer view of thing 2."]
    assert 2 in [len(images_of(body)) for body in recorded]
    assert project.run(edit_of(first, 2, "reject")).asked == 0
    # What replaced it may be rejected in its turn.
    server.change(caption=lambda pictures, number: f"A third thing {number}.")
    again = project.run(edit_of(done.rows[0], 2, "reject"))
    assert (again.asked, again.texts()[0][1]) == (1, "A third thing 2.")


def test_a_rejected_caption_that_comes_back_leaves_the_row_incomplete(project: Project, server: RunningServer) -> None:
    server.change(caption=lambda pictures, number: "A wooden thing.")
    reject = edit_of(project.run().rows[0], 2, "reject")
    for asked in (1, 0):
        done = project.run(reject)
        assert (done.asked, done.made.codes()) == (asked, ["captions_incomplete"])
        (rejected,) = done.made.rejects
        assert "region 2 was rejected, and the model gave the same once more" in rejected["message"]
        assert rejected["captions"] == {"1": "A wooden thing."}
        with closing(RunContext(project.config(reject))) as context:  # nothing would change: the shard is done
            assert all(find_cached_steps(shard, context, STEPS) for shard in context.shards())
        assert done.unused == 0
    done = project.run(reject, edit_of({**project.run().rows[0]}, 2, "edit", "A tin thing."))
    assert (done.asked, done.made.codes(), done.texts()[0][1]) == (0, [], "A tin thing.")


def test_a_rejected_caption_that_nothing_replaces_is_tried_again_by_later_runs(
    project: Project, server: RunningServer
) -> None:
    reject = edit_of(project.run().rows[0], 1, "reject")
    server.change(caption=lambda pictures, number: "I'm sorry, I can't help with that.")
    asked = [project.run(reject, max_repairs=0).asked for _ in range(4)]
    assert asked == [1, 1, 1, 0]  # as any row that the model fails


def test_the_pixels_captioner_has_no_other_caption(project: Project) -> None:
    settings: dict[str, Any] = {"captioner": "pixels", "model": None, "endpoint": []}
    rows = project.run(**settings).rows
    done = project.run(edit_of(rows[0], 1, "reject"), edit_of(rows[1], 1, "edit", "Mine."), **settings)
    assert (done.made.codes(), done.texts()[0][0]) == (["captions_incomplete"], "Mine.")


def test_an_edit_completes_a_row_on_hold(project: Project, server: RunningServer) -> None:
    server.change(
        caption=lambda pictures, number: "A cup here." if number == 1 else "I'm sorry, I can't help with that."
    )
    asked = [project.run(max_repairs=0).asked for _ in range(4)]
    assert asked == [2 * PHOTOS, PHOTOS, PHOTOS, 0]
    (drawn,) = (project.folder / "cache" / "regioncap_step5").glob("*.jsonl")
    edits = [
        {"image_sha256": row["image_sha256"], "bbox": BOXES[1], "action": "edit", "caption": "A saucer."}
        for row in read_rows(drawn)
    ]
    done = project.run(*edits, max_repairs=0)
    assert (done.asked, done.texts()) == (0, [["A cup here.", "A saucer."]] * PHOTOS)


def test_flagged_captions_of_people_are_not_repaired(project: Project, server: RunningServer) -> None:
    server.change(caption=lambda pictures, number: "A closer look at it." if len(pictures) > 1 else "A cup.")
    rows = project.run().rows
    edits = [edit_of(rows[0], 1), edit_of(rows[1], 2, "edit", "Odd.")]
    done = project.run(*edits, repair_flags="too_short")
    assert done.asked == 2 * PHOTOS - 2
    assert done.texts()[:2] == [["A cup.", "A closer look at it."], ["A closer look at it.", "Odd."]]
    assert project.plan(*edits, repair_flags="too_short").requests == 0


def test_the_closer_view_may_be_asked_for_with_keys_of_the_row(project: Project, server: RunningServer) -> None:
    reject = edit_of(project.run().rows[0], 1, "reject")
    recorded = server.record()
    assert project.run(reject, focal_prompt="Region {n}, in {place}?").texts()[0][0] == "A closer view of thing 1."
    assert "Region 1, in a zoo?" in json.dumps(recorded)
    with pytest.raises(UsageError, match="focal_prompt: no row has the key 'town'"):
        project.run(reject, focal_prompt="Region {n}, in {town}?")


def test_plan_counts_what_edits_leave(project: Project) -> None:
    rows = project.run().rows
    edits = [edit_of(rows[0], 1), edit_of(rows[0], 2), edit_of(rows[1], 1, "reject"), edit_of(rows[1], 2, "reject")]
    planned = project.plan(*edits, model_id="another")
    assert (planned.rows_done, planned.regions_to_ask, planned.requests, planned.exact) == (1, 4, 3, True)
    assert project.run(*edits, model_id="another").asked == planned.regions_to_ask
    after = project.plan(*edits, model_id="another")
    assert (after.rows_done, after.requests) == (PHOTOS, 0)


def test_a_plan_says_that_edits_of_unread_images_are_not_counted(project: Project) -> None:
    edit = edit_of(project.run().rows[0], 1)
    planned = project.plan(edit, cache_path=str(project.folder / "fresh"))
    assert (planned.requests, planned.exact, planned.certain) == (PHOTOS, False, False)
    assert "edits: which of the 1 fit a row is known once the images are read" in planned.hints[-1]
    assert "captions for at most 6 regions" in work_left(planned)[0]


def test_only_shards_that_edits_concern_run_again(project: Project) -> None:
    edit = edit_of(project.run().rows[0])
    for edits, reused in (({**edit, "bbox": [1, 2, 3, 4]}, True), (edit, False)):
        config = project.config(edits)
        with closing(RunContext(config)) as context:
            assert all(bool(find_cached_steps(shard, context, STEPS)) is reused for shard in context.shards())
        assert changed_settings(project.config(), config) == []
        assert any("caption    " in line and "1 reused" in line for line in explain_run(config, verify=True)) is reused


def test_edits_that_fit_no_row_are_known(project: Project) -> None:
    first = project.run().rows[0]
    unfit = [{**edit_of(first), "bbox": [1, 2, 3, 4]}, {**edit_of(first), "image_sha256": "0" * 64}]
    replaced = {**edit_of(first), "bbox": [12.0004, 16, 36, 40]}
    assert project.run(replaced, *unfit, edit_of(first)).unused == 2


def test_the_report_of_a_stopped_run_has_the_edits(project: Project) -> None:
    rows = project.run().rows
    config = project.config(
        edit_of(rows[0], 1, "edit", "Mine."), edit_of(rows[1], 2), edit_of(rows[2], 2, "reject"), model_id="another"
    )
    with closing(RunContext(config)) as context:
        source = LiveSource(context)
        for shard in context.shards():
            source.add(shard)
        (first, second, third) = [row.get("captions") for row in source.rejects()]
    assert (first, second, third) == ({"1": "Mine."}, {"2": "A wooden thing of kind 2."}, None)
