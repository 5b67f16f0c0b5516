"""What a run looks like in a terminal: a line that says what starts, a bar, and a table at the end.

Everything goes to stderr but the final table, so that output can be piped; without a terminal there is no bar.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import sys
import threading
from collections.abc import Iterator

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tasks.config import RegionCapConfig
from tasks.context import Progress as RunProgress
from tasks.context import context_of
from tasks.storage.filesystem import public_url
from tasks.summary import Summary

SECONDS_BETWEEN_LOOKS = 0.2


@contextlib.contextmanager
def watching(config: RegionCapConfig) -> Iterator[None]:
    """Show how the run of `config` in this process goes, until the block ends; a stop says how to go on."""
    console = Console(stderr=True, highlight=False)
    log = logging.getLogger("regioncap")
    log.propagate = False  # other loggers are for those who run Prefect; what concerns the user comes through this
    log.handlers = [_handler(console)]
    progress = context_of(config).progress
    console.print(f"regioncap: {public_url(config.input)} -> {public_url(config.output)}", soft_wrap=True)
    console.print(f"captioner: {_captioner(config)}; starting Prefect …", soft_wrap=True)
    try:
        with _bar(console, progress) if console.is_terminal else contextlib.nullcontext():
            yield
    except BaseException:
        done, expected = progress.counts["rows"], progress.rows_expected()
        if done or expected:
            console.print(f"stopped after {done:,} of about {expected:,} rows; what was done is kept.", soft_wrap=True)
            console.print(f"The same command goes on from there:\n  {resume_command()}", soft_wrap=True)
        raise


def resume_command() -> str:
    """The command that was given, as it can be given again."""
    return shlex.join(["regioncap", *sys.argv[1:]])


def _captioner(config: RegionCapConfig) -> str:
    name = config.captioner_name
    return f"{name} ({config.model})" if config.model else f"{name} (no model: pictures stay here)"


def _handler(console: Console) -> logging.Handler:
    return RichHandler(console=console, show_path=False, show_time=False, rich_tracebacks=False)


@contextlib.contextmanager
def _bar(console: Console, progress: RunProgress) -> Iterator[None]:
    """A bar that a thread keeps up to date."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.fields[expected]} rows"),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[rejects]:,} rejects"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    over = threading.Event()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None, rejects=0, expected="?", speed="")
        thread = threading.Thread(target=_keep_up, args=(bar, task, progress, over), name="bar", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _keep_up(bar: Progress, task: TaskID, progress: RunProgress, over: threading.Event) -> None:
    while not over.wait(SECONDS_BETWEEN_LOOKS):
        expected = progress.rows_expected()
        if not expected:
            continue
        speed = bar.tasks[0].speed
        bar.update(
            task,
            description="captioning" if progress.counts["rows"] < expected else "writing",
            completed=progress.counts["rows"],
            total=max(expected, progress.counts["rows"]),
            rejects=progress.counts["rejects"],
            expected=f"{expected:,}",
            speed=f"{speed:,.0f} rows/s" if speed else "",
        )


def show(summary: Summary) -> None:
    """The end of a run: a table of counts, and the files to look at."""
    console = Console(highlight=False)
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for name, count in (
        ("rows in", summary.rows_in),
        ("rows captioned", summary.rows_out),
        ("rows rejected", summary.rejects),
        *((f"  {code}", count) for code, count in summary.rejects_by_code.items()),
        ("regions captioned", summary.regions),
        *((f"boxes dropped: {reason}", count) for reason, count in summary.boxes_dropped.items()),
        ("captions asked for", summary.captions_asked),
        ("captions reused", summary.captions_reused),
    ):
        table.add_row(name, f"{count:,}")
    table.add_row("seconds", f"{summary.wall_seconds:,.1f}")
    console.print(table)
    for name, path in (("output", summary.output), ("rejects", summary.rejects_file), ("summary", _summary(summary))):
        console.print(f"{name:<8} {path}", soft_wrap=True)
    if summary.problem:
        aside = "" if summary.complete else f", so the output lies aside, in {summary.output}"
        Console(stderr=True, highlight=False).print(f"regioncap: {summary.problem}{aside}", soft_wrap=True)


def _summary(summary: Summary) -> str:
    return summary.rejects_file.removesuffix("rejects.jsonl") + "summary.json"
