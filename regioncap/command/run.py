"""The command run.

What is needed for the first request is imported first, and Prefect while that is under way: it takes seconds, and reads
the environment that was prepared.
"""

from __future__ import annotations

import contextlib
from typing import Any

import click

from regioncap.command import terminal
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
        from regioncap.preflight.start import report, take_output
        from regioncap.tasks.head_start import head_start

    context = RUNS.context(config)
    checked = check(context)
    will_ask = take_output(context, checked)
    check_prefect_home()
    with terminal.watching(context, terminal.run_in_words(config), "starting Prefect …"):
        report(context, checked)
        with head_start(context) if will_ask else contextlib.nullcontext(), context.interrupts.named():
            with uncollected():
                from regioncap.flows.region_caption import region_caption

            return region_caption(config)
