"""What the page of a run says that did not reach its end: why, what to do, what is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap.errors import OutputInUse, RowsFailAlike, UsageError, Waiting
from regioncap.records import Counts
from regioncap.report.stop_page import stop_line, stop_page, wrong_settings_page
from regioncap.run.context import RunContext
from regioncap.run.kept import KeptCaptions
from tests.support.runs import config_of

AGAIN = "[run the deployment again](http://ui/1)"


@pytest.fixture
def context(project: Path) -> Iterator[RunContext]:
    with contextlib.closing(RunContext(config_of(project))) as made:
        made.progress.read(rows=6, share=0.5)
        made.progress.add(Counts(rows=4, captions_new=9))
        yield made


ENDS: dict[str, tuple[BaseException, str, str, str]] = {
    "cancelled": (
        KeyboardInterrupt(), "The run was cancelled", "> It was cancelled or interrupted",
        f"**What to do:** {AGAIN}: with",
    ),
    "stopped": (
        RowsFailAlike("no *model* is left"), "The run stopped before its end", r"> no \*model\* is left",
        f"**What to do:** fix this, then {AGAIN}: with",
    ),
    "a bug": (
        ZeroDivisionError("a bug"), "The run stopped before its end", "> ZeroDivisionError: a bug",
        f"**What to do:** report this bug (the log has its traceback), then {AGAIN}: with",
    ),
    "taken over": (
        OutputInUse("out.jsonl", "run 7", lost=True), "Another run has taken over this output",
        "> out.jsonl: another run has taken over",
        f"**What to do:** when the other has ended, {AGAIN}: with",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ENDS)
def test_its_first_lines_say_why_and_what_to_do(context: RunContext, case: str) -> None:
    error, heading, reason, advice = ENDS[case]
    parts = stop_page(error, context, AGAIN).split("\n\n")
    assert parts[0] == f"## {heading}"
    assert parts[1].startswith(reason)
    assert parts[2].startswith(advice)
    assert parts[3].splitlines() == [
        "- **done**: 4 of about 12 rows, 9 new captions. All captions that came are kept and will be reused.",
        "- **cost**: no requests",
        f"- **output**: `{context.output.url}`; an earlier output was left unchanged",
    ]


def test_a_run_that_waits_has_not_stopped(context: RunContext) -> None:
    context.kept = KeptCaptions(9)
    waiting = Waiting("3 of 12 batches done, 30 of 120 answers")
    heading, how_far, advice, figures = stop_page(waiting, context, AGAIN).rstrip("\n").split("\n\n")
    assert heading == "## The run waits for its answers"
    assert how_far.startswith("**3 of 12 batches done, 30 of 120 answers.** The batches go on without this run")
    assert advice.startswith(f"**What to do:** nothing more, where a later run is scheduled; else, later, {AGAIN}.")
    assert figures.splitlines() == [
        "- **cost so far**: no requests; answers are counted when they are collected",
        f"- **output**: `{context.output.url}`; an earlier output was left unchanged",
        "- **cache**: 9 captions are kept and will be reused.",
    ]
    assert stop_line(waiting, context).startswith("waiting: 3 of 12 batches done, 30 of 120 answers. The batches go on")


def test_of_a_run_that_is_refused_there_is_nothing_to_resume(context: RunContext) -> None:
    page = stop_page(OutputInUse("out.jsonl", "run 7"), context, AGAIN)
    heading, reason, advice = page.rstrip("\n").split("\n\n")
    assert heading == "## Another run is writing this output"
    assert reason.startswith("> out.jsonl: another run is writing this output: run 7.")
    assert advice == f"**What to do:** when the other has ended, {AGAIN}, or choose another output."


def test_the_line_of_the_list_of_artifacts(context: RunContext) -> None:
    context.kept = KeptCaptions(9)
    assert stop_line(KeyboardInterrupt(), context) == (
        "cancelled after 4 of about 12 rows, 9 new captions. 9 captions are kept and will be reused."
    )
    assert stop_line(RowsFailAlike("correct --model\nor so"), context) == "correct `model`"


def test_wrong_settings() -> None:
    page = wrong_settings_page(UsageError("max_boxes: <b>, set --max-pixels"), AGAIN)
    assert page.splitlines() == [
        "## Nothing was run: the settings are wrong", "", r"> max\_boxes: &lt;b&gt;, set \`max\_pixels\`", "",
        f"**What to do:** correct this setting, then {AGAIN}.",
    ]  # fmt: skip
