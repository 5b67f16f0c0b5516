"""Whether an earlier run has written just what this one would."""

from __future__ import annotations

from collections.abc import Sequence

from regioncap.output.join import ShardSteps, incomplete_reason_of_shards, row_format, write_key
from regioncap.output.outputs import INCOMPLETE, FileOutputs, PartOutputs, is_parts_folder
from regioncap.output.summary import Summary
from regioncap.run.context import RunContext


def already_written(shards: Sequence[ShardSteps], context: RunContext) -> Summary | None:
    """The summary of the run that wrote the output of these shards, or their incomplete one; None if there is none."""
    key = write_key(shards, context, row_format(context))
    if is_parts_folder(context.config.output):
        candidates = [PartOutputs(context.output).written(key)]
    else:
        candidates = [FileOutputs(context.output, variant).written(key) for variant in ("", INCOMPLETE)]
    # How many rejects are allowed is not in the key, so it is looked at each time.
    rejected = bool(incomplete_reason_of_shards(shards, context))
    return next((found for found in candidates if found is not None and _ended_so(found, rejected)), None)


def _ended_so(found: Summary, rejected: bool) -> bool:
    if rejected:
        return not found.complete and found.audit is None
    return found.complete or found.audit is not None
