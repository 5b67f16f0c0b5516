"""The last step, `write`: the rows of all shards become the output, the rejects file and the summary.

Joins what `load`, `visualize` and `caption` made of each row, shard by shard, in order, and counts: what went in must
have come out. The summary is written last and is the commit mark: output and rejects of these sizes are this run's.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.config import RegionCapConfig
from tasks.context import RunContext, context_of
from tasks.errors import AccountingError
from tasks.records import Row, Step, dumps
from tasks.route import WITH_BBOX, check_boxes
from tasks.storage.filesystem import Place, is_url, public_url
from tasks.storage.runs import entry_of, register
from tasks.storage.steps import digest, library_versions
from tasks.summary import Summary
from tasks.writers.jsonl import META_KEY, RowFormat, rejected_line
from tasks.writers.outputs import INCOMPLETE, Outputs

STEP_VERSION = 1
URL_FIELDS = ("input", "output", "image_root", "cache_path", "s3_endpoint_url")
FIELDS = ("output_key", "record_style", "max_reject_share", "bbox_key", "image_key", "draw_visualization")

JOINED = (1, 5, 6)
"""Numbers of the steps whose rows make the output; step 5 has all that step 4 made."""

ShardSteps = tuple[Step, ...]
"""The steps of one shard by number: 0 is its input, 1 `load`, …, 6 `caption`."""


@dataclass
class Tally:
    """Counts of what went through, line by line."""

    rows_in: int = 0
    rows_out: int = 0
    regions: int = 0
    boxes_in: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)

    def captioned(self, loaded: Row, drawn: Row, told: Row, config: RegionCapConfig) -> None:
        """Count a captioned row. Raises AccountingError when its boxes, regions and captions do not add up."""
        regions, dropped, captions = len(drawn["bbox"]), drawn["dropped_bbox"], told["captions"]
        boxes = check_boxes(loaded["row"].get(config.bbox_key)) if drawn["type"] == WITH_BBOX else None
        boxes_in = len(boxes) if boxes is not None else regions + len(dropped)
        whole = len(captions) == regions == drawn["valid_bboxes_num"] and all(captions)
        if not whole or boxes_in != regions + len(dropped):
            raise AccountingError(
                f"line {loaded['line']}: {boxes_in} boxes came in, but {regions} regions, {len(dropped)} dropped boxes "
                f"and {len(captions)} captions came out. The output was not written; please report this."
            )
        self.rows_out += 1
        self.regions += regions
        self.boxes_in += boxes_in
        self.dropped.update(drop["reason"] for drop in dropped)
        self.replaced.update(key for key in (config.output_key, META_KEY) if key in loaded["row"])

    def check(self, rows_in: int) -> None:
        """Raises AccountingError unless `rows_in` rows went through, each to one side."""
        if not rows_in == self.rows_in == self.rows_out + self.rejects.total():
            raise AccountingError(
                f"{rows_in} rows came in, but {self.rows_out} rows and {self.rejects.total()} rejects came out. "
                "The output was not written; please report this."
            )


def joined(context: RunContext, steps: ShardSteps) -> Iterator[tuple[Row, Row, Row]]:
    """What `load`, `visualize` and `caption` made of each row of a shard. Raises StepDamaged."""
    parts = [context.storage.read(steps[index]) for index in JOINED]
    if len({len(rows) for rows in parts}) != 1:
        counts = [len(rows) for rows in parts]
        raise AccountingError(f"the steps {JOINED} of shard {steps[0].shard} hold {counts} rows; please report this")
    yield from zip(*parts, strict=True)


def marks_folder(config: RegionCapConfig) -> str:
    """The folder of the marked pictures as the output's rows name it: relative to the output when both are."""
    output, cache = config.output, config.cache_path
    if is_url(cache) or Path(cache).is_absolute() or is_url(output):
        return f"{public_url(cache).rstrip('/')}/marks"
    return os.path.relpath(Path(cache) / "marks", Path(output).parent)


def write_all(shards: Sequence[ShardSteps], context: RunContext, form: RowFormat, rows: Place, rejects: Place) -> Tally:
    """Write the rows of all shards, each to one of two files, which appear when both are whole."""
    tally = Tally()
    with rows.writer() as out, rejects.writer() as out_rejects:
        for steps in shards:
            for loaded, drawn, told in joined(context, steps):
                tally.rows_in += 1
                if "reject" in told:
                    tally.rejects[told["reject"]["code"]] += 1
                    out_rejects.write(dumps(rejected_line(loaded, told)) + b"\n")
                else:
                    tally.captioned(loaded, drawn, told, context.config)
                    out.write(dumps(form.captioned(loaded, drawn, told)) + b"\n")
        tally.check(sum(steps[-1].rows for steps in shards))
    return tally


