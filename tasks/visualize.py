"""Step 5, `visualize`: the picture that the model sees, with numbered boxes.

Adds `marked` (`sha256` of the JPEG, `width`, `height` in pixels, at most `max_pixels`) and `warnings`; where there are
more regions than `marks_per_request`, also `parts`: for each request the `regions` of its picture, and `sha256`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress

from prefect import State, task
from prefect.cache_policies import NO_CACHE

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.records import Row, Step
from regioncap.run.context import RunContext, context_of
from regioncap.tasks.map_rows import map_rows
from regioncap.tasks.normalize import normalize_row
from regioncap.tasks.step import StepSpec, run_step
from regioncap.vision.drawing import DRAW_VERSION, draw_marks, mark_warnings
from regioncap.vision.images import Picture, encode_jpeg

STEP_VERSION = 2


def read_unchanged(row: Row, read: Callable[[str], bytes]) -> bytes:
    """The bytes of the row's image. Raises RowReject `image_unavailable` if they are not what `extract` saw."""
    data = read(row["image"])
    if hashlib.sha256(data).hexdigest() != row["image_sha256"]:
        raise RowReject(
            "image_unavailable", f"{row['image']} changed while the run read it; run the same command again"
        )
    return data


def draw_row(row: Row, read: Callable[[str], bytes], config: RegionCapConfig) -> tuple[Row, list[bytes]]:
    """One row with its marks, and JPEGs: the marked picture, and those of its parts where there are any.

    Raises RowReject if the image cannot be read any more.
    """
    picture = Picture(read_unchanged(row, read), max_image_pixels=config.max_image_pixels)
    return draw_picture(row, picture, config)


def draw_picture(row: Row, picture: Picture, config: RegionCapConfig) -> tuple[Row, list[bytes]]:
    """As `draw_row`, of the row's opened image."""
    image = picture.pixels(max_pixels=config.max_pixels)
    size = (row["width"], row["height"])
    height, width = image.shape[:2]
    groups = config.groups_of(len(row["bbox"]))
    shown = [None, *(groups if len(groups) > 1 else [])]
    jpegs = []
    for at, only in enumerate(shown):
        last = at == len(shown) - 1
        drawn = draw_marks(image, row["bbox"], full_size_wh=size, dim=config.dim, only=only, copy=not last)
        jpegs.append(encode_jpeg(drawn, config.jpeg_quality))
    names = [hashlib.sha256(jpeg).hexdigest() for jpeg in jpegs]
    told: Row = {**row, "marked": {"sha256": names[0], "width": width, "height": height}}
    if len(groups) > 1:
        told["parts"] = [
            {"regions": list(group), "sha256": name} for group, name in zip(groups, names[1:], strict=True)
        ]
    marks = mark_warnings(row["bbox"], full_size_wh=size, model_size_wh=(width, height))
    return {**told, "warnings": row.get("warnings", []) + marks}, jpegs


def marked_jpeg(row: Row, context: RunContext, part: int | None = None) -> bytes:
    """The row's marked JPEG, or that of one of its parts (from 0), drawn again if it is not there any more.

    Raises RowReject as `draw_row` does.
    """
    name = (row["marked"] if part is None else row["parts"][part])["sha256"]
    found = context.marks.get(name)
    if found is not None:
        return found
    return draw_row(row, context.images.read, context.config)[1][0 if part is None else part + 1]


def _keep(drawn: Row, jpegs: list[bytes], context: RunContext) -> None:
    for picture, jpeg in zip([drawn["marked"], *drawn.get("parts", [])], jpegs, strict=True):
        context.marks.put(picture["sha256"], jpeg)


def draw_ahead(found: Row, picture: Picture, context: RunContext) -> None:
    """Draw the marks of a row from `extract` at once, if that has decoded what they are drawn on; so the picture is
    decoded and read once. `visualize` then finds them in `context.ahead`."""
    if not picture.has_whole(max_pixels=context.config.max_pixels):
        return
    with suppress(RowReject, ValueError):  # which their own steps will meet
        row = normalize_row(found, context.config)
        if "reject" not in row:
            drawn, jpegs = draw_picture(row, picture, context.config)
            _keep(drawn, jpegs, context)
            context.ahead.put(row, {name: drawn[name] for name in drawn if name not in row or name == "warnings"})
            if not context.captioned_before:
                context.when_drawn(drawn)


def _body(context: RunContext, step: Step) -> list[Row]:
    def visualize_row(row: Row) -> Row:
        ahead = context.ahead.get(row)
        if ahead is not None:
            drawn = {**row, **ahead}
            # An earlier run may have captioned the shard: only now it is known that it did not.
            if context.captioned_before:
                context.when_drawn(drawn)
            return drawn
        drawn, jpegs = draw_row(row, context.images.read, context.config)
        _keep(drawn, jpegs, context)
        context.when_drawn(drawn)
        return drawn

    return map_rows("visualize", visualize_row, context.storage.read(step), pool=context.pool, stop=context.stop)


VISUALIZE = StepSpec("visualize", f"{STEP_VERSION}.{DRAW_VERSION}", _body)


@task(name="visualize", task_run_name="visualize {step.shard:05d}", cache_policy=NO_CACHE)
def visualize(step: Step, config: RegionCapConfig) -> State[Step]:
    """Step 5: draws the numbered boxes on every picture, at the size that the model sees."""
    return run_step(VISUALIZE, context_of(config), step)
