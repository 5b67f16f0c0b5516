"""The start and the end of a run, around whatever the flow does with its shards."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from prefect.runtime import deployment, flow_run

from regioncap.config.model import RegionCapConfig
from regioncap.errors import OutputInUse, Stopped, UsageError, Waiting
from regioncap.flows.caller import stopping_with_caller
from regioncap.flows.prefect_watch import loss_of_prefect_named, watching_prefect
from regioncap.output.lease import check_still_held
from regioncap.output.leftovers import remove_leftovers
from regioncap.preflight.check import check
from regioncap.preflight.start import start
from regioncap.run.context import RunContext, completed
from regioncap.run.kept import CALL, DEPLOYMENT
from regioncap.run.runs import RUNS
from regioncap.tasks.record_stop import record_stop
from regioncap.tasks.run_log import forward_logs_to_prefect
from regioncap.tasks.run_page import page_of
from regioncap.tasks.scheduling import open_workers
from regioncap.tasks.workers import Workers

logger = logging.getLogger("regioncap")


@contextlib.contextmanager
def running(config: RegionCapConfig) -> Iterator[tuple[RunContext, Workers]]:
    """A run from start to end: its context and workers, stopped and closed however the run ends.

    The context's config is complete: region fields that the input's format implies are in it.
    """
    with (
        RUNS.enter(),
        _open_context(config) as context,
        forward_logs_to_prefect(),
        contextlib.closing(context.answers),
        stopping_with_caller(context),
        watching_prefect(context),
        page_of(context),
        _stop_recorded(context),
        loss_of_prefect_named(context),
        _loss_named(context),
        context.interrupts.named(),
    ):
        context.run_name = str(flow_run.name or "")
        context.deployment = str(deployment.id or "")  # Prefect asks its server for it, so once is enough
        start(context, check(context, deployed=bool(context.deployment)))
        remove_leftovers(context)
        with open_workers(context) as workers, _halted_at_once(context):
            yield context, workers


@contextlib.contextmanager
def _open_context(config: RegionCapConfig) -> Iterator[RunContext]:
    """The run's context, closed at the end: the command's, where the command has opened it, else a new one."""
    if RUNS.find(config) is None:
        config = completed(config)
    try:
        yield RUNS.context(config)
    finally:
        RUNS.close(config)


@contextlib.contextmanager
def _stop_recorded(context: RunContext) -> Iterator[None]:
    """A run that stops is put on record, beside its output, and says how many captions it leaves; a wrong call was no
    run, and one that is refused leaves all files to the other."""
    try:
        yield
    except (UsageError, OutputInUse):
        raise
    except BaseException as error:
        with contextlib.suppress(Exception):  # the record of a stop must not hide why the run stopped
            record_stop(context, error)
            _say_what_is_kept(context, error)
        raise


def _say_what_is_kept(context: RunContext, error: BaseException) -> None:
    """The command says it itself; elsewhere it is in the log, and with the error of a call. A run that waits says it in
    its own words."""
    if context.how_to_resume or isinstance(error, Waiting):
        return
    text = f"{context.kept} {DEPLOYMENT if context.deployment else CALL}"
    logger.warning("%s", text)
    if not context.deployment:
        error.add_note(text)


@contextlib.contextmanager
def _loss_named(context: RunContext) -> Iterator[None]:
    """Raises OutputInUse where the run was stopped since another has taken over its output."""
    try:
        yield
    except Stopped:
        if context.lease_lost.is_set():
            check_still_held(context)
        raise


@contextlib.contextmanager
def _halted_at_once(context: RunContext) -> Iterator[None]:
    """A run that stops asks for nothing more from that moment on, whatever else must be done before its end."""
    try:
        yield
    except BaseException:
        context.stop_sending()
        raise
