"""Commands that take an input: run, plan, try.

Prefect is imported inside the commands that need it: it takes seconds, and reads the environment that was prepared.
"""

from __future__ import annotations

import contextlib
from typing import Any

import click

from regioncap.command import terminal
from regioncap.command.echo import say
from regioncap.command.exit_codes import OK, STOPPED
from regioncap.command.options import GroupedCommand, config_flags, config_from
from regioncap.command.prefect_env import check_prefect_home
from regioncap.command.resume import saying_how_to_resume
from regioncap.command.uncollected import uncollected
from regioncap.config.model import RegionCapConfig
from regioncap.output.summary import Summary
from regioncap.run.context import completed
from regioncap.run.runs import RUNS


@click.command(cls=GroupedCommand)
@click.argument("source", metavar="[INPUT]", required=False)
@config_flags
def run(source: str | None, config_file: str | None, **flags: Any) -> int:
    """Caption the regions of all images in INPUT.

    INPUT is a path or URL: JSON Lines, a JSON array, COCO instances, CSV, TSV, Parquet or images, or a folder or glob
    of these. Rerunning the same command does only what is not done yet.
    """
    config = completed(config_from(source, config_file, flags))
    with RUNS.enter():
        try:
            with saying_how_to_resume(config, click.get_current_context().obj):
                summary = _run(config)
        finally:
            RUNS.close(config)
    terminal.show(summary)
    return OK if summary.ok else STOPPED


def _run(config: RegionCapConfig) -> Summary:
    with uncollected():
        from regioncap.preflight.check import check
        from regioncap.preflight.start import take_output
        from regioncap.tasks.head_start import head_start

    context = RUNS.context(config)
    will_ask = take_output(context, check(context))
    check_prefect_home()
    watching = terminal.watching(context, terminal.run_in_words(config), "starting Prefect …")
    with watching, head_start(context) if will_ask else contextlib.nullcontext():
        with uncollected():
            from regioncap.flows.region_caption import region_caption

        return region_caption(config)


@click.command(cls=GroupedCommand)
@click.argument("source", metavar="[INPUT]", required=False)
@config_flags
def plan(source: str | None, config_file: str | None, **flags: Any) -> int:
    """Estimate the requests, tokens and cost of a run on INPUT.

    Reads the rows, and the sizes of a sample of the images. Sends no request and writes nothing. The cost needs
    --usd-per-m-in and --usd-per-m-out.
    """
    from regioncap.preflight.plan import plan as plan_run

    config = completed(config_from(source, config_file, flags))
    for text in terminal.plan_lines(plan_run(config), config):
        say(text)
    return OK


@click.command("try", cls=GroupedCommand)
@click.argument("source", metavar="[INPUT]", required=False)
@click.option("--row", "line", type=click.IntRange(1), default=1, show_default=True, help="Line of the input, from 1.")
@config_flags
def try_(source: str | None, line: int, config_file: str | None, **flags: Any) -> int:
    """Caption one row of INPUT and show each stage of it.

    Shows where the marked picture is, the request, the raw answer and the captions, to find the right prompt or model.
    The model is asked each time; no output is written.
    """
    from regioncap.command.try_row import try_row

    config = completed(config_from(source, config_file, flags))
    return OK if try_row(config, line, say) else STOPPED
