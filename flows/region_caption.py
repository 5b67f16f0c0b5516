"""The flow: check the cache, submit, write.

Shards that are in the cache are reused, the others are submitted, a few at a time; when all are done, a sample of their
rows is audited if that is wanted, and the output is written.
"""

from __future__ import annotations

from regioncap.config.model import RegionCapConfig
from regioncap.flows.audited import audited
from regioncap.flows.end_states import ends_in_words
from regioncap.flows.parameters import FLOW_NAME, checked
from regioncap.flows.run_name import run_name
from regioncap.flows.running import running
from regioncap.flows.self_contained import self_contained_flow
from regioncap.output.summary import Summary
from regioncap.records import Shard
from regioncap.storage.steps import StepDamaged
from regioncap.tasks.batches import caption_in_batches, say_what_waits
from regioncap.tasks.request_files import caption_by_files
from regioncap.tasks.run_page import show
from regioncap.tasks.scheduling import RUNNER, ShardWindow
from regioncap.tasks.shard import ATTEMPTS, cached_or_shards, keep_input, reuse
from regioncap.tasks.write import write


@self_contained_flow(name=FLOW_NAME, flow_run_name=run_name, task_runner=RUNNER, validate_parameters=False)
@ends_in_words
@checked
def region_caption(config: RegionCapConfig) -> Summary:
    """Images in, one caption for every region out.

    Raises UsageError for a wrong input, and RunStopped (InputDamaged, StorageError, CaptionerError, RowsFailAlike, …)
    when the run cannot continue: an earlier output is left as it was, and the same call resumes the run.
    """
    with running(config) as (context, workers):
        if context.config.delivery == "batch":
            caption_in_batches(context)  # the rest finds their answers in the cache
        elif context.config.delivery == "file":
            caption_by_files(context)
        else:
            say_what_waits(context)
        for attempt in range(1, ATTEMPTS + 1):
            window = ShardWindow(context, workers.processes)
            for found in cached_or_shards(context):
                if isinstance(found, Shard):
                    window.wait_for_room()
                    window.add(found, workers.submit(keep_input(found, context)))
                else:
                    window.reuse(found)
            done = window.wait_for_all()
            if window.reused_shards:
                reuse(window.reused_shards, window.reused_rows)
            try:
                audit = audited(done, context, workers)
                workers.close_captioners()
                return show(write(done, context.config, window.parts, audit), done, context)
            except StepDamaged:
                # The step is no longer in the cache, so the next attempt does its shard again.
                if attempt == ATTEMPTS:
                    raise
    raise AssertionError("unreachable")
