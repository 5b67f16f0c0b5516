"""One shard through its six steps: found in the cache, or done by one task run that calls the steps' own."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef, ref_of
from regioncap.inputs.sharding import MAX_BYTES
from regioncap.output.join import ShardSteps
from regioncap.records import WITHOUT_BBOX, Counts, Row, Shard, Step
from regioncap.row_work import row_work
from regioncap.run.context import RunContext
from regioncap.run.in_flight import PendingAnswer
from regioncap.run.runs import RUNS
from regioncap.run.shard_run import EarlyRequests, ShardRun
from regioncap.run.threads import ContextThreads, map_ahead
from regioncap.storage.steps import StepDamaged
from regioncap.tasks.answers import ask
from regioncap.tasks.caption import CAPTION, caption
from regioncap.tasks.draw_row import draw_picture
from regioncap.tasks.extract import EXTRACT, ask_ahead, extract
from regioncap.tasks.lazy_task import lazy_task
from regioncap.tasks.load import LOAD, load, pack
from regioncap.tasks.normalize import NORMALIZE, normalize, normalize_row
from regioncap.tasks.route import ROUTE, route
from regioncap.tasks.step import StepSpec, find_cached, made_of
from regioncap.tasks.visualize import VISUALIZE, visualize
from regioncap.vision.images import Picture

if TYPE_CHECKING:
    from prefect import State

STEPS: tuple[StepSpec, ...] = (LOAD, ROUTE, EXTRACT, NORMALIZE, VISUALIZE, CAPTION)
STEP_TASKS = (load, route, extract, normalize, visualize, caption)
PIXEL_STEPS = (EXTRACT, NORMALIZE, VISUALIZE)
CACHE_CHECKS_AT_ONCE = 16
"""Shards whose cache is checked at the same time, in an object store."""

ATTEMPTS = 3
"""How often a shard is started when its files turn out to be damaged. More would not help: the disk damages what was
just written."""

logger = logging.getLogger("regioncap")


def input_step(shard: Shard) -> Step:
    """The reference to a shard's rows as step 0, whether they are stored yet or not."""
    sha256 = hashlib.sha256(pack(shard)).hexdigest()
    return Step(0, shard.index, sha256[:32], sha256, len(shard.lines), 0)


def keep_input(shard: Shard, context: RunContext) -> Step:
    """Store a shard's rows as step 0, and the images that they held, for its tasks to read."""
    context.row_images.put_all(shard.images, context.threads.io)
    return context.storage.put_input(pack(shard), shard.index, len(shard.lines))


def cached_or_shards(context: RunContext) -> Iterator[ShardSteps | Shard]:
    """The input's shards in order: the steps of each, or the shard itself where any of them must run. Runs nothing."""
    all_cached, context.all_cached = context.all_cached, None  # if a file turns out to be damaged, all is looked up
    if all_cached is not None:
        for steps, share in all_cached:
            context.progress.read(steps[0].rows, share)
            yield steps
        return
    with closing(context.shards()) as shards:
        for shard, found in looked_up_ahead(shards, lambda shard: _all_cached_steps(shard, context), context):
            yield shard if found is None else found


def looked_up_ahead(
    shards: Iterable[Shard], look_up: Callable[[Shard], ShardSteps | None], context: RunContext
) -> Iterator[tuple[Shard, ShardSteps | None]]:
    """Each of the `shards`, in order, with what `look_up` finds of it in the cache: in an object store, of several at
    once."""
    if context.cache.is_local:
        for shard in shards:
            yield shard, look_up(shard)
        return
    # Threads of its own: a look-up waits for those that read files.
    with ContextThreads(CACHE_CHECKS_AT_ONCE, thread_name_prefix="cache-check") as pool:
        yield from map_ahead(
            pool, look_up, shards, at_once=CACHE_CHECKS_AT_ONCE, bytes_of=_bytes_held, max_bytes=MAX_BYTES
        )


def iter_cached_steps(shards: Iterable[Shard], context: RunContext) -> Iterator[tuple[Shard, ShardSteps | None]]:
    """Each of the `shards`, in order, with `find_cached_steps` of all steps."""
    return looked_up_ahead(shards, lambda shard: find_cached_steps(shard, context, STEPS), context)


