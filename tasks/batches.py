"""Captions by a provider's batches: what the rows lack is submitted, waited for and stored, before the ordinary
captioning, which finds it in the cache.

What an earlier run submitted is collected by the next one that has the same endpoint.
"""

from __future__ import annotations

import logging
import time
from functools import partial

from regioncap.captioners.batch_api import VALIDATING, Batch
from regioncap.errors import BudgetReached, CaptionerError, Stopped, Waiting
from regioncap.run.context import RunContext
from regioncap.storage.batch_records import BatchRecord
from regioncap.tasks.batch_desk import BatchDesk, open_desk
from regioncap.tasks.batch_results import collect, finish
from regioncap.tasks.batch_submit import Submission, create, is_to_be_packed_again
from regioncap.tasks.recovery import recover
from regioncap.tasks.shard import drawn_rows, iter_cached_steps

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 60.0
"""Between two looks at the batches: they take minutes at least."""

PAUSE_GROWTH = 1.5

GONE = (
    "{url} has no batch {batch} (404), in which {requests:,} requests were submitted. If the key is one of another "
    "account or project, set the right one and rerun. If the batch was deleted there, `regioncap batches {output} "
    "--adopt {id}=none` gives it up; then its rows are requested again"
)
NO_ROOM = (
    "the provider has no room for the tokens of %s requests, and none of this run's batches is on its way, which would "
    "make room. It is tried again; but if nothing else runs there either, a batch is larger than your limit of "
    "enqueued tokens: end this run, and rerun it with batch_max_requests below %s"
)

logger = logging.getLogger("regioncap")


def caption_in_batches(context: RunContext) -> None:
    """Have what the rows lack answered by batches, as far as it is; the cache has the answers then.

    Raises Waiting when `batch_wait` is over, and what a run raises: then what was submitted goes on.
    """
    began = time.monotonic()
    context.claims.join(partial(recover, context, again=True))
    recover(context)
    if _nothing_to_do(context):
        return  # so that no server need be there
    if context.config.asks_for_regions:
        _find_regions(context)
    with open_desk(context) as desk:
        _Batches(desk, began).run()
    context.progress.waiting_for = None
    # Its limits are those of the whole run, of which batches have used some: another is made with what is left.
    context.close_captioner()


def _nothing_to_do(context: RunContext) -> bool:
    """Whether nothing is submitted, and all rows are done."""
    if context.batch_records.ids():
        return False
    return all(steps is not None for _, steps in iter_cached_steps(context.shards(), context))


def _find_regions(context: RunContext) -> None:
    """Have a model asked for all regions, online: before there are any, nothing can be submitted. Raises what a run
    raises."""
    share = 0.0
    for shard, steps in iter_cached_steps(context.shards(), context):
        if steps is None:
            with drawn_rows(shard, context):
                pass
        share += shard.share
        asked = f"{context.progress.counts.regions_asked:,} pictures asked for their regions"
        context.progress.waiting_for = (min(99.0, 100 * share), asked)


def say_what_waits(context: RunContext) -> None:
    """Say that answers may be waited for that only a run with their delivery collects. Raises StorageError."""
    if context.config.captioner_name != "pixels" and (waiting := len(context.batch_records.ids())):
        logger.warning(
            "%d batches or files of requests of earlier runs on this cache are not collected: what is in them is not "
            "requested again but waited for. A run with their delivery collects them; `regioncap batches OUTPUT` lists "
            "them",
            waiting,
        )


