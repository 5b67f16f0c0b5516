"""What a run says before it asks for anything: how much is captioned already, and how much is to come."""

from __future__ import annotations

import logging

from regioncap.output.join import public_config
from regioncap.preflight.plan import count
from regioncap.preflight.settings_diff import check_settings
from regioncap.run.context import RunContext
from regioncap.storage.runs import entry_of, register, registered

logger = logging.getLogger("regioncap")


def begin(context: RunContext, *, deployed: bool = False) -> None:
    """Say what the run will ask for, and put its settings on record. Raises UsageError as `check_settings`."""
    config = context.config
    found = check_settings(config, context.files, deployed=deployed)
    if found:
        logger.warning("other settings than in the output's last run: %s", "; ".join(found))
    if context.captioner.paid:
        told, certain = what_is_to_ask(context)
        logger.info("%s", told)
        if certain and config.runner == "threads":  # elsewhere the processes that ask get ready themselves
            context.captioner.get_ready()
    entry = entry_of(context.cache, config.file_name_prefix, config.output)
    register(entry, context.output.url, public_config(config), registered(entry).shards)


def what_is_to_ask(context: RunContext) -> tuple[str, bool]:
    """One line: how much is there, and how much will be asked for; and whether anything surely will."""
    if not context.answers.any() and not registered_any(context):
        return "no answers are there yet: every region will be asked for", True
    found = count(context)
    if not found.requests:
        return f"all of the {found.rows:,} rows are done: nothing to ask for", False
    regions = f"{found.regions_to_ask:,} regions" if found.exact else f"at most {found.regions_to_ask:,} regions"
    told = (
        f"{found.rows - found.rows_to_ask:,} of {found.rows:,} rows need nothing; {found.rows_to_ask:,} with {regions} "
        "are to be asked for"
    )
    return told, found.certain


def registered_any(context: RunContext) -> bool:
    """Whether the cache knows of an earlier run for this output."""
    entry = entry_of(context.cache, context.config.file_name_prefix, context.config.output)
    return bool(registered(entry).shards)
