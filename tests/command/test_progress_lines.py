"""Progress without a terminal: plain lines at an interval, for logs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from regioncap.command.progress_lines import SECONDS_BETWEEN_LINES, progress_lines, write_progress
from regioncap.records import Counts
from regioncap.run.context import RunContext
from tests.support.runs import config_of


def test_a_line_every_half_minute_until_the_run_is_over(project: Path) -> None:
    lines: list[str] = []
    waits: list[float] = []
    now = iter([0.0, 30.0, 60.0, 90.0])
    with closing(RunContext(config_of(project))) as context:

        def wait(seconds: float) -> bool:
            waits.append(seconds)
            if len(waits) == 2:  # a quarter of the input was read, half of it from the cache
                context.progress.read(1000, 0.25)
                context.progress.add(Counts(rows=500, rows_reused=500))
            if len(waits) == 3:
                context.progress.add(Counts(rows=450, rejects=3))
            return len(waits) > 3

        write_progress(context, lines.append, wait, lambda: next(now))
    assert waits == [SECONDS_BETWEEN_LINES] * 4
    assert lines == [
        "progress: starting",
        "progress: 12 %, 500 of about 4,000 rows, 0 rejected, 0.0 rows/s",
        "progress: 24 %, 950 of about 4,000 rows, 3 rejected, 5.0 rows/s, about 10 min left",
    ]


def test_the_last_line_says_how_it_went_and_a_stop_has_none(project: Path) -> None:
    lines: list[str] = []
    with closing(RunContext(config_of(project))) as context:
        context.progress.add(Counts(rows=1200, rejects=7))
        with progress_lines(context, lines.append, iter(range(3)).__next__):
            pass
        with pytest.raises(KeyboardInterrupt), progress_lines(context, lines.append):
            raise KeyboardInterrupt
    assert len(lines) == 1
    assert lines[0].startswith("finished: 1,200 rows, 7 rejected, in ")
