"""One shard through its six steps: looked at by the flow, done by one task run that calls the steps' own."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

from prefect import State, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from regioncap.config.model import RegionCapConfig
from regioncap.output.join import ShardSteps
from regioncap.records import Shard, Step
from regioncap.run.context import RunContext, context_of, in_run
from regioncap.storage.steps import StepDamaged
from regioncap.tasks.answers import AskedAhead
from regioncap.tasks.caption import CAPTION, caption
from regioncap.tasks.extract import EXTRACT, extract
from regioncap.tasks.load import LOAD, load, pack
from regioncap.tasks.normalize import NORMALIZE, normalize
from regioncap.tasks.route import ROUTE, route
from regioncap.tasks.run_log import heard
from regioncap.tasks.step import StepSpec, find_done
from regioncap.tasks.visualize import VISUALIZE, visualize

STEPS: tuple[StepSpec, ...] = (LOAD, ROUTE, EXTRACT, NORMALIZE, VISUALIZE, CAPTION)
STEP_TASKS = (load, route, extract, normalize, visualize, caption)
PIXEL_STEPS = (EXTRACT, NORMALIZE, VISUALIZE)
LOOKS_AT_ONCE = 16
ATTEMPTS = 3
"""How often a shard begins again when one of its files turns out to be damaged. A disk that damages what was just
written is not cured by more."""

logger = logging.getLogger("regioncap")


def input_step(shard: Shard) -> Step:
    """The reference to a shard's rows as step 0, whether they are kept yet or not."""
    sha256 = hashlib.sha256(pack(shard)).hexdigest()
    return Step(0, shard.index, sha256[:32], sha256, len(shard.lines), 0)


def keep_input(shard: Shard, context: RunContext) -> Step:
    """Keep a shard's rows as step 0, for its tasks to read."""
    return context.storage.put_input(pack(shard), shard.index, len(shard.lines))


def look(shard: Shard, context: RunContext) -> ShardSteps | None:
    """The steps of a shard that is wholly done; None when any of them must run. Runs nothing."""
    context.progress.read(len(shard.lines), shard.share)
    found = context.found_done.pop(input_step(shard).key, None)
    if found is not None and found[0].shard == shard.index:
        return found
    return find_steps(shard, context, STEPS)


def looked(context: RunContext) -> Iterator[tuple[Shard, ShardSteps | None]]:
    """The input's shards in order, each with what `look` finds: in an object store several are looked at at once."""
    if context.cache.is_local:
        for shard in context.shards():
            yield shard, look(shard, context)
        return
    ahead: deque[tuple[Shard, Future[ShardSteps | None]]] = deque()
    # Not the pool for files: a look waits for that one.
    with ThreadPoolExecutor(LOOKS_AT_ONCE, thread_name_prefix="look") as pool, closing(context.shards()) as shards:
        for shard in shards:
            ahead.append((shard, pool.submit(look, shard, context)))
            if len(ahead) >= LOOKS_AT_ONCE:
                first, found = ahead.popleft()
                yield first, found.result()
        for shard, found in ahead:
            yield shard, found.result()


def find_steps(shard: Shard, context: RunContext, specs: Sequence[StepSpec]) -> ShardSteps | None:
    """The shard's input and what the steps `specs`, from the first on, made of it, if all of that is done."""
    steps = [input_step(shard)]
    try:
        for spec in specs:
            done = find_done(spec, context, steps[-1])
            if done is None:
                return None
            steps.append(done.reference(shard.index))
    except StepDamaged:
        return None
    return tuple(steps)


def _images_to_read(step: Step, context: RunContext) -> list[str]:
    """The images that the steps after `route` will read; none when those are done."""
    at = step
    for spec in PIXEL_STEPS:
        done = find_done(spec, context, at)
        if done is None:
            return [row["image"] for row in context.storage.read(step) if "reject" not in row]
        at = done.reference(step.shard)
    return []


StepTask = Callable[[Step, RegionCapConfig], State[Step]]


def six_steps(step: Step, config: RegionCapConfig, apart: bool) -> ShardSteps:
    context = context_of(config)
    ahead = AskedAhead.of(context)
    begun: list[Step] = [step]

    def then(do: StepTask) -> State[Step]:
        state = do(begun[-1], config)
        begun.append(state.result())
        return state

    load, route, extract, normalize, visualize, caption = [do if apart else do.fn for do in STEP_TASKS]
    then(load)
    then(route)
    # Remote images are brought near while the shard before has the processors. One shard's pixels at a time, on all
    # threads: the shards before it are captioned meanwhile.
    with context.images.fetched(_images_to_read(begun[-1], context), context.io_pool), context.pixels:
        then(extract)
        then(normalize)
        then(visualize)
        context.ahead.clear()
        drawn = begun[-1]
        ahead.keep(drawn.key)
    captioned = then(caption)
    ahead.take(drawn.key)
    if captioned.name == "Cached":
        context.progress.add(rows=step.rows)
    context.progress.add(rejects=begun[-1].rejects)
    return tuple(begun)


@task(name="shard", task_run_name="shard {step.shard:05d}", cache_policy=NO_CACHE)
def caption_shard(step: Step, config: RegionCapConfig, apart: bool = True, run: str = "") -> State[ShardSteps]:
    """All six steps of one shard, each a task run of its own if `apart`; finished ones are reused.

    `run`: names the run in a process other than the flow's; see `regioncap.run.context.in_run`.
    """
    with in_run(run), heard if run else contextlib.nullcontext():
        for attempt in range(1, ATTEMPTS + 1):
            try:
                steps = six_steps(step, config, apart)
                message = f"shard {step.shard:05d}: {steps[-1].rows} rows, {steps[-1].rejects} rejects"
                return Completed(message=message, data=steps)
            except StepDamaged as damaged:
                if attempt == ATTEMPTS:
                    raise
                logger.warning("%s", damaged)
    raise AssertionError("unreachable")


@task(name="reuse", task_run_name="reuse {shards} shards", cache_policy=NO_CACHE)
def reuse(shards: int, rows: int) -> State[int]:
    """A mark in the run for all shards that were found done: one task run together instead of six each."""
    return Completed(name="Cached", message=f"{shards} shards with {rows} rows were done before", data=rows)
