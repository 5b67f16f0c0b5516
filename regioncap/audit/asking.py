"""An audit's requests: sampled rows of an output are asked about again in every arm, as a run asks.

Answers are stored like those of a run, under keys of their own: an audit that is repeated, or was stopped, asks only
for what is not there yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from regioncap.audit.arms import ArmRow, arm_rows, row_in_run
from regioncap.audit.rows import AuditedRow
from regioncap.captioners.base import CaptionRequest
from regioncap.output.caption_flags import flags_of
from regioncap.output.reading import Captioned
from regioncap.records import Counts, Row
from regioncap.run.context import RunContext
from regioncap.run.in_flight import PendingAnswer
from regioncap.tasks.answers import key_of_answer, repair_request, request_of, send_for
from regioncap.tasks.cached_answer import CachedAnswer
from regioncap.tasks.caption import captions_by_number, finish
from regioncap.tasks.map_rows import map_rows


@dataclass(frozen=True)
class AskedAgain:
    """What came. `rows`: those with captions in some arm. `left_out`: the number of others, by the code of their
    reject. `answers`: keys of all answers that were looked up or asked for; empty if captions cost nothing."""

    rows: list[AuditedRow]
    left_out: dict[str, int]
    answers: list[str]


def asked_again(rows: Sequence[Captioned], context: RunContext) -> AskedAgain:
    """The captions of `rows` in every arm of the audit. All are requested before the first is waited for.

    Raises CaptionerError when no row can be captioned any more, StorageError, Stopped.
    """
    context.progress.read(len(rows), 1.0)
    audited: list[Row] = [{"image": row.image, "captioned": row} for row in rows]
    keys: set[str] = set()
    for change in (_prepare, _send, _receive, _send_repairs, _receive_repairs):
        audited = _each(change, audited, context)
        keys.update(pending.key for row in audited for pending in row.get("sent", ()))
    found = [_audited(row) for row in audited if "reject" not in row and any(row["by_box"].values())]
    left_out = Counter(_code(row) for row in audited if "reject" in row or not any(row["by_box"].values()))
    return AskedAgain(found, dict(sorted(left_out.items())), sorted(filter(None, keys)))
