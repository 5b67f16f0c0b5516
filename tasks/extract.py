"""Step 3, `extract`: every image is read once, and rows without boxes get regions.

Adds `image_sha256`, `width`, `height` (pixels, as displayed) and, for `without_bbox`, `boxes`: ranked regions,
xywh pixels; `warnings` for an animation. Drops `image_stat`, so an image that was only touched changes nothing from
here on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from threading import Event
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef, ref_of
from regioncap.records import WITHOUT_BBOX, Row, Step, rejected
from regioncap.registry import EXTRACTORS, SCORED, SIZE_FREE, load
from regioncap.run.context import RunContext
from regioncap.run.in_flight import PendingAnswer
from regioncap.run.runs import RUNS
from regioncap.run.threads import result_of
from regioncap.storage.steps import Manifest
from regioncap.tasks.cached_answer import put_on_hold, still_on_hold
from regioncap.tasks.lazy_task import lazy_task
from regioncap.tasks.map_rows import map_rows
from regioncap.tasks.region_questions import ask_for_regions, found_row, key_parts, known_answer, regions_in
from regioncap.tasks.step import StepSpec, find_cached, run_step
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

FALLBACK = "edges"
"""What finds the regions where a model that was asked named none, if that is wanted."""

AskedModel = Callable[[Row, Callable[[], list[list[int]]]], Row]
"""Gives a row, which has its image's digest and size, the regions that a model names, or makes it a reject; may wait
for the model's answer. Takes what finds the regions where the model names none."""

OnFound = Callable[[Row, Picture], None]
"""Called with a row that has its boxes, while its picture is at hand: decoded, if regions were found in it."""


def opened(row: Row, read: ReadImage, config: RegionCapConfig) -> tuple[Row, Picture]:
    """One row with its image's digest and size, and its picture. Raises RowReject as `extract_row` does."""
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
    return found, picture


def extract_row(
    row: Row,
    read: ReadImage,
    config: RegionCapConfig,
    on_found: OnFound | None = None,
    finder: PluginFinder | None = None,
    asked: AskedModel | None = None,
) -> Row:
    """One row with its image's digest and size, and regions if it brought none.

    `finder`: the user's own, if the config names one; what it tells of its regions becomes `found_fields`. `asked`:
    gives the row what a model finds, if the config says that one is asked; a row in which it finds nothing is a reject.
    Raises RowReject `image_missing`, `image_unavailable`, `image_unreadable`, `image_too_large`, `no_regions`,
    `caption_failed` where the model gave no answer, and what the finder raises.
    """
    found, picture = opened(row, read, config)
    if row["type"] != WITHOUT_BBOX:
        found["boxes"] = row["boxes"]
    elif asked is not None:
        found = asked(found, lambda: _find(picture, config, FALLBACK))
        if "reject" in found:
            return found
    else:
        found |= {"boxes": _find(picture, config)} if finder is None else _found_by(finder, picture, config)
    if not found["boxes"]:
        # The others of ours also miss what is there.
        plain = finder is None and config.extractor in SCORED
        why = ": the picture is plain" if plain else "; see min_score" if finder and config.min_score > 0 else ""
        raise RowReject("no_regions", f"no region was found by {config.extractor!r}{why}")
    if on_found is not None:
        on_found(found, picture)
    return found


def _find(picture: Picture, config: RegionCapConfig, extractor: str | None = None) -> list[list[int]]:
    """What one of our finders finds; `extractor`: which, None for the config's."""
    name = extractor or config.extractor
    width, height = picture.info.width, picture.info.height
    size_free, whole = name in SIZE_FREE, width * height <= WHOLE_PIXELS
    # `edges` samples a large picture for less than shrinking it would cost.
    small_enough = not size_free or max(width, height) <= 2 * FINDER_MAX_LONG_SIDE
    image = picture.pixels(
        long_side=FINDER_MAX_LONG_SIDE if small_enough else None,
        min_side=FINDER_MIN_LONG_SIDE if size_free else None,
        keep_full_size=whole,
    )
    boxes = find_regions(
        image,
        load(EXTRACTORS[name]),
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
    asked: AskedModel | None = None,
) -> list[Row]:
    """Every row with its image's digest and size, and with boxes; in the threads of `pool`. `found_ahead`: gives what
    `extract_row` made of a row before, if it did."""

    def extracted(row: Row) -> Row:
        return found_ahead(row) or extract_row(row, read, config, on_found, finder, asked)

    return map_rows("extract", extracted, rows, pool=pool, stop=stop)


