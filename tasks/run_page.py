"""The page of a run in Prefect's UI: its progress, its summary, or why it stopped.

What a page shows is made in `regioncap/report/run_summary.py` and `stop_page.py`. A page that cannot be written is
logged and stops nothing.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.runtime import deployment
from prefect.settings import get_current_settings

from regioncap.errors import UsageError, Waiting
from regioncap.output.join import ShardSteps
from regioncap.output.summary import Summary
from regioncap.report.markdown import escape_markdown
from regioncap.report.report import report_place
from regioncap.report.run_summary import (
    first_pictures,
    outcome,
    progress_text,
    rejects_table,
    slug_of,
    summary_page,
)
from regioncap.report.stop_page import stop_line, stop_page, wrong_settings_line, wrong_settings_page
from regioncap.run.context import RunContext

SECONDS_BETWEEN_UPDATES = 2.0

logger = logging.getLogger("regioncap")


@contextlib.contextmanager
def _never_stop_the_run(what: str) -> Iterator[None]:
    """A page is not worth a run: what fails in this block is logged."""
    try:
        yield
    except Exception as error:
        logger.warning("the run's page lacks its %s: %s", what, error)


@contextlib.contextmanager
def page_of(context: RunContext) -> Iterator[None]:
    """Shows the run's progress on its page until the block ends, and the error with which it ends, if any."""
    bar = _Bar(context)
    bar.start()
    try:
        yield
    except Waiting as waiting:
        bar.end(f"waiting: {waiting.progress}")
        show_failure(waiting, context)
        raise
    except BaseException as error:
        bar.end("stopped")
        show_failure(error, context)
        raise
    bar.end()


class _Bar:
    """A progress artifact, updated by a thread."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._ended = threading.Event()
        self._started_at = time.monotonic()
        self._shown: tuple[float, str] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        with _never_stop_the_run("progress"):
            key = f"progress-{slug_of(self._context.config.output)}"
            self._artifact = cast(UUID, create_progress_artifact(0.0, key=key, description="starting"))
            # Prefect's settings for this run are in context variables, which a new thread does not inherit.
            run = contextvars.copy_context().run
            self._thread = threading.Thread(target=run, args=(self._keep_up,), name="run-page", daemon=True)
            self._thread.start()

    def _keep_up(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_UPDATES):
            percent, text = progress_text(self._context, time.monotonic() - self._started_at)
            waits = self._context.progress.waiting_for is not None  # then the words may change without the share
            if self._shown is None or self._shown[0] != percent or (waits and self._shown[1] != text):
                self._show(percent, text)

    def _show(self, percent: float, text: str) -> None:
        self._shown = (percent, text)
        if self._context.prefect_lost.is_set():
            return
        with _never_stop_the_run("progress"):
            update_progress_artifact(self._artifact, percent, description=text)

    def end(self, how: str = "") -> None:
        """`how`: of a run that was not completed; `stopped` is followed by how far it came."""
        if self._thread is None:
            return
        self._ended.set()
        self._thread.join()
        percent, text = progress_text(self._context, time.monotonic() - self._started_at)
        rows = self._context.progress.counts.rows
        if how == "stopped":
            how = f"stopped: {', '.join(text.split(', ')[:2])}"
        self._show(percent if how else 100.0, how or f"all of {rows:,} rows")


def show(summary: Summary, shards: Sequence[ShardSteps], context: RunContext) -> Summary:
    """Put the run's summary on its page, and a table of its rejects. Returns the summary."""
    slug = slug_of(context.config.output)
    links = {}
    if summary.rejects:
        with _never_stop_the_run("rejects"):
            made = create_table_artifact(
                rejects_table(summary, shards, context),
                key=f"rejects-{slug}",
                description=f"{summary.rejects:,} rejected rows by code; all of them are in `{summary.rejects_file}`",
            )
            links["rejects by code"] = _ui("artifacts/artifact", made)
    with _never_stop_the_run("summary"):
        pictures = first_pictures(shards, context, context.config.page_pictures)
        summary.with_pictures(pictures)
        links["run again"] = _ui("deployments/deployment", context.deployment)
        shown = {text: url for text, url in links.items() if url}
        page = summary_page(summary, pictures, shown, _report_of(context))
        create_markdown_artifact(page, key=f"summary-{slug}", description=outcome(summary))
    return summary


def _report_of(context: RunContext) -> str:
    """Where the report of the run's output is; "" if the run was to write none, or could not."""
    place = report_place(context.output, context.files)
    return place.url if context.config.report and place.exists() else ""


def show_failure(error: BaseException, context: RunContext) -> None:
    """Put on the run's page why it stopped and what to do."""
    if context.prefect_lost.is_set():
        return
    if isinstance(error, UsageError):
        show_wrong_settings(error, context.config.output)
        return
    with _never_stop_the_run("failure"):
        create_markdown_artifact(
            stop_page(error, context, _how_to_rerun()),
            key=f"summary-{slug_of(context.config.output)}",
            description=escape_markdown(stop_line(error, context)),
        )


def show_wrong_settings(error: UsageError, output: str) -> None:
    """Put on the page of a run that was not begun what is wrong with its settings. `output`: a name for the run."""
    with _never_stop_the_run("failure"):
        create_markdown_artifact(
            wrong_settings_page(error, _how_to_rerun()),
            key=f"summary-{slug_of(output)}",
            description=escape_markdown(wrong_settings_line(error)),
        )


def _how_to_rerun() -> str:
    if not deployment.id:
        return "run it again"
    again = _ui("deployments/deployment", deployment.id)
    return f"[run the deployment again]({again})" if again else "run the deployment again"


def _ui(path: str, number: object) -> str:
    """The address of a page of Prefect's UI; "" when there is none."""
    base = get_current_settings().ui_url
    return f"{base.rstrip('/')}/{path}/{number}" if base and number else ""
