"""What a run would do, shown before it is made: the commands plan and try."""

from __future__ import annotations

from typing import Any

import click

from regioncap.command import terminal
from regioncap.command.echo import say
from regioncap.command.exit_codes import OK, STOPPED
from regioncap.command.options import GroupedCommand, config_flags, config_from, settings_from
from regioncap.errors import UsageError
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
@click.option(
    "--row", "lines", type=click.IntRange(1), multiple=True, default=(1,), show_default="1",
    help="Line of the input, from 1. With --show regions it may be given more than once.",
)  # fmt: skip
@click.option(
    "--show",
    type=click.Choice(["regions"]),
    help="regions: draw what each region finder finds, side by side, and caption nothing.",
)
@click.option(
    "--picture",
    metavar="FILE",
    help="Where --show regions draws it: .jpg, .png or .webp. Default: INPUT's name with .regions.jpg, in the current "
    "folder.",
)
@config_flags
def try_(
    source: str | None, lines: tuple[int, ...], show: str | None, picture: str | None, config_file: str | None,
    **flags: Any,
) -> int:  # fmt: skip
    """Caption one row of INPUT and show each stage of it.

    Shows where the marked picture is, the request, the raw answer and the captions, to find the right prompt or model.
    The model is asked each time; no output is written.

    With --show regions it draws what edges, canny and adaptive find, what the finder that --extractor names finds (a
    plugin, or vlm, for which the model is asked), and the boxes that the row has.
    """
    if show == "regions":
        from regioncap.command.try_regions import config_of_finders, show_regions

        config = completed(config_of_finders(settings_from(source, config_file, flags)))
        return OK if show_regions(config, lines, picture, say) else STOPPED
    if len(lines) > 1 or picture:
        wrong = "--picture" if picture else "--row"
        raise UsageError(f"{wrong}: only --show regions takes {'it' if picture else 'several rows'}")
    from regioncap.command.try_row import try_row

    config = completed(config_from(source, config_file, flags))
    return OK if try_row(config, lines[0], say) else STOPPED