def ask_ahead(step: Step, context: RunContext) -> None:
    """Have a model say what the regions are of all rows of a shard that need it, at once, and wait for it. Nothing
    happens where no model is asked, or what `extract` makes of the shard is cached.

    Raises CaptionerError when no row can be asked about any more, Stopped.
    """
    if not context.config.asks_for_regions or find_cached(EXTRACT, context, step) is not None:
        return
    answers = _ask(context.storage.read(step), context)
    context.shard_runs.of(step).region_answers = answers
    for pending in answers.values():
        result_of(pending.future, context.stop)


def _ask(rows: list[Row], context: RunContext) -> dict[str, PendingAnswer]:
    """What a model is asked about the regions of `rows`, by the answers' keys."""
    if context.asks_nobody:
        return {}

    def ask(row: Row) -> Row:
        found, _ = opened(row, context.images.read, context.config)
        return {"asked": ask_for_regions(found, context)}

    without = [row for row in rows if row.get("type") == WITHOUT_BBOX]
    # What fails here fails again when `extract` comes to the row, and is reported there.
    asked = map_rows("extract", ask, without, pool=context.threads.io, stop=context.stop)
    return {row["asked"].key: row["asked"] for row in asked if "asked" in row}


def model_asked(context: RunContext, answers: Mapping[str, PendingAnswer] = MappingProxyType({})) -> AskedModel | None:
    """What gives a model's answers about rows' regions; None where none is asked. `answers`: those that were asked for
    before, by key."""
    if not context.config.asks_for_regions:
        return None

    def asked(row: Row, fallback: Callable[[], list[list[int]]]) -> Row:
        if context.asks_nobody:
            answer = known_answer(row, context)
        else:
            answer = result_of(ask_for_regions(row, context, early=answers).future, context.stop)
        try:
            return found_row(regions_in(answer, row, context.config), row, fallback, context)
        except RowReject as reject:
            if not answer.on_hold:
                raise
            return put_on_hold(rejected("extract", reject.code, reject.message), context)

    return asked


def _body(context: RunContext, step: Step) -> list[Row]:
    ahead, rows = context.shard_runs.of(step), context.storage.read(step)
    answers: Mapping[str, PendingAnswer] = {}
    if context.config.asks_for_regions:
        answers = _ask(rows, context) if ahead.region_answers is None else ahead.region_answers
    return extract_rows(
        rows, context.images.read, context.config,
        pool=context.threads.pixels, stop=context.stop, on_found=ahead.on_regions_found,
        finder=context.finder, found_ahead=ahead.extracted, asked=model_asked(context, answers),
    )  # fmt: skip


def _key_parts(context: RunContext) -> dict[str, Any]:
    """Only for a finder of the user's and for a model, so that the keys of ours stay the same."""
    if context.config.asks_for_regions:
        return {"model": key_parts(context)}
    return {} if context.finder is None else {"plugin": context.finder.plugin.key_parts()}


def _still_valid(context: RunContext, manifest: Manifest, read: Callable[[], list[Row]]) -> bool:
    """Whether no row is to be asked about again that is on hold; only where a model is asked can there be any."""
    return not context.config.asks_for_regions or still_on_hold(context, manifest, read)


EXTRACT = StepSpec(
    "extract", f"{STEP_VERSION}.{EXTRACTION_VERSION}", _body, still_valid=_still_valid, extra_key_parts=_key_parts
)


@lazy_task("extract", "extract {step.shard:05d}")
def extract(step: Step, config: RegionCapConfig) -> State[Step]:
    """Step 3: reads every image; finds regions in those that came without boxes."""
    return run_step(EXTRACT, RUNS.context(config), step)
