"""A run in the terminal: a line that says what starts, a progress bar, and a table at the end.

Everything but the final table goes to stderr, so that output can be piped; without a terminal there are lines of text
instead of the bar.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from regioncap.command.echo import PrintableFormatter
from regioncap.command.progress_lines import progress_lines
from regioncap.config.model import RegionCapConfig
from regioncap.inputs.found_files import in_words
from regioncap.output.outputs import PartOutputs, is_parts_folder
from regioncap.output.summary import Summary
from regioncap.printable import printable
from regioncap.run.context import REPORTED, RunContext
from regioncap.run.progress import Progress as RunProgress
from regioncap.storage.filesystem import Place
from regioncap.storage.urls import redact_url

if TYPE_CHECKING:
    # Not every command that shows something needs it.
    from regioncap.preflight.plan import Plan

REFRESH_SECONDS = 0.2


@contextlib.contextmanager
def watching(context: RunContext, what: str, then: str) -> Iterator[None]:
    """Show the progress of `context` until the block ends. `what`: is done, in words; `then`: what comes first."""
    console = _console(stderr=True)
    log = logging.getLogger("regioncap")
    log.setLevel(logging.INFO)
    log.propagate = False  # other loggers are for those who run Prefect; what concerns the user comes through this
    log.handlers = [_log_handler(console)]
    _print(console, f"regioncap: {what}")
    _print(console, f"captioner: {_captioner(context.config)}; {then}")
    if context.config.finds_apart:
        _print(console, f"regions: {_finder(context.config)}")

    def write(text: str) -> None:
        _print(console, text)

    with _bar(console, context.progress) if console.is_terminal else progress_lines(context, write):
        yield


def run_in_words(config: RegionCapConfig) -> str:
    """What a run reads and writes."""
    return f"{redact_url(config.input)} -> {redact_url(config.output)}"


def _log_handler(console: Console) -> logging.Handler:
    """Prints log lines: beside the bar on a terminal, else as they are, for whatever reads them."""
    if console.is_terminal:
        handler: logging.Handler = RichHandler(console=console, show_path=False, show_time=False)
        handler.setFormatter(PrintableFormatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(PrintableFormatter("%(levelname)s: %(message)s"))
    handler.addFilter(lambda record: not getattr(record, REPORTED, False))
    return handler


def _captioner(config: RegionCapConfig) -> str:
    """Who captions, and where pictures go for that."""
    name = config.captioner_name
    hosts = ", ".join(dict.fromkeys(urlsplit(url).netloc for url in config.endpoint))
    if config.delivery == "file":
        folder = redact_url(config.requests_folder)
        rest = f", and {hosts} is sent what no file answers" if hosts else ""
        return f"{config.model} by files in {folder} (marked pictures are in them{rest})"
    if name == "openai":
        asks = config.asks_for_regions and not config.finds_apart
        return f"{config.model} at {hosts} ({'pictures and ' if asks else ''}marked pictures are sent there)"
    if name == "vllm":
        return f"{config.model} with vLLM on this machine (pictures stay here)"
    if config.own_captioner:
        return f"{name} (a plugin: where pictures go is up to it)"
    return f"{name} (no model: pictures stay here)"


def _finder(config: RegionCapConfig) -> str:
    """What finds regions, where that is another model or server than what captions."""
    urls = config.find_endpoint or config.endpoint
    hosts = ", ".join(dict.fromkeys(urlsplit(url).netloc for url in urls))
    return f"{config.finder_model} at {hosts} (pictures without boxes are sent there)"


def plan_lines(plan: Plan, config: RegionCapConfig) -> Iterator[str]:
    """A plan as lines of text."""
    counts = [
        ("rows", plan.rows),
        ("  with boxes", plan.with_bbox),
        ("  without boxes", plan.without_bbox),
        ("  that will be rejected", plan.rejected),
        ("  already done", plan.rows_done),
        ("regions given", plan.regions_given),
        ("regions to find, at most", plan.regions_at_most),
        ("requests needed", plan.requests),
        *([("  for regions, at most", plan.questions)] if plan.questions else []),
        *_audit_counts(plan),
        ("prompt tokens, about", plan.prompt_tokens),
        ("answer tokens, about", plan.completion_tokens),
    ]
    for name, count in counts:
        yield f"{name:<24} {count:>14,}"
    if config.prices is not None:
        yield f"{'US dollars, about':<24} {plan.usd(*config.prices):>14,.2f}"
    if (in_batches := plan.usd_in_batches(config)) is not None:
        way = f"  with delivery={'file' if config.delivery == 'file' else 'batch'}"
        yield f"{way:<24} {in_batches:>14,.2f}"
    if plan.questions:
        yield (
            "\nHow many captions there will be is known when the model has named the regions: this counts "
            f"max_boxes={config.max_boxes} for each picture without boxes."
        )
        if config.delivery == "batch":
            yield "The questions for regions are asked online before the batches, at the full price."
    for hint in plan.hints:
        yield f"\n{hint}"
    if plan.files_left_out:
        yield f"\nfiles left out: {in_words(plan.files_left_out)}"
    if plan.outdated:
        yield f"\n{plan.outdated_in_words}: they are among those to request."
    basis = f"mean of {plan.answers_sampled:,} cached answers" if plan.answers_sampled else "assumed: two sentences"
    yield ""
    yield (
        f"Per request: {plan.image_tokens:,.0f} tokens for the picture (mean of {plan.images_sampled:,} images, 28x28 "
        f"pixels per token) and {plan.text_tokens:,.0f} for the text. Per region: {plan.answer_tokens:,.0f} answer "
        f"tokens ({basis})."
    )
    if plan.questions:
        yield (
            f"Per question for regions: {plan.question_tokens:,.0f} tokens for the text, {plan.found_tokens:,.0f} for "
            "the answer (assumed)."
        )
    yield "Repairs and failed requests are not included. Rows whose boxes all lie outside the picture count as done."


def _audit_counts(plan: Plan) -> list[tuple[str, int]]:
    if plan.audit is None or not plan.audit.requests:
        return []
    return [("rows to audit", plan.audit.rows), ("  requests, at most", plan.audit.requests)]


def price_lines(plan: Plan, config: RegionCapConfig) -> Iterator[tuple[str, str]]:
    """(what, how much) of the requests of a plan."""
    yield "requests needed", f"{plan.requests:,}"
    yield "prompt tokens, about", f"{plan.prompt_tokens:,}"
    yield "answer tokens, about", f"{plan.completion_tokens:,}"
    if config.prices is not None:
        yield "US dollars, about", f"{plan.usd(*config.prices):,.2f}"


def _console(*, stderr: bool) -> Console:
    """A console that prints paths and messages as they are: brackets and colons in them are no markup."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def _print(console: Console, text: str) -> None:
    console.print(printable(text), soft_wrap=True)


