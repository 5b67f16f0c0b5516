"""How a run starts: it says how much is captioned already and how much is left, and puts its settings on record."""

from __future__ import annotations

import logging

from regioncap.output.join import redacted_config
from regioncap.preflight.check import Checked
from regioncap.preflight.plan import Plan
from regioncap.run.context import RunContext
from regioncap.storage.runs import entry_place, register, registered

logger = logging.getLogger("regioncap")


def start(context: RunContext, checked: Checked) -> None:
    """Log what the run will ask for, have the captioner prepare for it, and register the run's settings."""
    config = context.config
    context.found.report_left_out()
    if context.images_note:
        logger.info("%s", context.images_note)
    if checked.differences:
        logger.warning("settings differ from the output's last run: %s", "; ".join(checked.differences))
    for hint in checked.hints:
        logger.warning("%s", hint)
    if checked.outdated:
        logger.warning("%s", checked.outdated)
    if context.captioner.paid:
        message, certain = work_left(checked.left)
        logger.info("%s", message)
        if certain and config.runner == "threads":  # elsewhere the processes that ask prepare themselves
            context.captioner.get_ready()
    entry = entry_place(context.cache, config.file_name_prefix, config.output)
    register(entry, context.output.url, redacted_config(config), registered(entry).shards)


def work_left(planned: Plan | None) -> tuple[str, bool]:
    """(a line that says how much is captioned already and how much will be asked for; whether anything surely will)."""
    if planned is None:
        return "no answers yet: every region will be asked for", True
    if not planned.requests:
        return f"all {planned.rows:,} rows are done: nothing to ask for", False
    regions = f"{'' if planned.exact else 'at most '}{planned.regions_to_ask:,} regions"
    done = planned.rows - planned.rows_to_ask
    return f"{done:,} of {planned.rows:,} rows are done; {regions} are left to ask for", planned.certain
