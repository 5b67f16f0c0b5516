"""Commands about a cache as a folder: what lies there, and what can go. They need no Prefect server."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from regioncap.command.echo import say
from regioncap.command.exit_codes import OK, STOPPED
from regioncap.command.options import GroupedCommand, cache_place, file_name_prefix, storage_flags
from regioncap.errors import UsageError
from regioncap.records import dumps

if TYPE_CHECKING:
    # They import the captioners and the steps, for which no help text should wait.
    from regioncap.command.cache_contents import Contents, Count
    from regioncap.command.prune import Unneeded

MAX_OUTPUTS = 50
"""Registered outputs that are listed."""


@click.command(cls=GroupedCommand)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@storage_flags
def cache(as_json: bool, **flags: Any) -> int:
    """Show what lies in a cache and what is safe to remove.

    Counts files by kind: how many no registered run needs, whether they can be made again or were paid for, and the
    command that removes them. Lists the outputs that are registered. Changes nothing. Exit code 1: some folders cannot
    be listed.
    """
    from regioncap.command.cache_contents import contents_of
    from regioncap.storage.cache_folder import CacheFolder

    folder = CacheFolder.at(cache_place(flags))
    found = contents_of(folder, lambda count: say(f"{count:,} files so far …", err=True))
    if as_json:
        click.echo(dumps(asdict(found)))
    else:
        for line in _lines(found):
            say(line)
    return STOPPED if found.unreadable else OK


def _lines(found: Contents) -> Iterator[str]:
    files, size = sum(count.files for count in found.kinds), sum(count.bytes for count in found.kinds)
    yield f"{found.cache}: {files:,} files, {_mb(size)}"
    yield ""
    for count in found.kinds:
        yield from _lines_of(count)
    yield ""
    yield from (_of_output(**asdict(output)) for output in found.outputs[:MAX_OUTPUTS])
    if more := len(found.outputs) - MAX_OUTPUTS:
        yield from [f"… and {more:,} more outputs"] if more > 0 else []
    for entry in found.damaged_entries:
        yield f"{entry} cannot be read, so what is needed is not known; run its outputs again, or remove it"
    if found.foreign:
        more = found.foreign - len(found.foreign_names)
        names = ", ".join(found.foreign_names) + (f" and {more:,} more" if more else "")
        yield f"not made by RegionCap, never touched: {names}"
    for url, reason in found.unreadable.items():
        yield f"cannot list {url}: {reason}"


def _lines_of(count: Count) -> Iterator[str]:
    times = f"{_day(count.oldest)} to {_day(count.newest)}"
    yield f"{count.kind:<28} {count.files:>11,} files {_mb(count.bytes):>13}  {times}"
    if count.unneeded:
        yield f"    {count.unneeded:,} unneeded, {_mb(count.unneeded_bytes)} ({count.cost}): {count.command}"
    elif count.unneeded is None and count.command:
        yield f"    how many are unneeded ({count.cost}) is for this to find out: {count.command} --dry-run"


STATES = {True: "complete", False: "stopped, or still running", None: "of an earlier version; rerun it to know more"}


def _of_output(output: str, prefix: str, finished: bool | None, changed_at: float) -> str:
    state = STATES[finished]
    return f"{output} ({prefix}): {state}, {_day(changed_at)}"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _day(seconds: float | None) -> str:
    return f"{dt.datetime.fromtimestamp(seconds or 0, dt.UTC).astimezone():%Y-%m-%d %H:%M}"


@click.command(cls=GroupedCommand)
@click.option("--dry-run", is_flag=True, help="Only count; remove nothing.")
@click.option("--marks", is_flag=True, help="Also remove marked pictures that no run of this cache drew.")
@click.option(
    "--answers", is_flag=True, help="Also remove answers that no run of this cache would reuse. They were paid for."
)
@click.option("--forget", "forgotten", metavar="OUTPUT", multiple=True, help="Keep nothing for runs of this output.")
@click.option("--min-age", default=24.0, show_default=True, help="Hours; younger files stay, as a run may need them.")
@click.option("--yes", is_flag=True, help="Do not ask before answers are removed.")
@storage_flags
def prune(
    dry_run: bool, marks: bool, answers: bool, forgotten: tuple[str, ...], min_age: float, yes: bool, **flags: Any
) -> int:
    """Remove from a cache what no run needs.

    That is step files, images that rows held, indexes of tars, what was found out about servers that no run asks any
    more, and what killed runs left behind. What the last complete
    run of each output used is kept. A stopped run that is resumed makes its step files again, without asking the model;
    its answers are kept by --answers, too, which reads the images that it did not come to. `regioncap cache` shows what
    lies there. Exit code 1: some folders cannot be listed.
    """
    from regioncap.command.prune import Prune, check_register, find_unneeded, forget, older_than
    from regioncap.command.registered_runs import Register, entries_of
    from regioncap.storage.cache_folder import CacheFolder

    prefix = file_name_prefix(flags)
    folder = CacheFolder.at(cache_place(flags))
    if folder.prefixes and prefix not in folder.prefixes:
        raise UsageError(
            f"--file-name-prefix: {folder.place.url} has no files of the prefix {prefix!r}; expected "
            f"{' or '.join(map(repr, folder.prefixes))}"
        )
    entries = entries_of(forgotten, folder, prefix)
    register = Register.of(folder, entries)
    check_register(register)
    for run in register.of_prefix(prefix):
        say(f"needed for {run.content.output}")
    found = list(find_unneeded(Prune(register, older_than(min_age), _tell), prefix, marks=marks, answers=answers))
    for kind in found:
        say(_unneeded(kind))
    for url, reason in folder.unreadable.items():
        say(f"regioncap: cannot list {url}: {reason}", err=True)
    if not dry_run:
        if answers and not yes:
            _confirm(found[-1])
        for kind in found:
            kind.remove()
        forget(entries)
        say("removed")
    return STOPPED if folder.unreadable else OK


def _tell(text: str) -> None:
    say(text, err=True)


def _unneeded(found: Unneeded) -> str:
    note = f"; {found.note}" if found.note else ""
    return f"{found.kind:<16} {len(found.files):>9,} of {found.seen:,} unneeded, {_mb(found.bytes)}{note}"


def _confirm(answers: Unneeded) -> None:
    if answers.files:
        click.confirm(f"Remove {len(answers.files):,} answers that were paid for?", abort=True)
