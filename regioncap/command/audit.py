"""The command audit: how far the captions of an output follow their boxes."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from regioncap.command import terminal
from regioncap.command.echo import say
from regioncap.command.exit_codes import OK, STOPPED
from regioncap.command.options import GroupedCommand, fields_as_flags, files_from, given
from regioncap.command.resume import command_line
from regioncap.command.stopping_signals import stopping_signals
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.output.pictures import image_root_of
from regioncap.output.reading import Written, open_output
from regioncap.run.context import RunContext
from regioncap.run.credentials import check_environment

if TYPE_CHECKING:
    # They import the steps, for which no help text should wait.
    from regioncap.audit.auditing import Audited
    from regioncap.audit.figures import Audit
    from regioncap.audit.intervals import Share
    from regioncap.audit.sampling import Sample

OF_RUNS = frozenset(
    {"output", "shard_size", "runner", "dask_address", "processes", "max_reject_share", "on_config_change",
     "audit_rows", "min_consistent"}
)  # fmt: skip
"""Settings that have a meaning for runs only."""

SETTINGS = (
    "image_root",
    *(name for name in RegionCapConfig.fields_with_role("effort", "limits", "place") if name not in OF_RUNS),
)
"""Those that an audit may be given. The others decide what is asked, which is what the run asked."""

ROWS_TRIED = 10
"""To find where the images are: some may be gone."""


@click.command(cls=GroupedCommand, short_help="Measure how far OUTPUT's captions follow their boxes.")
@click.argument("output_name", metavar="OUTPUT")
@click.option("--rows", type=click.IntRange(1), default=200, show_default=True, help="Maximum number of rows to audit.")
@click.option("--seed", default=0, show_default=True, help="Random seed of the sample of rows.")
@click.option("--plan", is_flag=True, help="Estimate requests, tokens and cost; send nothing and write nothing.")
@fields_as_flags(SETTINGS)
def audit(output_name: str, rows: int, seed: int, plan: bool, **flags: Any) -> int:
    """Measure how far OUTPUT's captions follow their boxes.

    The model is asked again about a sample of the rows with two or more regions: with other numbers, in reverse order,
    and once as before. A caption that stays with its box is consistent. The result goes to OUTPUT's name with
    .audit.json; OUTPUT stays as it is. Answers are cached, so repeating an audit costs nothing. Settings are those of
    the run. Exit code 1: some rows of the sample could not be asked about.
    """
    from regioncap.audit.auditing import check_auditable
    from regioncap.audit.sampling import NOTHING_TO_AUDIT, sample_of

    files = files_from(flags)
    written = open_output(output_name, files, cache_path=flags["cache_path"], image_root=flags["image_root"])
    sample = sample_of(written.rows(), rows, seed)
    if not sample.rows:
        raise UsageError(f"{written.place.url}: {NOTHING_TO_AUDIT}")
    with contextlib.closing(RunContext(_config_of(written, sample, flags))) as context:
        check_auditable(context)
        if plan:
            return _plan(sample, context)
        done = _audit(written, sample, context, seed)
    for name, text in audit_lines(done):
        say(f"{name:<26}{text}")
    return STOPPED if done.left_out else OK


def _config_of(written: Written, sample: Sample, flags: dict[str, Any]) -> RegionCapConfig:
    """The settings of the output's run, with those that are given now. Raises UsageError, ConfigError."""
    if written.summary is None:
        raise UsageError(
            f"{written.place.url}: its summary is missing, so the settings of its run are not known; rerun the run's "
            "command, which asks for nothing that is cached, and writes it"
        )
    known = {name: value for name, value in written.summary.config.items() if name in RegionCapConfig.model_fields}
    if known.get("delivery") == "file":  # an audit asks a server
        known["delivery"] = "online"
    roots = (image_root_of(written, written.place.files, row) for row in sample.rows[:ROWS_TRIED])
    root = next((each for each in roots if each is not None), known.get("image_root"))
    return RegionCapConfig(**{**known, "output": written.place.address, "image_root": root, **given(flags)})


