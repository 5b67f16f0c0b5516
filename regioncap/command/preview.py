"""What a run would do, shown before it is made: the commands plan and try."""

from __future__ import annotations

from typing import Any

import click

from regioncap.command import terminal
from regioncap.command.echo import say
from regioncap.command.exit_codes import OK, STOPPED
from regioncap.command.options import GroupedCommand, config_flags, config_from
from regioncap.run.context import completed


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
