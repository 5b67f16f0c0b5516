"""A run that goes on, or was stopped, seen through its step files: what is captioned up to now.

Nothing is run, and no image is looked at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from regioncap.command.explain import made_of
from regioncap.config.files import make_config
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.output.caption_flags import flags_of
from regioncap.output.join import ShardSteps, form_of, joined
from regioncap.output.jsonl import rejected_line
from regioncap.output.pictures import Pictures
from regioncap.output.reading import Captioned, Written, captioned, sound
from regioncap.records import Row, Shard
from regioncap.report.report import Reported, report_place, write_report
from regioncap.report.source import ReportSetting
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Filesystems, Place
from regioncap.storage.runs import entry_of, registered
from regioncap.storage.steps import StepDamaged
from regioncap.tasks.shard import STEPS, input_step


@dataclass
class LiveSource:
    """The rows of all shards that are done; the contract is `regioncap.report.source.Source`."""

    context: RunContext
    shards: list[ShardSteps]

    def rows(self) -> Iterator[Captioned]:
        """The captioned rows up to now, in the input's order."""
        form, number = form_of(self.context), 0
        for loaded, drawn, told in self._joined():
            if "reject" not in told:
                number += 1
                line = form.captioned(loaded, drawn, told, flags_of(told["captions"]))
                yield captioned(sound(line), number, self.context.config)

    def rejects(self) -> Iterator[Row]:
        """The rejects up to now."""
        for loaded, _, told in self._joined():
            if "reject" in told:
                yield sound(rejected_line(loaded, told))

    def _joined(self) -> Iterator[tuple[Row, Row, Row]]:
        for steps in self.shards:
            with contextlib.suppress(StepDamaged):  # the run itself will make that shard anew
                yield from joined(self.context, steps)


def config_of_run(address: str, files: Filesystems, cache_path: str, prefix: str) -> RegionCapConfig | None:
    """The settings of the run for this output that began last; None when the cache knows of none."""
    found = registered(entry_of(files.place(cache_path), prefix, address)).config
    known = {name: value for name, value in found.items() if name in RegionCapConfig.model_fields}
    return make_config(**known) if known else None


def report_live(
    config: RegionCapConfig, out: Place | None = None, against: Written | None = None, most: int | None = None
) -> Reported:
    """The page of what a run has done up to now. Raises UsageError when that is nothing, and for a wrong input."""
    with contextlib.closing(RunContext(config)) as context:
        shards, rows, lines, share = [], 0, 0, 0.0
        for shard in context.shards():
            share += shard.share
            lines += len(shard.lines)
            steps = _steps(shard, context)
            if steps is not None:
                shards.append(steps)
                rows += steps[-1].rows
        if not shards:
            raise UsageError(f"{context.output.url}: no rows of this run are done yet; expected some. Try again later")
        setting = ReportSetting(
            context.output.url,
            config,
            Pictures(Written(context.output, config), context.files),
            against=against,
            against_title=against.place.url if against else "",
            note=f"not finished: {rows:,} of {lines:,} rows are done",
        )
        source = LiveSource(context, shards)
        return write_report(
            source, setting, out or report_place(context.output, context.files), most or config.report_rows
        )


def _steps(shard: Shard, context: RunContext) -> ShardSteps | None:
    """The steps of a shard whose captions are there, also if some of its rows are to be tried again."""
    steps = [input_step(shard)]
    for spec in STEPS:
        made = made_of(spec, context, steps[-1])
        if made is None:
            return None
        steps.append(made)
    return tuple(steps)
