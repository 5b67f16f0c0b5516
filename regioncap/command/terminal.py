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
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from regioncap.config.model import RegionCapConfig
from regioncap.output.outputs import PartOutputs, in_parts
from regioncap.output.summary import Summary
from regioncap.run.progress import Progress as RunProgress
from regioncap.run.runs import RUNS
from regioncap.storage.filesystem import Place, public_url

if TYPE_CHECKING:
    # It imports Prefect, for which no command should wait that does not run it.
    from regioncap.preflight.plan import Plan

SECONDS_BETWEEN_LOOKS = 0.2


@contextlib.contextmanager
def watching(config: RegionCapConfig) -> Iterator[None]:
    """Show how the run of `config` in this process goes, until the block ends; a stop says how to go on."""
    console = Console(stderr=True, highlight=False)
    log = logging.getLogger("regioncap")
    log.setLevel(logging.INFO)
    log.propagate = False  # other loggers are for those who run Prefect; what concerns the user comes through this
    log.handlers = [_handler(console)]
    progress = RUNS.context(config).progress
    console.print(f"regioncap: {public_url(config.input)} -> {public_url(config.output)}", soft_wrap=True)
    console.print(f"captioner: {_captioner(config)}; starting Prefect …", soft_wrap=True)
    try:
        with _bar(console, progress) if console.is_terminal else contextlib.nullcontext():
            yield
    except BaseException:
        done, expected = progress.counts.rows, progress.rows_expected()
        if done or expected:
            console.print(f"stopped after {done:,} of about {expected:,} rows; what was done is kept.", soft_wrap=True)
            console.print(f"The same command goes on from there:\n  {resume_command()}", soft_wrap=True)
        raise


def resume_command() -> str:
    """The command that was given, as it can be given again."""
    return shlex.join(["regioncap", *sys.argv[1:]])


def _captioner(config: RegionCapConfig) -> str:
    """Who describes, and where pictures go for that."""
    name = config.captioner_name
    if name == "openai":
        hosts = ", ".join(dict.fromkeys(urlsplit(url).netloc for url in config.endpoint))
        return f"{config.model} at {hosts} (marked pictures are sent there)"
    if name == "vllm":
        return f"{config.model} with vLLM on this machine (pictures stay here)"
    return f"{name} (no model: pictures stay here)"


def plan_lines(plan: Plan, config: RegionCapConfig) -> Iterator[str]:
    """A plan, for people."""
    counts = [
        ("rows", plan.rows),
        ("  with boxes", plan.with_bbox),
        ("  without boxes", plan.without_bbox),
        ("  that will be rejected", plan.rejected),
        ("  captioned before", plan.rows_done),
        ("regions given", plan.regions_given),
        ("regions found, at most", plan.regions_at_most),
        ("requests to come", plan.requests),
        ("prompt tokens, about", plan.prompt_tokens),
        ("answers' tokens, about", plan.completion_tokens),
    ]
    for name, count in counts:
        yield f"{name:<24} {count:>14,}"
    if config.prices is not None:
        yield f"{'US dollars, about':<24} {plan.usd(*config.prices):>14,.2f}"
    learnt = f"from {plan.learnt:,} answers that are there" if plan.learnt else "a guess: two sentences"
    yield ""
    yield (
        f"A request: {plan.image_tokens:,.0f} tokens of picture (a sample of {plan.sampled:,} images, 28x28 pixels a "
        f"token), {plan.text_tokens:,.0f} of text; an answer: {plan.answer_tokens:,.0f} a region ({learnt})."
    )
    yield "Repairs and requests that fail are not in it. Rows whose boxes all lie outside count as captioned."


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
            description="captioning" if progress.counts.rows < expected else "writing",
            completed=progress.counts.rows,
            total=max(expected, progress.counts.rows),
            rejects=progress.counts.rejects,
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
        *((f"flagged: {name}", count) for name, count in summary.flags.items()),
        ("captions asked for", summary.captions_asked),
        ("captions reused", summary.captions_reused),
        *((name, count) for name, count in _requests(summary) if count),
    ):
        table.add_row(name, f"{count:,}")
    if summary.usd is not None:
        table.add_row("US dollars", f"{summary.usd:,.4f}")
    table.add_row("seconds", f"{summary.wall_seconds:,.1f}")
    console.print(table)
    for name, path in (("output", summary.output), ("rejects", summary.rejects_file), ("summary", _summary(summary))):
        console.print(f"{name:<8} {path}", soft_wrap=True)
    if summary.problem:
        aside = "" if summary.complete else f", so the output lies aside, in {summary.output}"
        if not summary.complete and in_parts(summary.output):
            aside = ", so there is no _SUCCESS"
        Console(stderr=True, highlight=False).print(f"regioncap: {summary.problem}{aside}", soft_wrap=True)


def _requests(summary: Summary) -> tuple[tuple[str, int], ...]:
    return (
        ("captions repaired", summary.captions_repaired),
        ("requests", summary.requests),
        ("requests sent again", summary.requests_retried),
        ("prompt tokens", summary.prompt_tokens),
        ("answers' tokens", summary.completion_tokens),
    )


def _summary(summary: Summary) -> str:
    if in_parts(summary.output):
        return PartOutputs(Place(summary.output)).summary.url
    return summary.rejects_file.removesuffix("rejects.jsonl") + "summary.json"
