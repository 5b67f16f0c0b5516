"""A run that audits itself before it writes: `audit_rows`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from regioncap.audit.asking import asked_again
from regioncap.audit.auditing import in_words, record_of
from regioncap.audit.figures import measure
from regioncap.audit.sampling import NOTHING_TO_AUDIT, sample_of
from regioncap.output.already_written import already_written
from regioncap.output.join import ShardSteps, incomplete_reason_of_shards
from regioncap.output.lease import hold_output
from regioncap.output.unwritten import rows_to_write
from regioncap.records import Row
from regioncap.run.context import RunContext
from regioncap.tasks.workers import Workers

SEED = 0
"""Of the sample: as `regioncap audit` has it by default, so that it finds the same answers."""

logger = logging.getLogger("regioncap")


def audited(shards: Sequence[ShardSteps], context: RunContext, workers: Workers) -> Row | None:
    """The record of the run's audit, as `out.audit.json` holds it; None where none is wanted or possible, or was made
    by the run that wrote this output.

    Raises CaptionerError, BudgetReached, Stopped, OutputInUse, StorageError, StepDamaged.
    """
    config = context.config
    if not config.audit_rows or incomplete_reason_of_shards(shards, context) or already_written(shards, context):
        return None
    sample = sample_of(rows_to_write(shards, context), config.audit_rows, SEED)
    if not sample.rows:
        logger.warning("audit_rows: %s", NOTHING_TO_AUDIT)
        return None
    hold_output(context)
    if config.runner != "threads":  # what the others have spent counts here, too
        workers.close_captioners()
    logger.info("audit: %s rows are asked about again", f"{len(sample.rows):,}")
    again = asked_again(sample.rows, context)
    if not again.rows:
        logger.warning("audit: nothing came of any of the rows: %s", in_words(again.left_out))
        return None
    return record_of(again, measure(again.rows, seed=SEED), sample, context)
