"""Joins the rows of `load`, `visualize` and `caption` into output rows and rejects, and keeps the accounts.

Whatever went in must have come out: rows in = rows out + rejects, boxes in = regions + dropped.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from regioncap.config.model import RegionCapConfig
from regioncap.errors import AccountingError, RowReject
from regioncap.output.audited import AuditFigures
from regioncap.output.caption_flags import FLAGS, FLAGS_VERSION, flags_of
from regioncap.output.edits import edit_counts
from regioncap.output.jsonl import RowFormat, rejected_line
from regioncap.output.outputs import is_parts_folder
from regioncap.output.summary import Summary
from regioncap.records import META_KEY, WITH_BBOX, Row, Step, dumps, rejected
from regioncap.row_keys import boxes_at
from regioncap.row_work import row_work
from regioncap.run.context import RunContext
from regioncap.storage.steps import digest, library_versions
from regioncap.storage.urls import is_url, redact_url
from regioncap.vision.frames import size_warning, stated_size

STEP_VERSION = 3

AUDIT_VERSION = 1
"""Part of the key of a run that audits itself: raise it when the same captions give other figures."""

JOINED = (1, 5, 6)
"""Numbers of the steps whose rows make up the output; step 5 repeats everything of step 4."""


ShardSteps = tuple[Step, ...]
"""The steps of one shard by number: 0 is its input, 1 `load`, …, 6 `caption`."""


class Sink(Protocol):
    """Where lines are written to."""

    def write(self, data: bytes, /) -> object:
        """Append `data`."""


@dataclass
class Tally:
    """Counts of rows, boxes, regions and flags, kept line by line."""

    rows_in: int = 0
    rows_out: int = 0
    regions: int = 0
    boxes_in: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    edits: Counter[str] = field(default_factory=Counter)
    """Regions by what people's corrections did to them, and `rows` that have any."""

    def captioned(self, loaded: Row, drawn: Row, captioned: Row, config: RegionCapConfig) -> None:
        """Count a captioned row. Raises AccountingError when its boxes, regions and captions do not add up."""
        regions, dropped, captions = len(drawn["bbox"]), drawn["dropped_bbox"], captioned["captions"]
        boxes = boxes_at(loaded["row"], config.boxes_key) if drawn["type"] == WITH_BBOX else None
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
        if edited := [mark for mark in captioned.get("edited", ()) if mark]:
            self.edits.update([*edited, "rows"])

    def flagged(self, flags: Sequence[Sequence[str]]) -> None:
        """Count the flags of a row's regions."""
        for names in flags:
            self.flags.update(names)

    def add(self, other: Tally) -> None:
        """Add another tally's counts to this one."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    @classmethod
    def of(cls, counts: dict[str, Any]) -> Tally:
        """The tally that `as_dict` serialised."""
        given: dict[str, Any] = {n: Counter(value) if isinstance(value, dict) else value for n, value in counts.items()}
        return cls(**given)

    def as_dict(self) -> dict[str, Any]:
        """The counts as JSON-compatible values."""
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}

    def check(self, rows_in: int) -> None:
        """Raises AccountingError unless `rows_in` rows were counted, each as output or reject."""
        if not rows_in == self.rows_in == self.rows_out + self.rejects.total():
            raise AccountingError(
                f"{rows_in} rows came in, but {self.rows_out} rows and {self.rejects.total()} rejects came out. "
                "The output was not written; please report this."
            )


def joined(context: RunContext, steps: ShardSteps) -> Iterator[tuple[Row, Row, Row]]:
    """The `load`, `visualize` and `caption` versions of each row of a shard. Raises StepDamaged."""
    parts = [context.storage.read(steps[index]) for index in JOINED]
    if len({len(rows) for rows in parts}) != 1:
        counts = [len(rows) for rows in parts]
        raise AccountingError(f"the steps {JOINED} of shard {steps[0].shard} hold {counts} rows; please report this")
    yield from zip(*parts, strict=True)


def marks_folder(config: RegionCapConfig) -> str:
    """The folder of the marked pictures as output rows name it: relative to the output when both paths are relative."""
    output, cache = config.output, config.cache_path
    if is_url(cache) or Path(cache).is_absolute() or is_url(output):
        return f"{redact_url(cache).rstrip('/')}/marks"
    return os.path.relpath(Path(cache) / "marks", output if is_parts_folder(output) else Path(output).parent)


def write_rows(shards: Sequence[ShardSteps], context: RunContext, form: RowFormat, out: Sink, rejects: Sink) -> Tally:
    """Write each row of the shards to `out` or to `rejects`. Raises AccountingError, StepDamaged."""
    tally = Tally()
    for steps in shards:
        for loaded, drawn, captioned in joined(context, steps):
            tally.rows_in += 1
            line, last = b"", captioned
            try:
                if "reject" not in captioned:
                    with row_work("write", loaded.get("image", "")):
                        line, counted = _written(loaded, drawn, captioned, context.config, form)
                        tally.add(counted)
            except RowReject as reject:
                last = rejected("write", reject.code, reject.message)
            if "reject" in last:
                tally.rejects[last["reject"]["code"]] += 1
                rejects.write(dumps(rejected_line(loaded, drawn, last)) + b"\n")
            else:
                out.write(line)
    tally.check(sum(steps[-1].rows for steps in shards))
    return tally


def _written(loaded: Row, drawn: Row, captioned: Row, config: RegionCapConfig, form: RowFormat) -> tuple[bytes, Tally]:
    """A captioned row's line of the output, and its counts."""
    counted = Tally()
    counted.captioned(loaded, drawn, captioned, config)
    flags = flags_of(captioned["captions"])
    counted.flagged(flags)
    if warning := size_warning_of(loaded["row"], drawn, config):
        drawn = {**drawn, "warnings": [*drawn["warnings"], warning]}
    return dumps(form.captioned(loaded, drawn, captioned, flags)) + b"\n", counted


