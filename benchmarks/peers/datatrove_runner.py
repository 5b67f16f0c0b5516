"""datatrove: its inference runner against an endpoint, with its checkpoints; pixels in threads of the rollout.

Twice as many documents under way as requests, so that pictures are drawn ahead of the requests.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import job
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.inference.types import GenerateFunction
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from loguru import logger


async def caption(document: Document, generate: GenerateFunction, folder: Path, pool: ThreadPoolExecutor) -> str | None:
    """One document: its picture drawn, and the answer about it; None where there is no region."""
    loop = asyncio.get_running_loop()
    image = str(folder / document.text)
    found = await loop.run_in_executor(pool, job.draw, image, document.metadata.get("bbox"))
    if found is None:
        return None
    body: dict[str, Any] = {"messages": await loop.run_in_executor(pool, job.messages, *found), **job.SAMPLING}
    return (await generate(body)).text


@contextmanager
def shared(folder: Path) -> Iterator[dict[str, Any]]:
    """What all documents are given: where the pictures are, and threads."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield {"folder": folder, "pool": pool}


def row_of(self: Any, document: Document) -> dict[str, Any]:
    """What is written of a document."""
    return {"n": document.metadata["n"], "answer": document.metadata["rollout_results"][0]}


if __name__ == "__main__":
    listing, folder, url = job.arguments()
    logger.disable("datatrove")
    begun = job.now()
    source = Path(listing)
    reader = JsonlReader(str(source.parent), glob_pattern=source.name, text_key="image", compression=None)
    config = InferenceConfig(
        server_type="endpoint",
        endpoint_url=url.removesuffix("/v1"),
        model_name_or_path=job.MODEL,
        max_concurrent_generations=job.IN_FLIGHT,
        max_concurrent_documents=2 * job.IN_FLIGHT,
    )
    runner = InferenceRunner(
        caption,
        config,
        JsonlWriter(str(folder / "out"), "${rank}_${chunk_index}.jsonl", compression=None, adapter=row_of),
        shared_context=partial(shared, source.parent),
        checkpoints_local_dir=str(folder / "checkpoints"),
    )
    LocalPipelineExecutor([reader, runner], logging_dir=str(folder / "logs"), skip_completed=True).run()
    job.say(begun=begun, ended=job.now())
