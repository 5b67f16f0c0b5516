"""Commands about what a run keeps in its cache: steps, explain, reread. They need no Prefect server."""

from __future__ import annotations

import sys
from typing import Any

import click

from regioncap.command.echo import say
from regioncap.command.exit_codes import OK, STOPPED
from regioncap.command.options import (
    GroupedCommand,
    cache_place,
    config_flags,
    config_from,
    file_name_prefix,
    files_from,
    given,
)
from regioncap.config.files import read_config_file
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.output.outputs import config_of_output
from regioncap.printable import printable_json
from regioncap.run.context import completed
from regioncap.storage.runs import entry_place, registered


@click.command(cls=GroupedCommand)
@click.argument("run_name", metavar="RUN")
@click.argument("number", metavar="K", type=click.IntRange(0, 6))
@config_flags
def steps(run_name: str, number: int, config_file: str | None, **flags: Any) -> int:
    """Print the rows after step K of RUN, one JSON object per line.

    K: 0 input, 1 load, 2 route, 3 extract, 4 normalize, 5 visualize, 6 caption. RUN is the output of a run, or its
    input with the options that the run had.
    """
    from regioncap.command.explain import rows_of_step

    missing = 0
    for shard, lines in rows_of_step(_config_of_run(run_name, config_file, flags), number):
        if lines is None:
            missing += 1
            say(f"shard {shard:05d}: step {number} is not done yet", err=True)
        else:
            text = lines.decode("utf-8", "surrogateescape")
            sys.stdout.buffer.write(printable_json(text).encode())
    return STOPPED if missing else OK


@click.command(cls=GroupedCommand, short_help="Show how far the rows of RUN are, and what would run again.")
@click.argument("run_name", metavar="RUN")
@click.option("--verify", is_flag=True, help="Read every step file and check its sha256, not only its size.")
@config_flags
def explain(run_name: str, verify: bool, config_file: str | None, **flags: Any) -> int:
    """Show how far the rows of RUN are, which of its steps would run again, and why.

    Captions that are in the cache count, also those of a run that is in progress or was stopped. RUN is the output of a
    run, or its input with options; options given here override those that the run had.
    """
    from regioncap.command.explain import explain_run

    for line in explain_run(_config_of_run(run_name, config_file, flags), verify=verify):
        say(line)
    return OK


@click.command(cls=GroupedCommand, short_help="Read stored replies of OUTPUT's run again.")
@click.argument("output_name", metavar="OUTPUT")
@click.option("--dry-run", is_flag=True, help="Only count; change nothing.")
@config_flags
def reread(output_name: str, dry_run: bool, config_file: str | None, **flags: Any) -> int:
    """Read the stored replies of OUTPUT's run again with today's rules.

    No model is asked. Says how many captions stay, change, are new and are gone; the next `regioncap run` uses what was
    found, and requests only what is gone. OUTPUT is the output of a run, also of one that was stopped, or its input
    with the options that the run had. Exit code 1: some rows were left out, since their marks are not drawn yet.
    """
    from regioncap.command.reread import reread

    done = reread(_config_of_run(output_name, config_file, flags), dry_run=dry_run)
    for line in done.lines():
        click.echo(line)
    click.echo("nothing was changed" if dry_run else "stored; the next `regioncap run` uses it")
    if done.unknown:
        click.echo(f"regioncap: {done.unknown:,} rows are not drawn yet: left out", err=True)
    return STOPPED if done.unknown else OK


def _config_of_run(run_name: str, config_file: str | None, flags: dict[str, Any]) -> RegionCapConfig:
    """The config that RUN means: an output's own, that of a stopped run for it, or RUN as an input; flags win."""
    place = files_from(flags).place(run_name)
    earlier = config_of_output(place) or _config_of_stopped(run_name, flags)
    if earlier:
        values = {**earlier, **(read_config_file(config_file) if config_file else {}), **given(flags)}
        return completed(RegionCapConfig(**values))
    if not (place.find().names if place.is_glob() else place.exists()):
        raise UsageError(f"{run_name}: expected the output of a run, or its input and options; there is neither")
    return completed(config_from(run_name, config_file, flags))


def _config_of_stopped(run_name: str, flags: dict[str, Any]) -> dict[str, Any]:
    found = registered(entry_place(cache_place(flags), file_name_prefix(flags), run_name)).config
    return {name: value for name, value in found.items() if name in RegionCapConfig.model_fields}
