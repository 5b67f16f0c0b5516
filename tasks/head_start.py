"""The first shard's rows, begun before its tasks: while Prefect starts, which takes a command seconds.

The command has checked the run and holds its output by then, so a request may be made; nothing of a row needs Prefect.
What is begun here is taken up by the shard's own steps (`regioncap.run.shard_run`), and what fails here fails there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from functools import partial

from regioncap.errors import RegionCapError, Stopped
from regioncap.image_ref import ImageRef, ref_of
from regioncap.records import WITH_BBOX, Row, Shard
from regioncap.run.context import RunContext
from regioncap.run.credentials import needs_prefect
from regioncap.run.runs import RUNS
from regioncap.run.shard_run import ShardRun
from regioncap.tasks.draw_row import read_unchanged
from regioncap.tasks.extract import EXTRACT, WHOLE_PIXELS, extract_row
from regioncap.tasks.load import LOAD, load_rows, pack, stats_of
from regioncap.tasks.route import ROUTE, routed
from regioncap.tasks.shard import find_cached_steps, shard_run_of
from regioncap.vision.images import Picture


@contextlib.contextmanager
def head_start(context: RunContext) -> Iterator[None]:
    """In this block, in which Prefect starts, the first shard is begun. Enter it when the run has passed its checks and
    holds its output. A run that ends with an error sends nothing more from then on, and is put on record."""
    try:
        begin_first_shard(context)
        yield
    except BaseException as error:
        context.stop_sending()
        if RUNS.find(context.config) is context:  # else the flow began, and put its own end on record
            from regioncap.tasks.record_stop import record_stop  # imports what is needed at the end only

            with contextlib.suppress(Exception):  # it must not hide why the run stopped
                record_stop(context, error)
        raise


def begin_first_shard(context: RunContext) -> None:
    """Try the servers out, and find, draw and request the first shard's rows, in the threads for pixels.

    Only for servers that are there already and whose secrets are not in Prefect, and for images on this machine or in
    S3.
    """
    config = context.config
    if config.captioner_name != "openai" or config.runner != "threads" or needs_prefect(config):
        return
    context.captioner.get_ready()
    with contextlib.suppress(RegionCapError), contextlib.closing(context.shards()) as shards:  # the run meets it again
        shard = next(shards, None)
        if shard is not None and not shard.images:
            _begin(shard, context)


def _begin(shard: Shard, context: RunContext) -> None:
    if find_cached_steps(shard, context, (LOAD, ROUTE, EXTRACT)) is not None:
        return
    shard_run = shard_run_of(context)
    for row in routed(_rows_with_near_images(shard, context), context.config):
        if "reject" in row:
            continue
        shard_run.extract_ahead(row, _extracting(row, shard_run, context))
    context.shard_runs.begin(shard.index, shard_run)


def _rows_with_near_images(shard: Shard, context: RunContext) -> list[Row]:
    """The rows whose images need not be fetched first, or are objects of their own on S3, as `load` makes them."""
    rows = load_rows(pack(shard), context.config.image_key, lambda refs: [None] * len(refs))
    near = [row for row in rows if "reject" not in row and _is_near(ref_of(row), context)]
    for row, stat in zip(near, stats_of(context)([ref_of(row) for row in near]), strict=True):
        row["image_stat"] = stat
    return near


def _is_near(ref: ImageRef, context: RunContext) -> bool:
    # Web servers may take long for each: nothing before Prefect waits for them.
    return context.images.is_s3_object(ref) or not context.images.is_better_brought(ref)


def _extracting(row: Row, shard_run: ShardRun, context: RunContext) -> Future[Row]:
    """`_extract` in the threads for pixels, which do not wait for the network: an image on S3 is fetched first."""
    ref = ref_of(row)
    if not context.images.is_s3_object(ref):
        return context.threads.pixels.submit(_extract, row, shard_run, context)
    extracting: Future[Row] = Future()

    def begin(_: Future[None]) -> None:
        try:
            begun = context.threads.pixels.submit(_extract, row, shard_run, context)
        except RuntimeError as error:  # the run has ended
            extracting.set_exception(error)
        else:
            begun.add_done_callback(partial(_settle, extracting))

    context.threads.io.submit(context.images.bring, ref).add_done_callback(begin)
    return extracting


def _settle(extracting: Future[Row], done: Future[Row]) -> None:
    error = CancelledError() if done.cancelled() else done.exception()
    if error is not None:
        extracting.set_exception(error)
    else:
        extracting.set_result(done.result())


def _extract(row: Row, shard_run: ShardRun, context: RunContext) -> Row:
    if context.stop.is_set():
        raise Stopped
    found = extract_row(row, context.images.read, context.config, shard_run.on_regions_found, context.finder)
    if found["type"] == WITH_BBOX and found["width"] * found["height"] <= WHOLE_PIXELS:
        _draw(found, shard_run, context)
    return found


def _draw(found: Row, shard_run: ShardRun, context: RunContext) -> None:
    """Draw a row that brought its boxes, whose picture `extract` does not decode."""
    picture = Picture(read_unchanged(found, context.images.read), max_image_pixels=context.config.max_image_pixels)
    picture.pixels(keep_full_size=True)
    shard_run.on_regions_found(found, picture)