def size_warning_of(row: Row, drawn: Row, config: RegionCapConfig) -> str:
    """What is doubtful about a row's boxes since it tells another size than its image has; "" if nothing is.

    `row`: that of the input; `drawn`: its version of `visualize`.
    """
    if drawn["type"] != WITH_BBOX or config.box_size != "picture":
        return ""
    return size_warning(stated_size(row), (drawn["width"], drawn["height"]), drawn["bbox"], config.bbox_unit)


def incomplete_reason(rows: int, rejects: int, max_reject_share: float) -> str:
    """Why these counts make a run incomplete; "" when they do not."""
    if rows == rejects:
        return "the input has no rows" if rows == 0 else f"all of the {rows:,} rows were rejected"
    if rejects / rows > max_reject_share:
        return f"{rejects:,} of {rows:,} rows were rejected, more than max_reject_share={max_reject_share} allows"
    return ""


def row_format(context: RunContext) -> RowFormat:
    """The format of the run's output rows."""
    config, captioner = context.config, context.captioner
    marks = marks_folder(config) if config.draw_visualization else None
    return RowFormat(config.output_key, config.record_style == "joined", marks, captioner.name, captioner.model)


def key_of(shards: Sequence[ShardSteps], context: RunContext, form: RowFormat) -> str:
    """The write key of these shards: a digest of everything that decides a byte of the output."""
    return digest(
        {
            "step_version": STEP_VERSION,
            "flags_version": FLAGS_VERSION,
            "fields": context.config.values_read_by("write"),
            "form": [form.marks or "", form.captioner, form.model],
            "shards": [[steps[index].data for index in JOINED] for steps in shards],
        }
    )


def write_key(shards: Sequence[ShardSteps], context: RunContext, form: RowFormat) -> str:
    """The write key of a whole output, with what lies beside it: the list of edits that fit no row, and the run's own
    audit."""
    key, audit = key_of(shards, context, form), context.config.values_read_by("audit")
    if context.config.edits:
        key = digest({"rows": key, "edits": context.edits.sha256})
    return digest({"written": key, "audit": audit, "audit_version": AUDIT_VERSION}) if audit else key


def incomplete_reason_of_shards(shards: Sequence[ShardSteps], context: RunContext) -> str:
    """`incomplete_reason` the counts of these shards."""
    rows, rejects = sum(steps[-1].rows for steps in shards), sum(steps[-1].rejects for steps in shards)
    return incomplete_reason(rows, rejects, context.config.max_reject_share)


def incomplete_reason_of_run(
    shards: Sequence[ShardSteps], context: RunContext, audit: Row | None
) -> tuple[str, AuditFigures | None]:
    """(why a run with these shards and this audit is incomplete, "" when it is not; the figures of the audit)."""
    figures = AuditFigures.of(audit) if audit is not None else None
    problem = incomplete_reason_of_shards(shards, context)
    if not problem and figures is not None:
        problem = figures.problem(context.config.min_consistent)
    return problem, figures


def summary_of(tally: Tally, context: RunContext, *, problem: str, unused: int, **places: Any) -> Summary:
    """The run's summary. `unused`: edits that fit no row. `places`: where the output was written, and under which
    key."""
    config, captioner = context.config, context.captioner
    complete = not problem
    if complete and tally.rejects["internal_error"]:
        plugin = config.own_extractor or config.own_captioner
        whose = ", of a plugin or of RegionCap: their rejects say which" if plugin else "; please report it"
        problem = f"{tally.rejects['internal_error']:,} rows hit a bug (internal_error){whose}"
    return Summary(
        complete=complete, problem=problem, input=redact_url(config.input), rows_in=tally.rows_in,
        rows_out=tally.rows_out, rejects=tally.rejects.total(), rejects_by_code=dict(sorted(tally.rejects.items())),
        regions=tally.regions, boxes_in=tally.boxes_in, boxes_dropped=dict(sorted(tally.dropped.items())),
        keys_replaced=dict(tally.replaced), captioner=captioner.name, model=captioner.model,
        flags={name: tally.flags[name] for name in FLAGS if tally.flags[name]},
        edits=edit_counts(tally.edits, unused) if config.edits else {},
        config=redacted_config(config), versions=library_versions(), **places,
    )  # fmt: skip


def with_bill(summary: Summary, context: RunContext) -> Summary:
    """The summary with the requests, tokens and cost of this run, and what of the input it did not read."""
    bill = context.progress.bill()
    update = {"captions_reused": max(0, summary.regions - bill.captions_new), "files_left_out": context.found.left_out}
    return summary.model_copy(update={**bill.model_dump(), **update})


def redacted_config(config: RegionCapConfig) -> dict[str, Any]:
    """The config as summaries and manifests of runs show it: URLs without user info and query strings."""
    paths = config.values_read_by("path")
    return config.model_dump(mode="json") | {name: path and redact_url(path) for name, path in paths.items()}