def problem_of(rows: int, rejects: int, max_reject_share: float) -> str:
    """Why these counts make a run incomplete; "" when they do not."""
    if rows == rejects:
        return "the input has no rows" if rows == 0 else f"all of the {rows:,} rows were rejected"
    if rejects / rows > max_reject_share:
        return f"{rejects:,} of {rows:,} rows were rejected, more than max_reject_share={max_reject_share} allows"
    return ""


def write_shards(shards: Sequence[ShardSteps], context: RunContext) -> Summary:
    """Put the run's output in its place, or beside it when too much was rejected; see the module's text.

    Raises AccountingError when rows or boxes went missing, StepDamaged when a step's file did, StorageError.
    """
    config, captioner = context.config, context.captioner
    rows, rejects = sum(steps[-1].rows for steps in shards), sum(steps[-1].rejects for steps in shards)
    problem = problem_of(rows, rejects, config.max_reject_share)
    files = Outputs(context.output, INCOMPLETE if problem else "")
    marks = marks_folder(config) if config.draw_visualization else None
    form = RowFormat(config.output_key, config.record_style == "joined", marks, captioner.name, captioner.model)
    key = digest(
        {
            "step_version": STEP_VERSION,
            "fields": config.fields(FIELDS),
            "form": [marks or "", captioner.name, captioner.model],
            "shards": [[steps[index].data for index in JOINED] for steps in shards],
        }
    )
    found = files.written(key)
    if found is not None:
        return found
    tally = write_all(shards, context, form, files.rows, files.rejects)
    if not problem and tally.rejects["internal_error"]:
        problem = f"{tally.rejects['internal_error']:,} rows met a bug (internal_error); please report it"
    summary = Summary(
        complete=not files.variant, problem=problem, input=public_url(config.input), output=files.rows.url,
        rejects_file=files.rejects.url, rows_in=tally.rows_in, rows_out=tally.rows_out,
        rejects=tally.rejects.total(), rejects_by_code=dict(sorted(tally.rejects.items())),
        regions=tally.regions, boxes_in=tally.boxes_in, boxes_dropped=dict(sorted(tally.dropped.items())),
        keys_replaced=dict(tally.replaced), captioner=captioner.name, model=captioner.model,
        config=public_config(config), versions=library_versions(), write_key=key,
        output_bytes=files.rows.size() or 0, rejects_bytes=files.rejects.size() or 0,
    )  # fmt: skip
    return summary


def with_bill(summary: Summary, context: RunContext) -> Summary:
    """The summary with what this run asked for and spent."""
    bill = context.progress.bill()
    return summary.model_copy(
        update={**bill.model_dump(), "captions_reused": max(0, summary.regions - bill.captions_new)}
    )


def commit(summary: Summary, context: RunContext) -> None:
    """Write the summary, after output and rejects: from now on they are the run's."""
    output = context.output
    files = Outputs(output, "" if summary.complete else INCOMPLETE)
    if files.written(summary.write_key) is None:
        files.summary.write(summary.model_dump_json(indent=1).encode() + b"\n")
    if summary.complete:
        Outputs(output, INCOMPLETE).remove()


def public_config(config: RegionCapConfig) -> dict[str, Any]:
    """The config as summaries and manifests of runs show it: URLs without user info and query strings."""
    values = config.model_dump(mode="json")
    return values | {name: public_url(values[name]) for name in URL_FIELDS if values[name] is not None}


def reject_codes(context: RunContext, steps: ShardSteps) -> set[str]:
    """The codes that all rows of a shard were rejected with; {""} when at least one was not."""
    if steps[-1].rejects < steps[-1].rows:
        return {""}
    return {row["reject"]["code"] for row in context.storage.read(steps[-1])}


def first_reject(context: RunContext, steps: ShardSteps) -> str:
    """What the first row of a wholly rejected shard was rejected for."""
    reject = context.storage.read(steps[-1])[0]["reject"]
    return f"{reject['code']}: {reject['message']}"


def note_run(context: RunContext, outcome: str, problem: str, **counts: int) -> None:
    """Add a line to `out.runs.jsonl`: how this run ended and what it asked for, so that the bill survives reruns."""
    line = {"outcome": outcome, "problem": problem, **counts, **context.progress.bill().model_dump()}
    Outputs(context.output).runs.append(dumps(line) + b"\n")


@task(name="write", cache_policy=NO_CACHE)
def write(shards: list[ShardSteps], config: RegionCapConfig) -> Summary:
    """The last step: joins the shards to the output, the rejects file and the summary."""
    context = context_of(config)
    summary = with_bill(write_shards(shards, context), context)
    commit(summary, context)
    entry = entry_of(context.cache, config.file_name_prefix, config.output)
    register(entry, summary.output, summary.config, [[step.key for step in steps] for steps in shards])
    counts = {name: getattr(summary, name) for name in ("rows_in", "rows_out", "rejects", "regions")}
    note_run(context, "complete" if summary.complete else INCOMPLETE, summary.problem, **counts)
    return summary
