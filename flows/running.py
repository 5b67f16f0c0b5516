"""The start and the end of a run, around whatever the flow does with its shards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from prefect.runtime import deployment

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.output.outputs import check_output
from regioncap.preflight.begin import begin
from regioncap.preflight.box_format import check_box_form
from regioncap.preflight.prompt_keys import check_prompt_keys
from regioncap.run.context import RunContext, completed, context_of, end_run, in_run
from regioncap.tasks.run_log import heard
from regioncap.tasks.run_page import page_of
from regioncap.tasks.workers import Workers, workers_of
from regioncap.tasks.write import note_run


@contextlib.contextmanager
def running(config: RegionCapConfig) -> Iterator[tuple[RunContext, Workers]]:
    """A run from start to end: its context and workers, told to stop and closed however the run ends; a stop is put on
    record, and on the run's page.

    The context's config is the complete one: region fields that the input brings by its form are in it.
    """
    config = completed(config)
    with in_run():
        context = context_of(config)
        try:
            with heard, page_of(context):
                check_output(context.output)
                context.captioner.check()
                check_prompt_keys(config, context.shards())
                check_box_form(context)
                begin(context, deployed=deployment.id is not None)
                with workers_of(context) as workers, _halted_at_once(context):
                    yield context, workers
        except UsageError:
            raise
        except BaseException as error:
            with contextlib.suppress(Exception):  # the record of a stop must not hide why the run stopped
                note_run(context, "stopped", str(error) or type(error).__name__)
            raise
        finally:
            end_run(config)


@contextlib.contextmanager
def _halted_at_once(context: RunContext) -> Iterator[None]:
    """A run that stops asks for nothing more from that moment on, whatever is to be told and ended before its end."""
    try:
        yield
    except BaseException:
        context.halt()
        raise