def _bytes_held(shard: Shard) -> int:
    return sum(len(text) for _, text in shard.lines) + sum(map(len, shard.images.values()))


def _all_cached_steps(shard: Shard, context: RunContext) -> ShardSteps | None:
    context.progress.read(len(shard.lines), shard.share)
    steps = context.cached_shards.pop(input_step(shard).key, None)
    if steps is not None and steps[0].shard == shard.index:
        return steps
    return find_cached_steps(shard, context, STEPS)


def find_cached_steps(shard: Shard, context: RunContext, specs: Sequence[StepSpec]) -> ShardSteps | None:
    """The shard's input and the results of the steps `specs`, from the first on; None unless all of them are cached."""
    steps = [input_step(shard)]
    try:
        for spec in specs:
            manifest = find_cached(spec, context, steps[-1])
            if manifest is None:
                return None
            steps.append(manifest.reference(shard.index))
    except StepDamaged:
        return None
    return tuple(steps)


def made_steps(shard: Shard, context: RunContext, specs: Sequence[StepSpec]) -> ShardSteps | None:
    """As `find_cached_steps`, of whatever was made last, even if some of its rows will be tried again."""
    steps = [input_step(shard)]
    for spec in specs:
        made = made_of(spec, context, steps[-1])
        if made is None:
            return None
        steps.append(made)
    return tuple(steps)


def _images_to_read(step: Step, context: RunContext) -> list[ImageRef]:
    """The images that the steps after `route` will read; none when those steps are cached."""
    last = step
    for spec in PIXEL_STEPS:
        manifest = find_cached(spec, context, last)
        if manifest is None:
            return [ref_of(row) for row in context.storage.read(step) if "reject" not in row]
        last = manifest.reference(step.shard)
    return []


def prerender(found: Row, picture: Picture, context: RunContext) -> tuple[Row, Row] | None:
    """A row from `extract` as `normalize` and as `visualize` make it; None when it must wait for these steps.

    Used only if `extract` has decoded what the marks are drawn on, or nothing: so the picture is read and decoded once.
    """
    if found["type"] == WITHOUT_BBOX and not picture.has_full_size(max_pixels=context.config.max_pixels):
        return None
    with contextlib.suppress(RowReject), row_work("prerender", found["image"]):  # its own step meets it again
        normalized = normalize_row(found, context.config)
        if "reject" not in normalized:
            drawn, jpegs = draw_picture(normalized, picture, context.config)
            context.marks.put_all(drawn, jpegs)
            return normalized, drawn
    return None


def shard_run_of(context: RunContext) -> ShardRun:
    """What is done ahead for one shard of this run."""

    def ask_early(drawn: Row, pending: Mapping[str, PendingAnswer]) -> PendingAnswer:
        return ask(drawn, context, early=pending)

    # A look-up in an object store is not for the threads that draw.
    lookups = None if context.cache.is_local else context.threads.io
    requests = EarlyRequests(ask_early, lookups) if context.captioner.paid else None
    return ShardRun(partial(prerender, context=context), requests, surely_new=not context.captioned_before)


StepTask = Callable[[Step, RegionCapConfig], "State[Step]"]


def run_steps(step: Step, config: RegionCapConfig, as_task_runs: bool) -> ShardSteps:
    """The input of a shard and what the six steps make of it. Starts again where a step's file is damaged.

    Raises StepDamaged when that does not help.
    """
    context = RUNS.context(config)
    with context.shard_runs.open(step.shard, shard_run_of(context)):
        for _ in range(ATTEMPTS - 1):
            try:
                return _run_once(step, context, as_task_runs)
            except StepDamaged as damaged:
                logger.warning("%s", damaged)
        return _run_once(step, context, as_task_runs)


