"""An output is audited: rows of it are asked about again; what came is measured, and kept beside the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from regioncap.audit.asking import AskedAgain, asked_again
from regioncap.audit.figures import Audit, measure
from regioncap.audit.sampling import Sample
from regioncap.errors import RegionCapError, UsageError
from regioncap.output.audit_file import caption_key, found_inconsistent, write_audit
from regioncap.output.reading import Written
from regioncap.records import Counts, Row
from regioncap.run.context import RunContext
from regioncap.run.progress import Bill
from regioncap.storage.filesystem import Place


@dataclass(frozen=True)
class Audited:
    """What came of an audit. `left_out`: rows without any caption, by the code of their reject. `reversed`: whether
    there was an order to reverse. `bill`: what was requested for it, which is nothing where all was there. `place`: of
    its file."""

    audit: Audit
    sample: Sample
    left_out: dict[str, int]
    reversed: bool
    bill: Bill
    place: Place


def check_auditable(context: RunContext) -> None:
    """Raises UsageError where captions cannot follow numbers, since the captioner sees none."""
    if not context.config.uses_model:
        raise UsageError(
            f"audit: captioner {context.captioner.name!r} describes each box by its pixels and sees no numbers, so its "
            "captions always follow their boxes: there is nothing to audit"
        )


def audit_output(
    written: Written,
    sample: Sample,
    context: RunContext,
    *,
    seed: int,
    count: Callable[[Counts], None] = lambda counts: None,
) -> Audited:
    """Ask about the rows of `sample` again, measure, and write the audit's file. `context`: of the run's settings;
    `count`: takes the rows that are done.

    Raises RegionCapError if no row could be asked about, and as `asked_again` does; the earlier file stays then.
    """
    again = asked_again(sample.rows, context, count)
    if not again.rows:
        raise RegionCapError(f"audit: nothing came of any of {len(sample.rows):,} rows: {in_words(again.left_out)}")
    audit = measure(again.rows, seed=seed)
    bill = context.progress.bill()
    record = {**record_of(again, audit, sample, context), "bill": bill.model_dump()}
    place = write_audit(written.files, record)
    return Audited(audit, sample, again.left_out, "reversed" in context.config.audit_arms, bill, place)


def record_of(again: AskedAgain, audit: Audit, sample: Sample, context: RunContext) -> Row:
    """What `out.audit.json` holds of an audit of the output of `context`."""
    return {
        **audit.as_json(),
        "rows": len(again.rows),
        "rows_eligible": sample.eligible,
        "left_out": again.left_out,
        "asked_reversed": "reversed" in context.config.audit_arms,
        "captioner": context.captioner.name,
        "model": context.captioner.model,
        "earlier": list(_still_inconsistent(context.output, audit)),
        "answers": again.answers,
    }


def _still_inconsistent(output: Place, audit: Audit) -> Iterator[dict[str, Any]]:
    """What earlier audits found and this one did not look at: captions that a run has replaced since, and would have
    again without that, and rows that were not in the sample."""
    looked_at = {
        caption_key(row.image_sha256, row.bbox[box], caption)
        for row in audit.rows
        for box, caption in enumerate(row.first)
        if caption
    }
    for found in found_inconsistent(output):
        if found["key"] not in looked_at:
            looked_at.add(found.pop("key"))
            yield found


CODES_IN_WORDS = {
    "image_missing": "the image is gone",
    "image_unreadable": "the image cannot be read",
    "image_unavailable": "the image was changed since the run, or cannot be read",
    "captions_incomplete": "the model gave no caption",
    "caption_failed": "the request failed",
}


def in_words(left_out: dict[str, int]) -> str:
    """Why rows were left out, with their numbers."""
    return ", ".join(f"{count:,}: {CODES_IN_WORDS.get(code, code)}" for code, count in left_out.items())
