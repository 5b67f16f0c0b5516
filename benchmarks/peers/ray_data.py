"""Ray Data: `flat_map` for the pixels, an async actor for the requests, its checkpoints (beta) for what was done.

Blocks of a few rows let the first pictures be asked about while others are drawn. One actor has all requests under way:
several blocks at once, the rows of each as tasks of its event loop, and one semaphore over all. By default an async
actor has 4 batches under way and one block at a time. It asks for no processor: with two, a started-again run needs
them both (one to read, one for the filter of what was done), and waits for ever if the actor has a tenth of one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import job

# Ray reads it when it is imported; the actor's process has it from here.
os.environ["RAY_DATA_DEFAULT_ASYNC_BATCH_UDF_MAX_CONCURRENCY"] = str(job.IN_FLIGHT)

import ray
from openai import AsyncOpenAI
from ray.data.checkpoint import CheckpointConfig

BLOCK = 16
BLOCKS_AT_ONCE = 6


def draw(row: dict[str, Any], folder: str) -> list[dict[str, Any]]:
    """The row with its marked picture and question, or nothing where there is no region."""
    found = job.draw(f"{folder}/{row['image']}", row["bbox"])
    return [] if found is None else [{"n": row["n"], "jpeg": found[0], "question": found[1]}]


class Ask:
    """Asks for a batch of one row."""

    def __init__(self, url: str) -> None:
        self.client = AsyncOpenAI(base_url=url, api_key="none")
        self.limit = asyncio.Semaphore(job.IN_FLIGHT)

    async def __call__(self, batch: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The answer."""
        async with self.limit:
            reply = await self.client.chat.completions.create(
                model=job.MODEL, messages=job.messages(batch["jpeg"][0], batch["question"][0]), **job.SAMPLING
            )
        yield {"n": batch["n"], "answer": [reply.choices[0].message.content]}


if __name__ == "__main__":
    listing, folder, url = job.arguments()
    ray.init(include_dashboard=False, log_to_driver=False)
    begun = job.now()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.checkpoint_config = CheckpointConfig("n", str(folder / "checkpoint"))
    actors = ray.data.ActorPoolStrategy(
        size=1, max_tasks_in_flight_per_actor=2 * BLOCKS_AT_ONCE, max_concurrent_calls_per_actor=BLOCKS_AT_ONCE
    )
    rows = ray.data.read_json(listing).repartition(target_num_rows_per_block=BLOCK)
    drawn = rows.flat_map(draw, fn_args=(str(Path(listing).parent),))
    answers = drawn.map_batches(Ask, fn_constructor_args=(url,), batch_size=1, compute=actors, num_cpus=0)
    answers.write_json(str(folder / "out"))
    job.say(begun=begun, ended=job.now())
    ray.shutdown()