def _run_once(step: Step, context: RunContext, as_task_runs: bool) -> ShardSteps:
    done = [step]

    def run_next(step_task: StepTask) -> State[Step]:
        state = step_task(done[-1], context.config)
        done.append(state.result())
        return state

    *before, caption = [do if as_task_runs else do.fn for do in STEP_TASKS]
    with contextlib.ExitStack() as near:
        _draw(before, run_next, done, context, near)
        if context.config.uses_model and not (context.config.may_ask_closer or context.config.own_captioner):
            near.close()  # the marked pictures are all that the captioner sees
        captioned = run_next(caption)
    if captioned.name == "Cached":
        context.progress.add(Counts(rows=step.rows, rows_reused=step.rows))
    context.progress.add(Counts(rejects=done[-1].rejects))
    return tuple(done)


def _draw(
    tasks: Sequence[StepTask],
    run_next: Callable[[StepTask], object],
    done: Sequence[Step],
    context: RunContext,
    near: contextlib.ExitStack,
) -> None:
    """The steps up to `visualize`. `done`: to which `run_next` adds what each step made. `near`: holds images."""
    load, route, extract, normalize, visualize = tasks
    run_next(load)
    run_next(route)
    # Remote images are fetched while the shard before has the processors. One shard at a time is read, and one is
    # drawn, on all threads: the shards before them are captioned meanwhile.
    images = _images_to_read(done[-1], context)
    if context.config.asks_for_regions or any(map(context.images.is_better_brought, images)):
        context.shard_runs.wait_for_others = True
    near.enter_context(context.images.fetched(images, context.threads.fetch))
    context.shard_runs.of(done[-1]).wait_for_images(context.stop)  # those that were begun before there were tasks
    ask_ahead(done[-1], context)  # without a turn: the model answers about many shards at once
    with context.threads.extract_turn:
        run_next(extract)
    with context.threads.draw_turn:
        run_next(normalize)
        run_next(visualize)


@contextlib.contextmanager
def drawn_rows(shard: Shard, context: RunContext) -> Iterator[list[Row]]:
    """The rows of a shard as `visualize` leaves them, made or cached, without any caption requested; their images are
    at hand until the block ends. Raises StepDamaged when a step's file is, again and again."""
    step = keep_input(shard, context)
    with (
        context.shard_runs.open(step.shard, ShardRun(partial(prerender, context=context))),
        contextlib.ExitStack() as near,
    ):
        for _ in range(ATTEMPTS - 1):
            try:
                rows = context.storage.read(_drawn(step, context, near))
                break
            except StepDamaged as damaged:
                logger.warning("%s", damaged)
        else:
            rows = context.storage.read(_drawn(step, context, near))
        yield rows


def _drawn(step: Step, context: RunContext, near: contextlib.ExitStack) -> Step:
    done = [step]

    def run_next(step_task: StepTask) -> None:
        done.append(step_task(done[-1], context.config).result())

    _draw([do.fn for do in STEP_TASKS[:-1]], run_next, done, context, near)
    return done[-1]


@lazy_task("shard", "shard {step.shard:05d}")
def caption_shard(step: Step, config: RegionCapConfig, as_task_runs: bool = True, run: str = "") -> State[ShardSteps]:
    """All six steps of one shard, each a task run of its own if `as_task_runs`; finished ones are reused.

    `run`: names the run in a process other than the flow's; see `regioncap.run.runs.Runs.enter`.
    """
    from prefect.states import Completed  # late, as in `lazy_task`

    from regioncap.tasks.run_log import forward_logs_to_prefect

    with RUNS.enter(run), forward_logs_to_prefect() if run else contextlib.nullcontext():
        if run:  # another process, which had begun the shard, may be dead
            RUNS.context(config).recovered = False
        steps = run_steps(step, config, as_task_runs)
    message = f"shard {step.shard:05d}: {steps[-1].rows} rows, {steps[-1].rejects} rejects"
    return Completed(message=message, data=steps)


@lazy_task("reuse", "reuse {shards} shards")
def reuse(shards: int, rows: int) -> State[int]:
    """Shows in the run that shards were taken from the cache: one task run for all of them, instead of seven each."""
    from prefect.states import Completed

    from_cache = "1 shard" if shards == 1 else f"{shards:,} shards"
    return Completed(name="Cached", message=f"from the cache: {from_cache} with {rows:,} rows", data=rows)
