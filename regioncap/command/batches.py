"""The command batches: what a run has at its provider, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from regioncap.command.echo import say
from regioncap.command.exit_codes import OK
from regioncap.command.options import GroupedCommand, cache_place, file_name_prefix, storage_flags
from regioncap.errors import UsageError

if TYPE_CHECKING:
    # It imports the captioners, for which no help text should wait.
    from regioncap.tasks.batch_console import Submitted


@click.command(cls=GroupedCommand)
@click.argument("output", metavar="OUTPUT")
@click.option("--cancel", is_flag=True, help="End the batches; the next run keeps what they have done by then.")
@click.option(
    "--adopt",
    metavar="ID=BATCH",
    help="The batch at the provider that belongs to the record ID, or none if there is none; for providers without a "
    "list of batches.",
)
@storage_flags
def batches(output: str, cancel: bool, adopt: str | None, **flags: Any) -> int:
    """List the batches that runs for OUTPUT have submitted and not collected yet.

    Asks the provider how far each is. `regioncap run` with delivery=batch collects them.
    """
    from regioncap.command.partial_report import config_of_run
    from regioncap.tasks.batch_console import adopted, submitted

    cache = cache_place(flags)
    config = config_of_run(output, cache, file_name_prefix(flags))
    if config is None:
        raise UsageError(f"OUTPUT: {output}: the cache {cache.url} knows of no run with this output; see --cache-path")
    if adopt is not None:
        ours, _, theirs = adopt.partition("=")
        if not theirs or not adopted(cache, ours, theirs):
            raise UsageError(
                f"--adopt: expected ID=BATCH or ID=none, with the ID of a record of a batch, got {adopt!r}"
            )
        say(f"{ours}: {'is created again by the next run' if theirs == 'none' else f'is batch {theirs}'}")
        return OK
    found = submitted(config, cache, cancel=cancel)
    for each in found:
        say(_line(each))
    if not found:
        say("no batches: all are collected, or none was submitted")
    return OK


def _line(each: Submitted) -> str:
    record, batch = each.record, each.batch
    if batch is None:
        return f"{record.id}: not created yet, {record.requests:,} requests"
    words = f"{batch.id}: {batch.status}, {batch.done:,} of {record.requests:,} answers"
    return f"{words}, {batch.failed:,} failed" if batch.failed else words
