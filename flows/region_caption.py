"""The flow: look, submit, write.

Every shard of the input is looked at first; one that was done before is taken as it is, the others are submitted,
a few at a time, and when all are done the output is written.
"""

from __future__ import annotations

from prefect import flow

from tasks.config import RegionCapConfig
from tasks.shard import ATTEMPTS, caption_shard, keep_input, looked, reuse
from tasks.storage.steps import StepDamaged
from tasks.summary import Summary
from tasks.window import RUNNER, Window, running
from tasks.write import write


@flow(name="region-caption", task_runner=RUNNER)
def region_caption(config: RegionCapConfig) -> Summary:
    """Images in, one caption for every region out.

    Raises UsageError for a wrong input, and RunStopped (InputDamaged, StorageError, CaptionerError, RowsFailAlike, …)
    when the run cannot go on: an earlier output is left as it was, and the same call goes on from there.
    """
    with running(config) as context:
        config, damages = context.config, 0
        while True:
            window = Window(context)
            for shard, steps in looked(context):
                if steps is not None:
                    window.reuse(steps)
                else:
                    window.wait_for_room()
                    window.add(shard, caption_shard.submit(keep_input(shard, context), config))
            done = window.wait_for_all()
            if window.reused_shards:
                reuse(window.reused_shards, window.reused_rows)
            context.end_captioner()
            try:
                return write(done, config)
            except StepDamaged:
                # The step is forgotten now, so the next look finds its shard not done.
                damages += 1
                if damages == ATTEMPTS:
                    raise
