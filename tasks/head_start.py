"""The first rows, begun before their shards' tasks: while Prefect starts, which takes a command seconds.

The command has checked the run and holds its output by then, so a request may be made; nothing of a row needs Prefect.
What is begun here is taken up by the shards' own steps (`regioncap.run.shard_run`), and what fails here fails there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, InvalidStateError, wait
from functools import partial

from regioncap.captioners.reading.lazy_pattern import compile_patterns
from regioncap.errors import RegionCapError, Stopped
from regioncap.image_ref import ImageRef, ref_of
from regioncap.records import WITHOUT_BBOX, Row, Shard
from regioncap.run.context import RunContext
from regioncap.run.credentials import needs_prefect
from regioncap.run.runs import RUNS
from regioncap.run.shard_run import ShardRun
from regioncap.tasks.extract import EXTRACT, extract_row
from regioncap.tasks.load import LOAD, load_rows, pack
from regioncap.tasks.route import ROUTE, routed
from regioncap.tasks.shard import find_cached_steps, shard_run_of

FIRST_ROW_SECONDS = 0.5
"""At most, for the first row's request to be on its way before Prefect is imported."""

MAX_ROWS = 1024
"""So many rows of the input, at most, are looked at: more than two processors draw while Prefect starts."""


@contextlib.contextmanager
def head_start(context: RunContext) -> Iterator[None]:
    """In this block, in which Prefect starts, the first shards are begun. Enter it when the run has passed its checks
    and holds its output. A run that ends with an error sends nothing more from then on, and is put on record."""
    try:
        _get_ready_for_replies(begin_first_shards(context))
        yield
    except BaseException as error:
        context.stop_sending()
        if RUNS.find(context.config) is context:  # else the flow began, and put its own end on record
            from regioncap.tasks.record_stop import record_stop  # imports what is needed at the end only

            with contextlib.suppress(Exception):  # it must not hide why the run stopped
                record_stop(context, error)
        raise


def _get_ready_for_replies(rows: Sequence[Future[Row]]) -> None:
    """Compile what reads replies, once the first of `rows` is drawn: this thread has the interpreter to itself while it
    compiles and imports, and others get it for a moment at a time."""
    wait(rows, FIRST_ROW_SECONDS, FIRST_COMPLETED)
    compile_patterns()


def begin_first_shards(context: RunContext) -> Sequence[Future[Row]]:
    """Try the servers out, and find, draw and request the first shards' rows, in the threads for pixels. Returns the
    first rows that are worked on; the later shards' follow, until the run's own tasks begin.

    Only for servers that are there already and whose secrets are not in Prefect, and for images on this machine or in
    S3.
    """
    config = context.config
    if config.captioner_name != "openai" or config.runner != "threads" or needs_prefect(config):
        return []
    if config.delivery != "online":  # a request that is sent ahead would cost what batches are to save
        return []
    context.captioner.get_ready()
    shards = context.shards()
    with contextlib.suppress(RegionCapError):  # the run meets it again
        for shard in shards:
            begun = _begin(shard, context)
            context.threads.io.submit(_begin_others, shards, len(shard.lines), context)
            return begun
    return []


def _begin_others(shards: Generator[Shard], looked_at: int, context: RunContext) -> None:
    """Begin the shards that follow one of `looked_at` rows."""
    with contextlib.closing(shards), contextlib.suppress(Exception):  # the run meets it again, or has ended
        for shard in shards:
            looked_at += len(shard.lines)
            if looked_at > MAX_ROWS or context.stop.is_set() or context.shard_runs.opened:
                return
            _begin(shard, context)


def _begin(shard: Shard, context: RunContext) -> list[Future[Row]]:
    if shard.images or find_cached_steps(shard, context, (LOAD, ROUTE, EXTRACT)) is not None:
        return []
    rows = [row for row in routed(_rows_with_near_images(shard, context), context.config) if "reject" not in row]
    begun: list[Future[Row]] = []

    def begin() -> ShardRun:
        shard_run = shard_run_of(context)
        for row in rows:
            if row["type"] == WITHOUT_BBOX and context.config.asks_for_regions:
                continue  # it waits for a model's answer, for which these threads are too few
            begun.append(_extracting(row, shard_run, context))
            shard_run.extract_ahead(row, begun[-1])
        return shard_run

    context.shard_runs.begin(shard.index, begin)
    return begun


def _rows_with_near_images(shard: Shard, context: RunContext) -> list[Row]:
    """The rows whose images need not be fetched first, or are objects of their own on S3, as `load` makes them."""
    rows = load_rows(pack(shard), context.config.image_key, lambda refs: [None] * len(refs))
    near = [row for row in rows if "reject" not in row and _is_near(ref_of(row), context)]
    stats = context.images.stats([ref_of(row) for row in near], context.config.image_check, context.threads.io)
    for row, stat in zip(near, stats, strict=True):
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

    def extract() -> None:
        if extracting.set_running_or_notify_cancel():  # else the step took the row on itself
            try:
                extracting.set_result(_extract(row, shard_run, context))
            except BaseException as error:
                extracting.set_exception(error)

    def begin(_: Future[None]) -> None:
        try:
            context.threads.pixels.submit(extract).add_done_callback(partial(_settle, extracting))
        except RuntimeError as error:  # the run has ended
            _fail(extracting, error)

    bringing = context.threads.fetch.submit(context.images.bring, ref, row["image_stat"], shard_run.until_closed)
    shard_run.on_its_way(bringing)
    bringing.add_done_callback(begin)
    return extracting


def _settle(extracting: Future[Row], done: Future[None]) -> None:
    if done.cancelled():
        _fail(extracting, CancelledError())


def _fail(extracting: Future[Row], error: Exception) -> None:
    with contextlib.suppress(InvalidStateError):  # the step took the row on itself
        extracting.set_exception(error)


def _extract(row: Row, shard_run: ShardRun, context: RunContext) -> Row:
    if context.stop.is_set():
        raise Stopped
    return extract_row(row, context.images.read, context.config, shard_run.on_regions_found, context.finder)
