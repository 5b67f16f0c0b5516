"""Step 5, `visualize`: the picture that the model sees, with numbered boxes (without, for `prompt_mode=coords`).

Adds `marked` (`sha256` of the JPEG, `width`, `height` in pixels, at most `max_pixels`) and `warnings`; where there are
more regions than `marks_per_request`, also `parts`: for each request the `regions` of its picture, and `sha256`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regioncap.config.model import RegionCapConfig
from regioncap.records import Row, Step
from regioncap.run.context import RunContext
from regioncap.run.marks import names_of
from regioncap.run.runs import RUNS
from regioncap.tasks.draw_row import draw_row
from regioncap.tasks.lazy_task import lazy_task
from regioncap.tasks.map_rows import map_rows
from regioncap.tasks.step import StepSpec, run_step
from regioncap.vision.drawing import DRAW_VERSION

if TYPE_CHECKING:
    from prefect import State

STEP_VERSION = 2


def _body(context: RunContext, step: Step) -> list[Row]:
    shard_run = context.shard_runs.of(step)

    def visualize_row(row: Row) -> Row:
        drawn = shard_run.prerendered(row)
        if drawn is None:
            drawn, jpegs = draw_row(row, context.images.read, context.config)
            context.marks.put_all(drawn, jpegs)
            shard_run.on_marks_drawn(drawn)
        return drawn

    rows = map_rows(
        "visualize", visualize_row, context.storage.read(step), pool=context.threads.pixels, stop=context.stop
    )
    drawn = (name for row in rows if "reject" not in row for name in names_of(row))
    context.marks.wait_for(drawn, context.stop)
    return rows


def _without_marks(context: RunContext) -> dict[str, Any]:
    """Only if there are none, so that all other keys stay the same."""
    return {} if context.config.draws_marks else {"marks": "none"}


VISUALIZE = StepSpec("visualize", f"{STEP_VERSION}.{DRAW_VERSION}", _body, extra_key_parts=_without_marks)


@lazy_task("visualize", "visualize {step.shard:05d}")
def visualize(step: Step, config: RegionCapConfig) -> State[Step]:
    """Step 5: draws the numbered boxes on every picture, at the size that the model sees."""
    return run_step(VISUALIZE, RUNS.context(config), step)
