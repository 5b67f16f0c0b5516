"""How a run starts: it says how much is captioned already and how much is left, and takes its output."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

from regioncap.errors import OutputInUse, StorageError
from regioncap.inputs.edits import MARKS, Edits
from regioncap.output.lease import hold_output
from regioncap.preflight.check import Checked
from regioncap.preflight.plan import Plan
from regioncap.run.context import REPORTED, RunContext

logger = logging.getLogger("regioncap")


def start(context: RunContext, checked: Checked) -> None:
    """Log what the run will ask for, and have the captioner prepare for it.

    Raises OutputInUse, StorageError: see `hold_output`.
    """
    report(context, checked)
    if take_output(context, checked) and context.config.runner == "threads":  # elsewhere those that ask prepare
        context.captioner.get_ready()


def report(context: RunContext, checked: Checked) -> None:
    """Log what is to be known before anything is sent. The command does it first, and the flow again, for Prefect's
    log: what was logged before is marked as `REPORTED`."""
    for level, text in _to_report(context, checked):
        logger.log(level, "%s", text, extra={REPORTED: text in context.reported})
        context.reported.add(text)


def _to_report(context: RunContext, checked: Checked) -> Iterator[tuple[int, str]]:
    if left_out := context.found.left_out_in_words():
        yield logging.INFO, left_out
    if context.images_note:
        yield logging.INFO, context.images_note
    if checked.differences:
        yield logging.WARNING, f"settings differ from the output's last run: {'; '.join(checked.differences)}"
    for hint in checked.hints:
        yield logging.WARNING, hint
    if checked.outdated:
        yield logging.WARNING, checked.outdated
    if context.config.edits:
        yield logging.INFO, edits_in_words(context.edits)
    if context.captioner.paid:
        yield logging.INFO, work_left(checked.left)[0]


def edits_in_words(edits: Edits) -> str:
    """How many corrections there are, by what they do."""
    counts = Counter(edit.mark for edit in edits)
    return f"edits: {', '.join(f'{counts[mark]:,} {mark}' for mark in MARKS.values())}"


def take_output(context: RunContext, checked: Checked) -> bool:
    """Take the output now; one that cannot be had stops the run only if it will surely ask for something, since others
    may find everything done. Returns whether it will. Raises as `start`."""
    # Where nothing was ever asked for, all of it may still have been decided on by people.
    unknown = checked.left is None and len(context.edits) > 0
    certain = context.captioner.paid and work_left(checked.left)[1] and not unknown
    try:
        hold_output(context)
    except (OutputInUse, StorageError):
        if certain:
            raise
    return certain


def work_left(planned: Plan | None) -> tuple[str, bool]:
    """(a line that says how much is captioned already and how much will be asked for; whether anything surely will)."""
    if planned is None:
        return "no answers yet: captions for all regions will be requested", True
    if not planned.requests:
        return f"all {planned.rows:,} rows are done: nothing to request", False
    regions = f"{'' if planned.exact else 'at most '}{planned.regions_to_ask:,} regions"
    done = planned.rows - planned.rows_to_ask
    asked = f"; a model will be asked for the regions of at most {planned.questions:,} pictures"
    text = f"{done:,} of {planned.rows:,} rows are done; captions for {regions} will be requested"
    return f"{text}{asked if planned.questions else ''}", planned.certain