@contextlib.contextmanager
def _bar(console: Console, progress: RunProgress) -> Iterator[None]:
    """A progress bar, refreshed by a thread."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.fields[expected]} rows"),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[rejects]:,} rejected"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    over = threading.Event()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None, rejects=0, expected="?", speed="")
        thread = threading.Thread(target=_refresh, args=(bar, task, progress, over), name="bar", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _refresh(bar: Progress, task: TaskID, progress: RunProgress, over: threading.Event) -> None:
    while not over.wait(REFRESH_SECONDS):
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
    """Print the end of a run: a table of counts, and the files it wrote."""
    console = _console(stderr=False)
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for name, count in (
        *((f"files left out: {kind}", count) for kind, count in summary.files_left_out.items()),
        ("rows in", summary.rows_in),
        ("rows captioned", summary.rows_out),
        ("rows rejected", summary.rejects),
        *((f"  {code}", count) for code, count in summary.rejects_by_code.items()),
        ("regions captioned", summary.regions),
        *((f"boxes dropped: {reason}", count) for reason, count in summary.boxes_dropped.items()),
        *((f"flagged: {name}", count) for name, count in summary.flags.items()),
        *((f"edits: {name}", count) for name, count in summary.edits.items()),
        ("captions requested", summary.captions_asked),
        ("captions reused", summary.captions_reused),
        *((name, count) for name, count in _requests(summary) if count),
    ):
        table.add_row(printable(name), f"{count:,}")
    if summary.audit is not None:
        table.add_row("asked for again", str(summary.audit))
    if summary.usd is not None:
        table.add_row("US dollars", f"{summary.usd:,.4f}")
    table.add_row("seconds", f"{summary.wall_seconds:,.1f}")
    console.print(table)
    for name, path in (("output", summary.output), ("rejects", summary.rejects_file), ("summary", _summary(summary))):
        _print(console, f"{name:<8} {path}")
    if summary.unused_edits:
        _print(console, f"{summary.unused_edits}: {summary.unused_edits_file}")
    if summary.problem:
        where = "" if summary.complete else f"; the output was written to {summary.output} instead"
        if not summary.complete and is_parts_folder(summary.output):
            where = "; the output has no _SUCCESS"
        _print(_console(stderr=True), f"regioncap: {summary.problem}{where}")


def show_table(names: Sequence[str], figures: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Print figures, each (its name, one text for each column), in a table with these columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for name in names:
        table.add_column(printable(name), overflow="fold")
    for title, cells in figures:
        table.add_row(title, *map(printable, cells))
    _console(stderr=False).print(table)


def _requests(summary: Summary) -> tuple[tuple[str, int], ...]:
    return (
        ("pictures asked for their regions", summary.regions_asked),
        ("captions repaired", summary.captions_repaired),
        ("captions audited", summary.captions_audited),
        ("requests", summary.requests),
        ("requests retried", summary.requests_retried),
        ("prompt tokens", summary.prompt_tokens),
        ("answer tokens", summary.completion_tokens),
        ("answers without a token count", summary.answers_without_usage),
    )


def _summary(summary: Summary) -> str:
    if is_parts_folder(summary.output):
        return PartOutputs(Place(summary.output)).summary.url
    return summary.rejects_file.removesuffix("rejects.jsonl") + "summary.json"
