"""The report of an unfinished run, from its step files: what is captioned so far.

Nothing is run, and no image is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.output.caption_flags import flags_of
from regioncap.output.join import ShardSteps, joined, row_format
from regioncap.output.jsonl import rejected_line
from regioncap.output.pictures import Pictures
from regioncap.output.reading import Captioned, Written, captioned, sound
from regioncap.records import Row
from regioncap.report.report import ReportResult, report_place, write_report
from regioncap.report.source import ReportOptions
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Place
from regioncap.storage.runs import entry_place, registered
from regioncap.storage.steps import StepDamaged
from regioncap.tasks.shard import STEPS, made_steps


@dataclass
class LiveSource:
    """The rows of all finished shards; the contract is `regioncap.report.source.Source`."""

    context: RunContext
    shards: list[ShardSteps]

    def rows(self) -> Iterator[Captioned]:
        """The captioned rows so far, in the input's order."""
        form, number = row_format(self.context), 0
        for loaded, drawn, captioned_row in self._joined():
            if "reject" not in captioned_row:
                number += 1
                line = form.captioned(loaded, drawn, captioned_row, flags_of(captioned_row["captions"]))
                yield captioned(sound(line), number, self.context.config)

    def rejects(self) -> Iterator[Row]:
        """The rejects so far."""
        for loaded, _, captioned_row in self._joined():
            if "reject" in captioned_row:
                yield sound(rejected_line(loaded, captioned_row))

    def _joined(self) -> Iterator[tuple[Row, Row, Row]]:
        for steps in self.shards:
            with contextlib.suppress(StepDamaged):  # the run itself will do that shard again
                yield from joined(self.context, steps)


def config_of_run(address: str, cache: Place, prefix: str) -> RegionCapConfig | None:
    """The settings of the latest run for the output at `address`; None when the cache knows of none."""
    found = registered(entry_place(cache, prefix, address)).config
    known = {name: value for name, value in found.items() if name in RegionCapConfig.model_fields}
    return RegionCapConfig(**known) if known else None


def report_live(
    config: RegionCapConfig, out: Place | None = None, against: Written | None = None, max_rows: int | None = None
) -> ReportResult:
    """The page of what a run has done so far. Raises UsageError when that is nothing, and for a wrong input."""
    with contextlib.closing(RunContext(config)) as context:
        shards, rows, lines, share = [], 0, 0, 0.0
        for shard in context.shards():
            share += shard.share
            lines += len(shard.lines)
            steps = made_steps(shard, context, STEPS)
            if steps is not None:
                shards.append(steps)
                rows += steps[-1].rows
        if not shards:
            raise UsageError(f"{context.output.url}: no rows of this run are done yet; try again later")
        setting = ReportOptions(
            context.output.url,
            config,
            Pictures(Written(context.output, config), context.files),
            against=against,
            against_title=against.place.url if against else "",
            note=f"not finished: {rows:,} of {lines:,} rows are done",
        )
        source = LiveSource(context, shards)
        return write_report(
            source, setting, out or report_place(context.output, context.files), max_rows or config.report_rows
        )