def _audit(written: Written, sample: Sample, context: RunContext, seed: int) -> Audited:
    from regioncap.audit.auditing import audit_output

    check_environment(context.config)
    context.captioner.check()
    what = f"audit of {written.place.url}: {len(sample.rows):,} of {sample.eligible:,} rows with two or more regions"
    with (
        _saying_how_to_resume(context, click.get_current_context().obj),
        terminal.watching(context, what, "each row is asked about again"),
    ):
        context.progress.read(len(sample.rows), 1.0)
        return audit_output(written, sample, context, seed=seed, count=context.progress.add)


@contextlib.contextmanager
def _saying_how_to_resume(context: RunContext, args: Sequence[str]) -> Iterator[None]:
    """Add to an error that stops the audit what is kept and which command line resumes it; stop sending at once."""
    try:
        with stopping_signals():
            yield
    except UsageError:
        raise
    except BaseException as error:
        context.stop_sending()
        came = context.progress.counts.captions_audited
        kept = f"{came:,} captions came and are kept" if context.captioner.paid else "Nothing is kept"
        error.add_note(f"{kept}; the output and its earlier audit are unchanged. Resume with:\n  {command_line(args)}")
        raise


def audit_lines(done: Audited) -> Iterator[tuple[str, str]]:
    """(what, its figure) of an audit, for people."""
    from regioncap.audit.auditing import in_words

    audit, arms = done.audit, done.audit.arms
    yield "consistent", _share(audit.consistent)
    yield "  with other numbers", _share(arms["permuted"])
    yield "  in reverse order", _share(arms["reversed"]) if done.reversed else "not asked: focal mode has no order"
    yield "follow another box", f"{audit.count('follows_another'):,} of {len(audit.pairs):,} pairs"
    yield "undecided", _undecided(audit)
    if audit.missing:
        yield "not compared", f"{audit.missing:,}: no new caption came, or people decided about the caption"
    if (one := audit.single_asking) is not None:
        interval = f"95 % interval {_percent(one.low)} to {_percent(one.high)}"
        yield "errors of one asking", f"{_percent(one.errors)} on another box ({interval}), if they are independent"
    yield "rows asked about again", f"{len(audit.rows):,} of {done.sample.eligible:,} with two or more regions"
    if done.left_out:
        yield "rows left out", in_words(done.left_out)
    bill = done.bill
    tokens = f"{bill.prompt_tokens:,} prompt and {bill.completion_tokens:,} answer tokens"
    price = f", {bill.usd:,.4f} US dollars" if bill.usd is not None else ""
    yield "requests", f"{bill.requests:,} for {bill.captions_audited:,} captions: {tokens}{price}"
    yield "audit", done.place.url


def _undecided(audit: Audit) -> str:
    count = audit.count("undecided")
    if not count or audit.at_most.share is None:
        return f"{count:,}"
    return f"{count:,}: the words fit no box alone; {_percent(audit.at_most.share)} are consistent if all of these are"


def _share(share: Share) -> str:
    if share.share is None or share.low is None or share.high is None:
        return "nothing to compare"
    interval = f"95 % interval {_percent(share.low)} to {_percent(share.high)}"
    return f"{_percent(share.share)} of {share.pairs:,} pairs ({interval})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _plan(sample: Sample, context: RunContext) -> int:
    """Say what the audit would ask for and cost."""
    from regioncap.audit.asking import left_to_ask
    from regioncap.captioners.prompts import Prompts
    from regioncap.command.compare_figures import tokens_per_region
    from regioncap.preflight.plan import PATCH, Plan, text_tokens
    from regioncap.vision.images import fit_size

    config, left = context.config, left_to_ask(sample.rows, context)
    sizes = [fit_size((each.row.width, each.row.height), max_pixels=config.max_pixels) for each in left]
    planned = Plan(
        requests=sum(each.requests for each in left),
        regions_to_ask=sum(each.regions for each in left),
        image_tokens=statistics.fmean(math.ceil(w / PATCH) * math.ceil(h / PATCH) for w, h in sizes) if sizes else 0.0,
        text_tokens=text_tokens(config, Prompts.of(config)),
    )
    if known := [tokens for each in left for tokens in each.known]:
        planned.answer_tokens = statistics.fmean(known)
    elif of_run := tokens_per_region(sample.rows):
        planned.answer_tokens = of_run[1]
    for name, text in (
        ("rows to ask about again", f"{len(left):,} of {sample.eligible:,} with two or more regions"),
        *terminal.price_lines(planned, config),
    ):
        say(f"{name:<26}{text}")
    return OK
