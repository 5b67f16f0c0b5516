"""Step 5, `visualize`: the picture that the model sees, with numbered boxes.

Adds `marked` (`sha256` of the JPEG, `width`, `height` in pixels, at most `max_pixels`) and `warnings`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from prefect import State, task
from prefect.cache_policies import NO_CACHE

from tasks.caching import StepSpec, run_step
from tasks.config import RegionCapConfig
from tasks.context import RunContext, context_of
from tasks.errors import RowReject
from tasks.records import Row, Step
from tasks.rows import map_rows
from tasks.vision.drawing import DRAW_VERSION, draw_marks, mark_warnings
from tasks.vision.images import decode, encode_jpeg

STEP_VERSION = 1


def read_unchanged(row: Row, read: Callable[[str], bytes]) -> bytes:
    """The bytes of the row's image. Raises RowReject `image_unavailable` if they are not what `extract` saw."""
    data = read(row["image"])
    if hashlib.sha256(data).hexdigest() != row["image_sha256"]:
        raise RowReject(
            "image_unavailable", f"{row['image']} changed while the run read it; run the same command again"
        )
    return data


def draw_row(row: Row, read: Callable[[str], bytes], config: RegionCapConfig) -> tuple[Row, bytes]:
    """One row with its marks, and the marked JPEG. Raises RowReject if the image cannot be read any more."""
    data = read_unchanged(row, read)
    image = decode(data, max_image_pixels=config.max_image_pixels, max_pixels=config.max_pixels)
    size = (row["width"], row["height"])
    drawn = draw_marks(image, row["bbox"], full_size_wh=size, dim=config.dim, copy=False)
    jpeg = encode_jpeg(drawn, config.jpeg_quality)
    height, width = drawn.shape[:2]
    marked = {"sha256": hashlib.sha256(jpeg).hexdigest(), "width": width, "height": height}
    warnings = mark_warnings(row["bbox"], full_size_wh=size, model_size_wh=(width, height))
    return {**row, "marked": marked, "warnings": warnings}, jpeg


def marked_jpeg(row: Row, context: RunContext) -> bytes:
    """The row's marked JPEG, drawn again if it is not there any more. Raises RowReject as `draw_row` does."""
    return context.marks.get(row["marked"]["sha256"]) or draw_row(row, context.images.read, context.config)[1]


def _body(context: RunContext, step: Step) -> list[Row]:
    def visualize_row(row: Row) -> Row:
        drawn, jpeg = draw_row(row, context.images.read, context.config)
        context.marks.put(drawn["marked"]["sha256"], jpeg)
        return drawn

    rows = context.storage.read(step)
    return map_rows("visualize", visualize_row, rows, pool=context.pool, stop=context.stop)


FIELDS = ("max_pixels", "max_image_pixels", "jpeg_quality", "dim", "draw_visualization")
VISUALIZE = StepSpec("visualize", f"{STEP_VERSION}.{DRAW_VERSION}", FIELDS, _body)


@task(name="visualize", task_run_name="visualize {step.shard:05d}", cache_policy=NO_CACHE)
def visualize(step: Step, config: RegionCapConfig) -> State[Step]:
    """Step 5: draws the numbered boxes on every picture, at the size that the model sees."""
    return run_step(VISUALIZE, context_of(config), step)
