"""The last step, `write`: the rows of all shards become the output, the rejects file and the summary.

The summary is written last and is the commit mark: output and rejects of these sizes are this run's. For an output in
parts see `regioncap/output/output_parts.py`; for what is written of a row, `regioncap/output/join.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RegionCapError
from regioncap.output.already_written import already_written
from regioncap.output.audit_file import write_audit
from regioncap.output.edits import list_unused
from regioncap.output.join import (
    ShardSteps,
    incomplete_reason_of_run,
    redacted_config,
    row_format,
    summary_of,
    with_bill,
    write_key,
)
from regioncap.output.joined_ahead import write_joined
from regioncap.output.lease import check_still_held, hold_output
from regioncap.output.output_parts import PartWriter
from regioncap.output.outputs import INCOMPLETE, FileOutputs, OutputPart, is_parts_folder, outputs_at
from regioncap.output.reading import open_output
from regioncap.output.summary import Summary
from regioncap.records import Row, dumps
from regioncap.report.report import report_of
from regioncap.row_work import words_of
from regioncap.run.context import RunContext
from regioncap.run.runs import RUNS
from regioncap.storage.runs import entry_place, register_end
from regioncap.tasks.lazy_task import lazy_task
from regioncap.tasks.restore_marks import restore_marks

logger = logging.getLogger("regioncap")


def write_file(shards: Sequence[ShardSteps], context: RunContext, audit: Row | None = None) -> Summary:
    """Replace the run's output, or write beside it when it is incomplete; see the module's docstring.

    `audit`: the record of the run's audit, if it made one. Raises AccountingError when rows or boxes went missing,
    StepDamaged when a step's file did, StorageError.
    """
    summary = already_written(shards, context)
    if summary is None:
        problem, figures = incomplete_reason_of_run(shards, context, audit)
        files = FileOutputs(context.output, INCOMPLETE if problem else "")
        form = row_format(context)
        hold_output(context)
        with files.rows.writer() as out, files.rejects.writer() as rejects:
            tally = write_joined(shards, context, out, rejects)
            check_still_held(context)
        unused, unused_file = list_unused(shards, context, files.unused_edits)
        if audit is not None:
            write_audit(files, audit)
        summary = summary_of(
            tally, context, problem=problem, audit=figures, output=files.rows.url, rejects_file=files.rejects.url,
            write_key=write_key(shards, context, form), output_bytes=files.rows.size() or 0,
            rejects_bytes=files.rejects.size() or 0, unused=unused, unused_edits_file=unused_file,
        )  # fmt: skip
        summary = with_bill(summary, context)
        files.summary.write(summary.model_dump_json(indent=1).encode() + b"\n")
    if summary.complete:
        FileOutputs(context.output, INCOMPLETE).remove()
    return summary


def reject_codes(context: RunContext, steps: ShardSteps) -> set[str]:
    """The codes that all rows of a shard were rejected with; {""} when at least one was not."""
    if steps[-1].rejects < steps[-1].rows:
        return {""}
    return {row["reject"]["code"] for row in context.storage.read(steps[-1])}


def first_reject(context: RunContext, steps: ShardSteps) -> str:
    """What the first row of a wholly rejected shard was rejected for."""
    reject = context.storage.read(steps[-1])[0]["reject"]
    return f"{reject['code']}: {reject['message']}"


def record_run(context: RunContext, outcome: str, problem: str, **counts: int) -> None:
    """Add a line to `out.runs.jsonl`: how this run ended and what it requested, so that the bill survives reruns."""
    line = {"outcome": outcome, "problem": problem, **counts, **context.progress.bill().model_dump()}
    outputs_at(context.output).runs.append(dumps(line) + b"\n")


@lazy_task("write", "write")
def write(
    shards: list[ShardSteps], config: RegionCapConfig, parts: Sequence[OutputPart] = (), audit: Row | None = None
) -> Summary:
    """The last step: joins the shards into the output, the rejects file and the summary.

    `parts`: where the output is in parts, those that were written as their shards finished. `audit`: the record of the
    run's audit, if it made one.
    """
    context = RUNS.context(config)
    restore_marks(shards, context)
    if is_parts_folder(config.output):
        written = PartWriter(context, parts).finish(shards, audit)
    else:
        written = write_file(shards, context, audit)
    summary = with_bill(written, context)
    entry = entry_place(context.cache, config.file_name_prefix, config.output)
    register_end(entry, summary.output, redacted_config(config), [[step.key for step in steps] for steps in shards])
    context.storage.remembered.write(shards)
    counts = {name: getattr(summary, name) for name in ("rows_in", "rows_out", "rejects", "regions")}
    record_run(context, "complete" if summary.complete else INCOMPLETE, summary.problem, **counts)
    if summary.unused_edits:
        logger.warning("%s: %s", summary.unused_edits, summary.unused_edits_file)
    if config.report:
        write_page(context)
    return summary


def write_page(context: RunContext) -> None:
    """Write the report of the output as it is now. The captions are safe: a report that fails is only logged."""
    try:
        done = report_of(open_output(context.config.output, context.files), context.files, overwrite=False)
        logger.info("report: %s", done.place.url)
    except RegionCapError as error:
        logger.warning("the report could not be written: %s", error)
    except Exception as error:
        logger.warning("the report could not be written: %s: %s", type(error).__name__, words_of(error))
