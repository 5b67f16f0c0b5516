"""Packed files of requests are submitted as batches: each once, whenever the run is killed.

In this order: the record, with the requests (the intent); the file is uploaded; its id goes on record; that the batch
is being created goes on record; it is created, with our id; its id goes on record.
"""

from __future__ import annotations

import logging
import time

from regioncap.captioners.batch_api import Batch, Busy, CallRefused, NoList, NoRoom, Unclear
from regioncap.captioners.batch_file import RequestFile
from regioncap.config.checks import absolute
from regioncap.errors import CaptionerError, Stopped
from regioncap.storage.batch_records import BatchRecord
from regioncap.tasks.batch_desk import BatchDesk
from regioncap.tasks.batch_packing import Packing

LIST_SECONDS = 120.0
"""After a batch was created, its provider's list may not have it for so long."""

LOOK_SECONDS = 2.0
"""Between two looks at the list, and at first between two tries at a provider that is busy."""

MAX_BUSY_SECONDS = 60.0
"""Between two such tries, where the provider does not ask for more."""

NO_LIST = (
    "{url}: a run was killed while batch {id} was created, and this provider has no list of batches that would tell "
    "whether it was. See in its console whether there is one of file {file}: `regioncap batches RUN --adopt "
    "{id}=BATCH` takes it over, `--adopt {id}=none` has it created again"
)

logger = logging.getLogger("regioncap")


class Submission(Packing):
    """Packs what rows lack into files, and submits them; see `Packing`."""

    def __init__(self, desk: BatchDesk, leave: set[str]) -> None:
        super().__init__(desk, leave)
        self._desk = desk

    def new_record(self) -> BatchRecord:
        """See `Packing`."""
        desk, config = self._desk, self._desk.context.config
        return BatchRecord.new(
            desk.context.claims.holder.token, config.endpoint[0], desk.endpoint.url, desk.captioner.model,
            desk.endpoint.form, absolute(config.output),
        )  # fmt: skip

    def deliver(self, record: BatchRecord, file: RequestFile) -> None:
        """Upload the file and create its batch."""
        try:
            uploaded = self._desk.do(self._desk.api.upload, file.path, name_of(record))
        except CallRefused:
            self._desk.records.remove(record)
            raise
        file.remove()
        create(self._desk, self._desk.records.write(record.changed(file=uploaded)))


def name_of(record: BatchRecord) -> str:
    """What a batch's request file is called at the provider."""
    return f"regioncap-{record.id}.jsonl"


def create(desk: BatchDesk, record: BatchRecord) -> BatchRecord:
    """Create the batch of an uploaded file, or find it if that was done. The record has no batch where the provider has
    no room for it now: ask again later. Raises CaptionerError, Stopped, StorageError."""
    until, pause = time.monotonic() + desk.context.config.server_patience, LOOK_SECONDS
    while True:
        found = _found(desk, record) if record.creating_at is not None else None
        if found is None:
            record = desk.records.write(record.changed(creating_at=time.time()))
            try:
                found = desk.do(desk.api.create, record.file, record.id)
            except CallRefused:  # with other settings it may be packed otherwise
                desk.discard(record.file)
                desk.records.remove(record)
                raise
            except NoRoom:
                return desk.records.write(record.changed(creating_at=None))
            except Busy as busy:
                record = desk.records.write(record.changed(creating_at=None))
                _check_patience(desk, busy, until)
                if desk.context.stop.wait(max(pause, busy.after or 0.0)):
                    raise Stopped from None
                pause = min(MAX_BUSY_SECONDS, 2 * pause)
                continue
            except Unclear as unclear:
                _check_patience(desk, unclear, until)
                continue
        size = f"{record.requests:,} requests, {record.bytes / 1e6:,.1f} MB"
        logger.info("batch %s submitted: %s", found.id, size)
        return desk.records.write(record.changed(batch=found.id))


def _check_patience(desk: BatchDesk, error: Busy | Unclear, until: float) -> None:
    """Raises CaptionerError when the provider could create no batch for too long, or asks to wait for longer."""
    after = error.after if isinstance(error, Busy) and error.after else 0.0
    if time.monotonic() + after > until:
        asks = f"; it asks to wait {after:.0f} s" if after else ""
        raise CaptionerError(
            f"{desk.endpoint.url}: cannot create a batch: {error}{asks}. Its requests are uploaded; rerun later, and "
            "it goes on."
        ) from None


def _found(desk: BatchDesk, record: BatchRecord) -> Batch | None:
    """The batch that we may have created; None when there surely is none: the list had time to have it."""
    since = record.creating_at or 0.0
    # By both clocks: that of the day may have been set back since.
    until = time.monotonic() + LIST_SECONDS
    while True:
        try:
            found = desk.do(desk.api.find, record.file, record.id, since)
        except NoList:
            raise CaptionerError(NO_LIST.format(url=desk.endpoint.url, id=record.id, file=record.file)) from None
        if found is not None or time.time() - since > LIST_SECONDS or time.monotonic() > until:
            return found
        if desk.context.stop.wait(LOOK_SECONDS):
            raise Stopped


def is_to_be_packed_again(desk: BatchDesk, record: BatchRecord) -> bool:
    """Whether what an earlier run left is not submitted as it is: its file was not uploaded, or surely no batch was
    created of it, and files are to be smaller now. Then it is dropped."""
    config = desk.context.config
    if record.file and (record.batch or record.creating_at is not None):
        return False
    too_large = record.requests > config.batch_max_requests or record.bytes > config.batch_max_bytes
    if record.file and not too_large:
        return False
    if record.file:
        desk.discard(record.file)
    desk.records.remove(record)
    return True
