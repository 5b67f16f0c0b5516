"""The command compare: the same rows under several settings, in one table and on one page.

Prefect is imported inside the command: it takes seconds, and reads the environment that was prepared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, get_args

import click

from regioncap.command import terminal
from regioncap.command.compare_settings import Setting, settings_of
from regioncap.command.echo import say
from regioncap.command.exit_codes import OK, STOPPED
from regioncap.command.options import GroupedCommand, config_flags_without, config_from
from regioncap.command.resume import command_line
from regioncap.command.stopping_signals import stopping_signals
from regioncap.config.checks import input_stem
from regioncap.config.model import RegionCapConfig
from regioncap.output.outputs import is_parts_folder
from regioncap.output.pictures import Pictures
from regioncap.output.reading import Written
from regioncap.report.side_by_side import Side, SideBySide, write_side_by_side
from regioncap.run.context import RunContext, completed
from regioncap.run.credentials import filesystems_of
from regioncap.storage.filesystem import Place

if TYPE_CHECKING:
    from regioncap.command.compare_run import ComparedSettings, Outcome
    from regioncap.preflight.plan import Plan

MAX_ROWS = 2000
DEFAULT_ROWS = 50


class _Rows(click.ParamType[int | str]):
    """How many rows; or, since `run` has another option of that name, what a row of a table is."""

    name = "rows"
    kinds = get_args(RegionCapConfig.model_fields["rows"].annotation)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number, or the word."""
        if value in self.kinds:
            return str(value)
        if not str(value).isdecimal() or not 1 <= int(value) <= MAX_ROWS:
            self.fail(
                f"expected a number of rows, 1 to {MAX_ROWS:,} (or {', '.join(self.kinds)}), got {value!r}", param
            )
        return int(value)


@click.command(cls=GroupedCommand)
@click.argument("source", metavar="[INPUT]", required=False)
@click.option(
    "--with", "changes", multiple=True, metavar="SETTINGS",
    help="Settings that differ, as name=value, several with spaces between: 'prompt_mode=focal temperature=0.5'. "
    "Repeat it for further settings to compare.",
)  # fmt: skip
@click.option(
    "--rows", multiple=True, type=_Rows(), metavar="N", default=[DEFAULT_ROWS], show_default=True,
    help="Number of rows to compare on, selected by hash as by --sample. per_box and per_image mean the setting.",
)  # fmt: skip
@click.option("--page", metavar="FILE", help="File to write the page to. Default: --output's name with .compare.html.")
@click.option("--plan", "plan_only", is_flag=True, help="Say what it would request and cost, and request nothing.")
@config_flags_without("rows")
def compare(
    source: str | None, changes: tuple[str, ...], rows: tuple[int | str, ...], page: str | None, plan_only: bool,
    config_file: str | None, **flags: Any,
) -> int:  # fmt: skip
    """Caption the same rows of INPUT under several settings and compare what comes.

    The first column has the settings as given, each further one those with the changes of one --with. Prints a table
    and writes a page with the captions side by side; no output is written. Answers are kept: a run with the chosen
    settings requests nothing for these rows. --max-usd and --max-requests apply to all settings together.
    """
    numbers = [each for each in rows if isinstance(each, int)]
    flags["rows"] = next((each for each in reversed(rows) if isinstance(each, str)), None)
    base = completed(config_from(source, config_file, flags))
    settings = settings_of(base, changes, numbers[-1] if numbers else DEFAULT_ROWS)

    from regioncap.command.compare_run import ComparedSettings, checked, read_sample

    sample = read_sample(settings[0])
    found = [checked(setting, sample) for setting in settings]
    for hint in dict.fromkeys(hint for each, _ in found for hint in each.hints):
        say(f"regioncap: {hint}", err=True)
    for line in _price_lines(settings, [planned for _, planned in found]):
        say(line, err=not plan_only)
    if plan_only:
        return OK
    comparison = ComparedSettings(settings, sample, _watch)
    _run(comparison)
    return _show(comparison.outcomes, _page_place(base, page))


def _watch(name: str, context: RunContext) -> AbstractContextManager[None]:
    return terminal.watching(context, name, "each row is captioned, then asked about again")


def _price_lines(settings: Sequence[Setting], plans: Sequence[Plan]) -> Iterator[str]:
    """What each setting will ask for, and what all cost together."""
    total, priced = 0.0, True
    for setting, planned in zip(settings, plans, strict=True):
        text = f"{setting.name}: {planned.requests:,} requests for {planned.rows:,} rows"
        if planned.audit is not None and planned.audit.requests:
            text += f" and at most {planned.audit.requests:,} to audit them"
        if planned.prompt_tokens:
            text += f", about {planned.prompt_tokens:,} prompt and {planned.completion_tokens:,} answer tokens"
        prices = setting.config.prices
        priced = priced and prices is not None
        if prices is not None:
            total += planned.usd(*prices)
            text += f", {planned.usd(*prices):,.4f} US dollars"
        yield text
    if priced:
        yield f"all together: about {total:,.4f} US dollars"


def _run(comparison: ComparedSettings) -> None:
    """Run it; a stop says what is kept and how to go on."""
    try:
        with stopping_signals():
            comparison.run()
    except BaseException as error:
        command = command_line(click.get_current_context().obj)
        new = sum(outcome.bill.captions_new for outcome in comparison.outcomes)
        error.add_note(f"{new:,} captions came, and all that came are kept. Resume with:\n  {command}")
        raise


def _page_place(base: RegionCapConfig, page: str | None) -> Place:
    files = filesystems_of(base)
    output = base.output.rstrip("/") if is_parts_folder(base.output) else base.output.removesuffix(".jsonl")
    return files.place(page or f"{output}.compare.html")


def _show(outcomes: Sequence[Outcome], place: Place) -> int:
    """Print the table and what it says, write the page, and give the exit code."""
    from regioncap.command.compare_figures import audits_of, conclusions_of, figures_of, flagged_rows

    audits = audits_of(outcomes)
    figures, conclusions = figures_of(outcomes, audits), conclusions_of(outcomes, audits)
    terminal.show_table([outcome.setting.name for outcome in outcomes], figures)
    for text in conclusions:
        say(text)
    for outcome in outcomes:
        if outcome.stopped:
            say(f"regioncap: {outcome.setting.name}: stopped: {outcome.stopped}", err=True)
    sides = [
        Side(one.setting.name, flagged_rows(one, audit), one.rejects, _note(one.setting), one.stopped)
        for one, audit in zip(outcomes, audits, strict=True)
    ]
    config = outcomes[0].setting.config
    page = SideBySide(f"{input_stem(config.input)} under {len(sides)} settings", sides, figures, conclusions)
    pictures = Pictures(Written(place.files.place(config.output), config), place.files)
    size = write_side_by_side(page, config, pictures, place)
    say(f"{place.url}: {size / 1e6:,.1f} MB")
    return OK if all(outcome.rows and not outcome.stopped for outcome in outcomes) else STOPPED


def _note(setting: Setting) -> str:
    return f"asks for the same answers as “{setting.same_as}”" if setting.same_as else ""
