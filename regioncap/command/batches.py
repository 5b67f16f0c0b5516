"""The command batches: what a run has at its provider or in files of requests, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from regioncap.command.echo import say
from regioncap.command.exit_codes import OK
from regioncap.command.options import GroupedCommand, cache_place, file_name_prefix, storage_flags
from regioncap.errors import UsageError

if TYPE_CHECKING:
    # It imports the captioners, for which no help text should wait.
    from regioncap.tasks.batch_console import Submitted, Written


@click.command(cls=GroupedCommand)
@click.argument("output", metavar="OUTPUT")
@click.option(
    "--cancel",
    is_flag=True,
    help="End the batches, and remove the files of requests; the next run keeps what was answered by then.",
)
@click.option(
    "--adopt",
    metavar="ID=BATCH",
    help="The batch at the provider that belongs to the record ID, or none if there is none (any more); for when a run "
    "stopped and asked for it.",
)
@storage_flags
def batches(output: str, cancel: bool, adopt: str | None, **flags: Any) -> int:
    """List the batches that runs for OUTPUT have submitted and not collected yet, and files of requests that wait for
    their results.

    Asks the provider how far each batch is. `regioncap run` with delivery=batch collects them, and with delivery=file
    it reads the results beside files.
    """
    from regioncap.command.partial_report import config_of_run
    from regioncap.tasks.batch_console import adopt as adopt_batch
    from regioncap.tasks.batch_console import submitted, written

    cache = cache_place(flags)
    config = config_of_run(output, cache, file_name_prefix(flags))
    if config is None:
        raise UsageError(f"OUTPUT: {output}: the cache {cache.url} knows of no run with this output; see --cache-path")
    if adopt is not None:
        ours, _, theirs = adopt.partition("=")
        if not (ours and theirs):
            raise UsageError(f"--adopt: expected ID=BATCH or ID=none, got {adopt!r}")
        say(f"{ours} {adopt_batch(config, cache, ours, theirs)}")
        return OK
    found, files = submitted(config, cache, cancel=cancel), written(config, cache, cancel=cancel)
    for line in [*(_line(each, cancel=cancel) for each in found), *map(_file_line, files)]:
        say(line)
    if not (found or files):
        say("no batches: all are collected, or none was submitted")
    return OK


def _line(each: Submitted, *, cancel: bool) -> str:
    record, batch = each.record, each.batch
    if batch is None and record.batch:
        gone = f"{record.batch}: not at the provider (any more), {record.requests:,} requests"
        return f"{gone}; --adopt {record.id}=none gives it up"
    if batch is None:
        after = "given up" if cancel and each.is_never_created else "the next run does it"
        return f"{record.id}: not created yet, {record.requests:,} requests; {after}"
    words = f"{batch.id}: {batch.status}, {batch.done:,} of {record.requests:,} answers"
    return f"{words}, {batch.failed:,} failed" if batch.failed else words


def _file_line(each: Written) -> str:
    words = f"{each.url}: {each.record.done:,} of {each.record.requests:,} answers"
    if each.results:
        words = f"{words}; the next run reads {', '.join(each.results)}"
    return words if each.there else f"{words}; given up"
