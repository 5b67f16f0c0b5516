"""Step 3, `extract`: every image is read once, and rows without boxes get regions.

Adds `image_sha256`, `width`, `height` (pixels, as displayed) and, for `without_bbox`, `boxes`: ranked regions,
xywh pixels. Drops `image_stat`, so an image that was only touched changes nothing from here on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from threading import Event

from prefect import State, task
from prefect.cache_policies import NO_CACHE

from tasks.caching import StepSpec, run_step
from tasks.config import RegionCapConfig
from tasks.context import RunContext, context_of
from tasks.errors import RowReject
from tasks.records import Row, Step
from tasks.registry import EXTRACTORS, SIZE_FREE, load
from tasks.route import WITHOUT_BBOX
from tasks.rows import map_rows
from tasks.vision.extraction import EXTRACTION_VERSION, FINDING_LEAST_SIDE, FINDING_LONG_SIDE, find_regions
from tasks.vision.images import decode, read_info

STEP_VERSION = 1

ReadImage = Callable[[str], bytes]


def extract_row(row: Row, read: ReadImage, config: RegionCapConfig) -> Row:
    """One row with its image's digest and size, and regions if it brought none.

    Raises RowReject `image_missing`, `image_unavailable`, `image_unreadable`, `image_too_large` or `no_regions`.
    """
    data = read(row["image"])
    info = read_info(data, max_image_pixels=config.max_image_pixels)
    found: Row = {
        "image": row["image"],
        "image_sha256": hashlib.sha256(data).hexdigest(),
        "width": info.width,
        "height": info.height,
        "type": row["type"],
        **({"fields": row["fields"]} if "fields" in row else {}),
    }
    if row["type"] != WITHOUT_BBOX:
        return {**found, "boxes": row["boxes"]}
    boxes = _find(data, (info.width, info.height), config)
    if not boxes:
        raise RowReject("no_regions", f"no region was found by {config.extractor!r}: the picture is plain")
    return {**found, "boxes": boxes}


def _find(data: bytes, size: tuple[int, int], config: RegionCapConfig) -> list[list[int]]:
    least = FINDING_LEAST_SIDE if config.extractor in SIZE_FREE else None
    image = decode(
        data, max_image_pixels=config.max_image_pixels, long_side=FINDING_LONG_SIDE, least_side=least
    )
    boxes = find_regions(
        image,
        load(EXTRACTORS[config.extractor]),
        max_boxes=config.max_boxes,
        min_score=config.min_score,
        full_size_wh=size,
    )
    return [[int(number) for number in box] for box in boxes]


def extract_rows(
    rows: list[Row],
    read: ReadImage,
    config: RegionCapConfig,
    *,
    pool: Executor | None = None,
    stop: Event | None = None,
) -> list[Row]:
    """Every row with its image's digest and size, and with boxes; in the threads of `pool`."""
    return map_rows("extract", lambda row: extract_row(row, read, config), rows, pool=pool, stop=stop)


def _body(context: RunContext, step: Step) -> list[Row]:
    rows = context.storage.read(step)
    return extract_rows(rows, context.images.read, context.config, pool=context.pool, stop=context.stop)


FIELDS = ("extractor", "max_boxes", "min_score", "max_image_pixels")
EXTRACT = StepSpec("extract", f"{STEP_VERSION}.{EXTRACTION_VERSION}", FIELDS, _body)


@task(name="extract", task_run_name="extract {step.shard:05d}", cache_policy=NO_CACHE)
def extract(step: Step, config: RegionCapConfig) -> State[Step]:
    """Step 3: reads every image; finds regions in those that came without boxes."""
    return run_step(EXTRACT, context_of(config), step)
