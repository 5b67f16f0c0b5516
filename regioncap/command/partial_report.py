"""The report of an unfinished run, from its step files and cached answers: what is captioned so far, row by row.

Nothing is run, and no image is read but those that are shown.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.output.caption_flags import flags_of
from regioncap.output.join import ShardSteps, row_format
from regioncap.output.jsonl import rejected_line
from regioncap.output.pictures import Pictures
from regioncap.output.reading import Captioned, Written, captioned, sound
from regioncap.records import Row, Shard, rejected
from regioncap.report.report import ReportResult, report_place, write_report
from regioncap.report.source import NOT_YET, ReportOptions
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Place
from regioncap.storage.runs import entry_place, registered
from regioncap.storage.steps import StepDamaged
from regioncap.tasks.so_far import RowSoFar, rows_so_far, steps_so_far

State = Literal["captioned", "rejected", "not_yet"]


@dataclass
class LiveSource:
    """The rows of all shards that were begun, as they were when `add` saw them: a run may be going on meanwhile.

    The contract is `regioncap.report.source.Source`. `rows_in`: rows of the input; `done`: those that are captioned or
    rejected.
    """

    context: RunContext
    rows_in: int = 0
    done: int = 0
    _begun: list[tuple[ShardSteps, list[State]]] = field(default_factory=list)

    def add(self, shard: Shard) -> None:
        """Add a shard of the input."""
        self.rows_in += len(shard.lines)
        with contextlib.suppress(StepDamaged):  # the run itself will do that shard again
            steps = steps_so_far(shard, self.context)
            if len(steps) > 1:
                states = [_state(row) for row in rows_so_far(self.context, steps)]
                self._begun.append((steps, states))
                self.done += len(states) - states.count("not_yet")

    @property
    def not_begun(self) -> int:
        """Rows of shards that nothing is known of."""
        return self.rows_in - sum(len(states) for _, states in self._begun)

    def rows(self) -> Iterator[Captioned]:
        """The captioned rows so far, in the input's order."""
        form, number = row_format(self.context), 0
        for state, row in self._seen():
            if state == "captioned" and row.drawn is not None and row.result is not None:
                number += 1
                line = form.captioned(row.loaded, row.drawn, row.result, flags_of(row.result["captions"]))
                yield captioned(sound(line), number, self.context.config)

    def rejects(self) -> Iterator[Row]:
        """The rejects so far, and rows that are not captioned yet, which have the code `NOT_YET`."""
        for state, row in self._seen():
            if state == "rejected" and row.result is not None:
                yield sound(rejected_line(row.loaded, row.drawn or {}, row.result))
            elif state == "not_yet":
                yield sound(rejected_line(row.loaded, row.drawn or {}, _not_yet(row)))

    def _seen(self) -> Iterator[tuple[State, RowSoFar]]:
        for steps, states in self._begun:
            with contextlib.suppress(StepDamaged):
                yield from zip(states, rows_so_far(self.context, steps), strict=True)


def _state(row: RowSoFar) -> State:
    if row.result is None:
        return "not_yet"
    return "rejected" if "reject" in row.result else "captioned"


def _not_yet(row: RowSoFar) -> Row:
    captions = {"captions": {str(number): text for number, text in row.captions.items()}} if row.captions else {}
    found = rejected("caption", "captions_incomplete", "not all regions have a caption yet", **captions)
    found["reject"]["code"] = NOT_YET
    return found


def config_of_run(address: str, cache: Place, prefix: str) -> RegionCapConfig | None:
    """The settings of the latest run for the output at `address`; None when the cache knows of none."""
    found = registered(entry_place(cache, prefix, address)).config
    known = {name: value for name, value in found.items() if name in RegionCapConfig.model_fields}
    return RegionCapConfig(**known) if known else None


def report_live(
    config: RegionCapConfig,
    out: Place | None = None,
    against: Written | None = None,
    max_rows: int | None = None,
    where: Sequence[str] = (),
) -> ReportResult:
    """The page of what a run has done so far; see `report_of`. Raises UsageError when that is nothing, and for a wrong
    input."""
    with contextlib.closing(RunContext(config)) as context:
        source = LiveSource(context)
        for shard in context.shards():
            source.add(shard)
        if not source.done:
            raise UsageError(f"{context.output.url}: no rows of this run are done yet; try again later")
        setting = ReportOptions(
            context.output.url,
            config,
            Pictures(Written(context.output, config), context.files),
            where=tuple(where),
            against=against,
            against_title=against.place.url if against else "",
            note=f"not finished: {source.done:,} of {source.rows_in:,} rows are done",
            not_begun=source.not_begun,
        )
        place = out or report_place(context.output, context.files, against.place if against else None)
        return write_report(source, setting, place, max_rows or config.report_rows)
