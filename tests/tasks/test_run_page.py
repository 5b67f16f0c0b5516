"""What a run leaves on its page in Prefect: artifacts, task runs, log lines, states."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.sorting import FlowRunSort

from regioncap.errors import CaptionerError, RowsFailAlike, StorageError, UsageError
from regioncap.flows.parameters import checked
from regioncap.flows.region_caption import region_caption
from regioncap.inputs.readers import read_shards
from regioncap.report.markdown import MAX_CHARS_SHOWN, escape_markdown
from regioncap.report.run_summary import REJECT_ADVICE, slug_of
from regioncap.run import plain_errors
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS
from regioncap.tasks import workers
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run, config_of
from tests.support.waiting import until


class Page:
    """The page of the last flow run."""

    def __init__(self) -> None:
        with get_client(sync_client=True) as client:
            self.run = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=[self.run.id]))
            self.tasks = client.read_task_runs(flow_run_filter=wanted, limit=200)
            only = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[self.run.id]))
            self.artifacts = client.read_artifacts(artifact_filter=only)

    def data(self, kind: str) -> Any:
        (found,) = [one.data for one in self.artifacts if one.type == kind]
        return json.loads(str(found)) if kind == "table" else found


def until_page_shows(expected: Any, seen: Callable[[Page], Any]) -> None:
    """The last run's page comes to show `expected`: task runs reach the server as events, some after the run's end."""
    until(lambda: seen(Page()) == expected)


def names_and_states(page: Page) -> set[tuple[str, str | None]]:
    return {(one.name, one.state_name) for one in page.tasks}


def test_a_whole_run(project: Path, run: Run) -> None:
    rows = read_rows(project / "photos.jsonl")
    write_rows(project / "photos.jsonl", [*rows, "broken", {"image": "<b>|gone|</b>.png"}, {"image": "gone.png"}])
    summary = run(project, page_pictures=2)
    page = Page()
    text = page.data("markdown")
    assert text.startswith(f"## 6 of 9 rows captioned, {summary.regions} captions, 3 rejected\n\n")
    first_lines = text.split("\n\n")[1].splitlines()
    assert first_lines == [
        "- **rows**: 6 captioned, 3 rejected (bad_json 1, image_missing 2)",
        f"- **captions**: {summary.regions}, of which 0 from earlier runs",
        "- **flags**: none",
        "- **cost**: no requests",
        "- **report**: none; the setting Report, or `regioncap report`, writes one",
        f"- **output**: `{project / 'out.jsonl'}`",
        f"- **rejects**: `{project / 'out.rejects.jsonl'}`",
    ]
    (page_of_summary,) = [one for one in page.artifacts if one.key == "summary-out"]
    assert page_of_summary.description == text.splitlines()[0].removeprefix("## ")
    for line in ("| rows in | 9 |", "| rows rejected | 3 |", f"| captions requested | {summary.regions} |"):
        assert line in text
    assert text.count("data:image/jpeg;base64,") == 2
    first = read_rows(project / "out.jsonl")[0]["mdvp_record"][0].removeprefix("<region1> ")
    assert escape_markdown(first) in text
    assert [(line["code"], line["rows"]) for line in page.data("table")] == [("image_missing", 2), ("bad_json", 1)]
    assert page.data("table")[0]["what to do"] == REJECT_ADVICE["image_missing"]
    assert page.data("progress") == 100.0
    assert {one.key for one in page.artifacts} == {"summary-out", "rejects-out", "progress-out"}


def test_no_picture_goes_to_prefect_unless_wanted(project: Path, run: Run) -> None:
    run(project, page_pictures=0)
    assert "data:image" not in Page().data("markdown")
    run(project, draw_visualization=False, output=str(project / "other.jsonl"))
    assert "data:image" not in Page().data("markdown")


def test_task_runs_say_step_and_shard_and_what_is_reused(project: Path, run: Run) -> None:
    run(project)
    steps = ("load", "route", "extract", "normalize", "visualize", "caption", "shard")
    until_page_shows({*((f"{step} 00000", "Completed") for step in steps), ("write", "Completed")}, names_and_states)
    run(project, output_key="regions", record_style="joined")
    until_page_shows({("reuse 1 shards", "Cached"), ("write", "Completed")}, names_and_states)
    run(project, dim=0.5)
    states = zip(steps, [*["Cached"] * 4, *["Completed"] * 3], strict=True)
    until_page_shows({*((f"{step} 00000", state) for step, state in states), ("write", "Completed")}, names_and_states)


def test_above_a_limit_each_shard_is_one_task_run(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run(project, shard_size=1)
    output = (project / "out.jsonl").read_bytes()
    shards = len(list(read_shards(config_of(project, shard_size=1), DEFAULT_FILESYSTEMS)))
    until_page_shows(7 * shards + 1, lambda page: len(page.tasks))
    monkeypatch.setattr(workers, "MAX_SHARDS_WITH_STEP_RUNS", shards - 1)
    run(project, shard_size=1, cache_path=str(project / "cache" / ".." / "other"))
    until_page_shows({"shard": shards, "write": 1}, lambda page: Counter(one.name.split()[0] for one in page.tasks))
    assert (project / "out.jsonl").read_bytes().replace(b"cache/../other", b"cache") == output
    assert run(project, shard_size=1, cache_path=str(project / "other")).captions_asked == 0


def test_a_run_that_stops_says_why_what_is_kept_and_what_to_do(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CaptionerError):
        run(project, captioner="openai", endpoint="http://127.0.0.1:9/v1", model="m")
    text = Page().data("markdown")
    assert text.startswith("## The run stopped before its end\n\n> http://127.0.0.1:9/v1 does not answer")
    assert "**What to do:** fix this, then run it again: with" in text
    state = Page().run.state
    assert state is not None
    assert "CaptionerError" in str(state.message)
    assert not [record for record in caplog.records if record.exc_info and record.name.startswith("prefect.")]
    with pytest.raises(UsageError):
        run(project, input=str(project / "gone.jsonl"), output=str(project / "new.jsonl"))
    assert Page().data("markdown").startswith("## Nothing was run: the settings are wrong")


def test_a_page_that_cannot_be_written_stops_nothing(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object, **more: object) -> None:
        raise StorageError("x", "read", "y")

    for name in ("create_progress_artifact", "create_table_artifact", "first_pictures"):
        monkeypatch.setattr(f"regioncap.tasks.run_page.{name}", broken)
    assert run(project).rows_out == 6
    assert [record.getMessage() for record in caplog.records if "page lacks" in record.getMessage()] == [
        f"the run's page lacks its {what}: cannot read x: y. Fix this and rerun; it resumes."
        for what in ("progress", "summary")
    ]


# --- parameters


def test_the_config_may_come_as_plain_values(project: Path, prefect_server: None) -> None:
    values: Any = config_of(project).model_dump(mode="json")
    assert region_caption(values).rows_out == 6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input": "a", "captioner": "pixels", "max_boxes": 0}, "max_boxes: expected greater than or equal to 1"),
        ({"input": "a", "captioner": "pixels", "max_boxs": 1}, "did you mean max_boxes"),
        ("photos.jsonl", "config: expected settings, such as input="),
    ],
)  # fmt: skip
def test_a_wrong_config_is_reported_in_words(prefect_server: None, given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        region_caption(given)


def test_a_setting_beside_the_config_is_refused_and_others_are_not() -> None:
    flow: Any = checked(lambda config: "ran")
    with pytest.raises(UsageError, match=r"max_usd: settings belong inside config: \{'config': \{'max_usd': 5"):
        flow({"input": "a", "captioner": "pixels"}, max_usd=5)


# --- words


def test_names_of_outputs_as_parts_of_keys() -> None:
    assert [slug_of(name) for name in ("a/Out put.1.jsonl", "s3://b/captions/", "…")] == [
        "out-put-1",
        "captions",
        "output",
    ]


def test_nothing_in_a_caption_is_markup() -> None:
    assert escape_markdown("a <img src=x> | **b**\n# c") == r"a &lt;img src=x&gt; \| \*\*b\*\* \# c"
    assert len(escape_markdown("x" * 1000)) == MAX_CHARS_SHOWN


def test_bugs_keep_their_traceback_and_our_errors_do_not() -> None:
    def record(error: Exception) -> logging.LogRecord:
        return logging.makeLogRecord(
            {"msg": "it failed", "exc_info": (type(error), error, None), "name": "prefect.flow_runs"}
        )

    bug, ours = record(ZeroDivisionError("a bug")), record(RowsFailAlike("fix the input"))
    assert plain_errors.in_words(bug)
    assert bug.exc_info
    assert plain_errors.in_words(ours)
    assert (ours.exc_info, ours.getMessage()) == (None, "fix the input")
