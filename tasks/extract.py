"""Step 3, `extract`: every image is read once, and rows without boxes get regions.

Adds `image_sha256`, `width`, `height` (pixels, as displayed) and, for `without_bbox`, `boxes`: ranked regions,
xywh pixels; `warnings` for an animation. Drops `image_stat`, so an image that was only touched changes nothing from
here on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from threading import Event
from typing import TYPE_CHECKING, Any

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef, ref_of
from regioncap.records import WITHOUT_BBOX, Row, Step
from regioncap.registry import EXTRACTORS, SIZE_FREE, load
from regioncap.run.context import RunContext
from regioncap.run.runs import RUNS
from regioncap.tasks.lazy_task import lazy_task
from regioncap.tasks.map_rows import map_rows
from regioncap.tasks.step import StepSpec, run_step
from regioncap.vision.extraction import EXTRACTION_VERSION, FINDER_MAX_LONG_SIDE, FINDER_MIN_LONG_SIDE, find_regions
from regioncap.vision.images import Picture
from regioncap.vision.pieces import MAX_FRAMES

if TYPE_CHECKING:
    from prefect import State

    from regioncap.vision.plugin_finder import PluginFinder

STEP_VERSION = 3

WHOLE_PIXELS = 4_000_000
"""Up to this size a picture is decoded whole, since drawing can then use the same pixels; a larger JPEG is decoded at a
fraction of its size, once for finding and once for drawing."""

ReadImage = Callable[[ImageRef], bytes]
OnFound = Callable[[Row, Picture], None]
"""Called with a row that has its boxes, while its picture is at hand: decoded, if regions were found in it."""


def extract_row(
    row: Row,
    read: ReadImage,
    config: RegionCapConfig,
    on_found: OnFound | None = None,
    finder: PluginFinder | None = None,
) -> Row:
    """One row with its image's digest and size, and regions if it brought none.

    `finder`: the user's own, if the config names one; what it tells of its regions becomes `found_fields`.
    Raises RowReject `image_missing`, `image_unavailable`, `image_unreadable`, `image_too_large`, `no_regions`, and what
    the finder raises.
    """
    data = read(ref_of(row))
    picture = Picture(data, max_image_pixels=config.max_image_pixels)
    picture.check()
    found: Row = {
        "image": row["image"],
        "image_sha256": hashlib.sha256(data).hexdigest(),
        "width": picture.info.width,
        "height": picture.info.height,
        "type": row["type"],
        **{name: row[name] for name in ("image_at", "fields", "scores", "size") if name in row},
    }
    if "size" in row:
        found["orientation"] = picture.orientation
    frames = picture.frames
    if frames > 1:
        count = f"{MAX_FRAMES} or more" if frames == MAX_FRAMES else frames
        found["warnings"] = [f"the image holds {count} pictures; the first is described"]
    if row["type"] != WITHOUT_BBOX:
        found["boxes"] = row["boxes"]
    else:
        found |= {"boxes": _find(picture, config)} if finder is None else _found_by(finder, picture, config)
    if not found["boxes"]:
        why = ": the picture is plain" if finder is None else "; see min_score" if config.min_score > 0 else ""
        raise RowReject("no_regions", f"no region was found by {config.extractor!r}{why}")
    if on_found is not None:
        on_found(found, picture)
    return found


def _find(picture: Picture, config: RegionCapConfig) -> list[list[int]]:
    width, height = picture.info.width, picture.info.height
    size_free, whole = config.extractor in SIZE_FREE, width * height <= WHOLE_PIXELS
    # `edges` samples a large picture for less than shrinking it would cost.
    small_enough = not size_free or max(width, height) <= 2 * FINDER_MAX_LONG_SIDE
    image = picture.pixels(
        long_side=FINDER_MAX_LONG_SIDE if small_enough else None,
        min_side=FINDER_MIN_LONG_SIDE if size_free else None,
        keep_full_size=whole,
    )
    boxes = find_regions(
        image,
        load(EXTRACTORS[config.extractor]),
        max_boxes=config.max_boxes,
        min_score=config.min_score,
        full_size_wh=(width, height),
    )
    return [[int(number) for number in box] for box in boxes]


def _found_by(finder: PluginFinder, picture: Picture, config: RegionCapConfig) -> Row:
    """What a user's own finder found: `boxes`, and `found_fields` if it gave labels or scores."""
    size = picture.info.width, picture.info.height
    image = picture.pixels(long_side=finder.long_side, keep_full_size=size[0] * size[1] <= WHOLE_PIXELS)
    found = finder.find(image, size, max_boxes=config.max_boxes, min_score=config.min_score)
    return {"boxes": found.boxes, **({"found_fields": found.fields} if found.fields else {})}


def extract_rows(
    rows: list[Row],
    read: ReadImage,
    config: RegionCapConfig,
    *,
    pool: Executor | None = None,
    stop: Event | None = None,
    on_found: OnFound | None = None,
    finder: PluginFinder | None = None,
    found_ahead: Callable[[Row], Row | None] = lambda row: None,
) -> list[Row]:
    """Every row with its image's digest and size, and with boxes; in the threads of `pool`. `found_ahead`: gives what
    `extract_row` made of a row before, if it did."""

    def extracted(row: Row) -> Row:
        return found_ahead(row) or extract_row(row, read, config, on_found, finder)

    return map_rows("extract", extracted, rows, pool=pool, stop=stop)


def _body(context: RunContext, step: Step) -> list[Row]:
    ahead = context.shard_runs.of(step)
    return extract_rows(
        context.storage.read(step), context.images.read, context.config,
        pool=context.threads.pixels, stop=context.stop, on_found=ahead.on_regions_found,
        finder=context.finder, found_ahead=ahead.extracted,
    )  # fmt: skip


def _key_parts(context: RunContext) -> dict[str, Any]:
    """Only for a finder of the user's, so that the keys of ours stay the same."""
    return {} if context.finder is None else {"plugin": context.finder.plugin.key_parts()}


EXTRACT = StepSpec("extract", f"{STEP_VERSION}.{EXTRACTION_VERSION}", _body, extra_key_parts=_key_parts)


@lazy_task("extract", "extract {step.shard:05d}")
def extract(step: Step, config: RegionCapConfig) -> State[Step]:
    """Step 3: reads every image; finds regions in those that came without boxes."""
    return run_step(EXTRACT, RUNS.context(config), step)
