"""How a batch is worked off: its statuses one after another, and its output and error files."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, BinaryIO

import orjson

from regioncap.captioners.fake.batch_behaviour import BatchBehaviour
from regioncap.captioners.fake.batch_input import Input, error, read_input
from regioncap.captioners.fake.batch_lines import LineAnswers, Result, digest_of_body, undone
from regioncap.captioners.fake.batches import LIVE, Batch
from regioncap.captioners.fake.behaviour import Behaviour
from regioncap.captioners.fake.files import FileStore, FileWriter
from regioncap.captioners.fake.stats import Stats

LOOK = 0.01
"""Seconds between two looks at whether an event is set or a batch cancelled."""


class BatchWork:
    """Works batches off. `behaviour`: gives how, now. `batches`: all of them, by id, oldest first."""

    def __init__(self, behaviour: Callable[[], Behaviour], stats: Stats, files: FileStore, lines: LineAnswers) -> None:
        self.batches: dict[str, Batch] = {}
        self._behaviour = behaviour
        self._stats = stats
        self._files = files
        self._lines = lines
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, batch: Batch) -> None:
        """Take a batch on."""
        batch.number = len(self.batches)
        self.batches[batch.id] = batch
        self._stats.batches.batches += 1
        # Opened now: the file may be deleted before its turn comes.
        task = asyncio.create_task(self._work(batch, batch.file.path.open("rb")))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self, batch: Batch) -> None:
        """End a batch; it is cancelled a little later."""
        if batch.status != "cancelling":
            batch.become("cancelling")
            self._stats.batches.cancelled += 1

    @property
    def _batch_behaviour(self) -> BatchBehaviour:
        return self._behaviour().batch

    async def _work(self, batch: Batch, source: BinaryIO) -> None:
        with source:
            found = await self._validated(batch, source)
            if found is None:
                return
            behaviour = self._batch_behaviour
            troubled = behaviour.troubled is None or batch.number < behaviour.troubled
            if batch.status == "validating":
                batch.become("in_progress")
                await self._stay(batch, "in_progress", behaviour.delay if troubled else 0.0)
            output = self._files.writer(f"{batch.id}_output.jsonl", "batch_output")
            errors = self._files.writer(f"{batch.id}_error.jsonl", "batch_output")
            await self._answer_all(batch, source, found, output, errors, troubled=troubled)
        await self._finish(batch, output, errors, expired=troubled and self._batch_behaviour.expires)

    async def _validated(self, batch: Batch, source: BinaryIO) -> Input | None:
        """What the batch's file has; None if it is no batch: it has failed."""
        await self._stay(batch, "validating")
        behaviour, limit = self._batch_behaviour, self._batch_behaviour.enqueued_tokens
        found = await asyncio.get_running_loop().run_in_executor(
            None,
            lambda: read_input(
                source,
                batch.endpoint,
                one_custom_id=behaviour.one_custom_id,
                count_tokens=limit is not None,
            ),
        )
        batch.model = found.model
        others = sum(each.tokens for each in self.batches.values() if each.status in LIVE)
        if limit is not None and not found.errors and others + found.tokens > limit:
            message = (
                f"Enqueued token limit reached for {found.model} in organization org-fake. Limit: {limit:,} enqueued "
                "tokens. Please try again once some in_progress batches have been completed."
            )
            found.errors.append(error("token_limit_exceeded", message))
        if found.errors:
            batch.errors = found.errors
            batch.become("failed")
            return None
        batch.total, batch.tokens = len(found.offsets), found.tokens
        return found

    async def _stay(self, batch: Batch, status: str, seconds: float = 0.0) -> None:
        """Wait while the batch is to have this status; if it gets another one, no longer."""
        end = time.monotonic() + seconds
        while batch.status == status:
            event = self._batch_behaviour.until.get(status)
            left = end - time.monotonic()
            if left <= 0 and (event is None or event.is_set()):
                return
            await asyncio.sleep(min(LOOK, left) if left > 0 else LOOK)

    async def _answer_all(
        self, batch: Batch, source: BinaryIO, found: Input, output: FileWriter, errors: FileWriter, *, troubled: bool
    ) -> None:
        behaviour = self._batch_behaviour
        offsets, rng = found.offsets, random.Random(f"{self._behaviour().seed} {batch.number}")
        if troubled and behaviour.shuffled:
            rng.shuffle(offsets)
        share = round(len(offsets) * behaviour.done)
        most = share if troubled and behaviour.expires else len(offsets)
        for number, offset in enumerate(offsets):
            source.seek(offset)
            line: dict[str, Any] = orjson.loads(source.readline())
            self._stats.batches.submitted[line["custom_id"]] += 1
            self._stats.batches.submitted_bodies[digest_of_body(line["body"])] += 1
            if batch.status == "cancelling" and number >= share:
                result = undone(line["custom_id"], "batch_cancelled")
            elif number >= most:
                result = undone(line["custom_id"], "batch_expired")
            else:
                result = await self._lines.answer(line["custom_id"], line["body"], self._behaviour(), fails=troubled)
            self._record(batch, result)
            again = result.good and troubled and rng.random() < behaviour.twice
            for _ in range(2 if again else 1):
                (output if result.good else errors).write(result.line)
            if number % 100 == 0:
                await asyncio.sleep(0)  # Lines that are not answered wait for nothing: let others have their turn.

    def _record(self, batch: Batch, result: Result) -> None:
        batch.input_tokens += result.prompt_tokens
        batch.output_tokens += result.completion_tokens
        if result.good:
            batch.completed += 1
        else:
            batch.failed += 1
            self._stats.batches.failed[result.status] += 1

    async def _finish(self, batch: Batch, output: FileWriter, errors: FileWriter, *, expired: bool) -> None:
        if batch.status != "cancelling":
            batch.become("finalizing")
            await self._stay(batch, "finalizing")
        await self._stay(batch, "cancelling")
        for writer, name in ((output, "output_file_id"), (errors, "error_file_id")):
            if writer.file.size:
                setattr(batch, name, self._files.add(writer).id)
            else:
                writer.discard()
        cancelled = batch.status == "cancelling"
        batch.become("cancelled" if cancelled else "expired" if expired else "completed")