class _Batches:
    """The batches that this run tends, and those of others that it waits for. `began`: when, by the monotonic clock."""

    def __init__(self, desk: BatchDesk, began: float) -> None:
        self._desk = desk
        self._context = desk.context
        self._began = began
        self._pending: dict[str, BatchRecord] = {}
        self._elsewhere: set[str] = set()
        """Batches of other runs that have answers which this one needs."""
        self._leave: set[str] = set()
        """Keys of answers that batches failed: the ordinary captioning asks for them."""
        self._no_room: set[str] = set()
        """Of those pending, the ones that the provider had no room for when they were last submitted."""
        self._said_no_room = False
        self._dropped = False
        """Whether what was packed is to be packed again, in smaller files."""
        self._over = 0
        self._answers = 0
        """Those of the batches that are over."""

    def run(self) -> None:
        """See `caption_in_batches`."""
        try:
            self._take_over()
            self._look()
            repairs, self._dropped = 0, False
            while repairs <= self._context.config.max_repairs:
                submission, over = Submission(self._desk, self._leave), self._over
                try:
                    submission.pack_missing()
                finally:
                    self._add_ours()
                self._elsewhere |= (submission.elsewhere & set(self._desk.records.ids())) - self._pending.keys()
                self._wait()
                if submission.limits.reached:
                    raise BudgetReached(f"{submission.limits.reached}. A rerun resumes, and may use as much again.")
                if self._dropped:
                    self._dropped = False
                    continue
                # What was collected meanwhile, of an earlier run, too, may lack answers.
                if self._context.config.rest_online or not (submission.delivered or self._over > over):
                    break
                repairs += 1
        except Waiting:
            raise
        except BaseException:
            if self._pending:
                logger.warning(
                    "%d batches go on at the provider without this run: rerun, and they are collected, or end them "
                    "with `regioncap batches %s --cancel`", len(self._pending), self._context.output.url,
                )  # fmt: skip
            raise

    def _take_over(self) -> None:
        """Tend what dead runs with this endpoint left."""
        desk, holder, living = self._desk, self._context.claims.holder, self._context.claims.living()
        taken_over = requests = 0
        for record in desk.records.all():
            if record.endpoint != self._context.config.endpoint[0] or record.id in self._pending:
                continue
            taken = desk.records.take_over(record, holder, living)
            if taken is None:
                continue
            if taken.to_delete is not None:
                finish(desk, taken)
            elif not is_to_be_packed_again(desk, taken):
                self._pending[taken.id] = taken
                taken_over += 1
                requests += taken.requests
        if taken_over:
            logger.info("batches of earlier runs: %s, with %s requests", f"{taken_over:,}", f"{requests:,}")

    def _add_ours(self) -> None:
        token = self._context.claims.holder.token
        for record in self._desk.records.all():
            if record.run == token and record.file:
                self._pending[record.id] = record
                if not record.batch:
                    self._no_room.add(record.id)

    # --- waiting

    def _wait(self) -> None:
        """Returns when all batches are collected. Raises Waiting, Stopped."""
        pause, patience = FIRST_PAUSE_SECONDS, self._context.config.batch_wait
        while True:
            self._look()
            if not (self._pending or self._elsewhere):
                return
            left = float("inf") if patience is None else patience - (time.monotonic() - self._began)
            if left <= 0:
                raise Waiting(self._in_words())
            if self._context.stop.wait(min(pause, left)):
                raise Stopped
            pause = min(MAX_PAUSE_SECONDS, pause * PAUSE_GROWTH)

    def _look(self) -> None:
        """Look at each batch once; collect those that are over, create those that are not yet, and show how far the
        others are."""
        gone: list[BatchRecord] = []
        over = self._over
        waiting = [record for record in self._pending.values() if not record.batch]
        for record in [record for record in self._pending.values() if record.batch]:
            batch = self._desk.do(self._desk.api.get, record.batch)
            if batch is None:
                gone.append(record)
            elif batch.had_no_room:
                self._wait_for_room(self._desk.records.write(record.changed(batch="", creating_at=None, done=0)))
            elif batch.over:
                self._collect(record, batch)
            elif batch.status != VALIDATING:  # then it may have no room yet
                self._no_room.discard(record.id)
                if batch.done != record.done:
                    self._pending[record.id] = self._desk.records.write(record.changed(done=batch.done))
        if gone:
            raise CaptionerError(_words_for_gone(gone[0], self._desk.endpoint.url))
        self._create(waiting, room=self._over > over)
        self._look_elsewhere()
        self._show()

    def _wait_for_room(self, record: BatchRecord) -> None:
        if is_to_be_packed_again(self._desk, record):
            del self._pending[record.id]
            self._no_room.discard(record.id)
            self._dropped = True
        else:
            self._pending[record.id] = record
            self._no_room.add(record.id)

    def _create(self, waiting: list[BatchRecord], *, room: bool) -> None:
        """Create the batches that are `waiting`; those that there was no room for, if there is `room` now, or one of
        them if nothing else will make it."""
        on_their_way = any(record.batch and record.id not in self._no_room for record in self._pending.values())
        tries = len(waiting) if room else 0 if on_their_way else 1
        for record in waiting:
            if record.id in self._no_room:
                if not tries:
                    continue
                tries -= 1
            created = self._pending[record.id] = create(self._desk, record)
            if not created.batch:
                self._no_room.add(record.id)
                tries = 0
        if self._no_room and not (on_their_way or self._said_no_room):
            self._said_no_room = True
            requests = f"{max(self._pending[each].requests for each in self._no_room):,}"
            logger.warning(NO_ROOM, requests, requests)

    def _collect(self, record: BatchRecord, batch: Batch) -> None:
        found = collect(self._desk, record, batch)
        del self._pending[record.id]
        self._no_room.discard(record.id)
        self._over += 1
        self._answers += record.requests
        if batch.status == "failed" and not found.stored:
            # Asked online, all of it would cost twice as much.
            raise CaptionerError(
                f"{record.endpoint}: batch {batch.id} failed as a whole: {batch.problem or 'no reason is given'}. None "
                "of its requests was answered. Fix this and rerun, or set delivery=online."
            )
        if self._context.config.rest_online:
            self._leave |= found.missing

    def _look_elsewhere(self) -> None:
        """What other runs tend may be collected, or theirs to tend no more."""
        if not self._elsewhere:
            return
        self._elsewhere &= set(self._desk.records.ids())
        tended = len(self._pending)
        self._take_over()
        if len(self._pending) > tended:
            self._elsewhere -= self._pending.keys()

    def _show(self) -> None:
        batches = self._over + len(self._pending)
        if batches:
            total = self._answers + sum(record.requests for record in self._pending.values())
            done = self._answers + sum(record.done for record in self._pending.values())
            before, now = self._context.progress.waiting_for, (min(99.0, 100 * done / max(1, total)), self._in_words())
            self._context.progress.waiting_for = now
            if before is None or before[1] != now[1]:
                logger.info("%s", now[1])

    def _in_words(self) -> str:
        batches = self._over + len(self._pending)
        total = self._answers + sum(record.requests for record in self._pending.values())
        done = self._answers + sum(record.done for record in self._pending.values())
        words = [f"{self._over:,} of {batches:,} batches done, {done:,} of {total:,} answers"]
        if self._no_room:
            words.append(f"{len(self._no_room):,} wait for room at the provider")
        if self._elsewhere:
            words.append(f"{len(self._elsewhere):,} batches of other runs")
        return "; ".join(words)


def _words_for_gone(record: BatchRecord, url: str) -> str:
    return GONE.format(url=url, batch=record.batch, requests=record.requests, output=record.by, id=record.id)
