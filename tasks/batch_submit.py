"""Requests are packed into files and submitted as batches: each once, whenever the run is killed.

In this order: the record, with the requests (the intent); the file is uploaded; its id goes on record; that the batch
is being created goes on record; it is created, with our id; its id goes on record.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from regioncap.captioners.base import CaptionRequest
from regioncap.captioners.batch_api import Batch, CallRefused, NoList, NoRoom, Unclear
from regioncap.captioners.batch_file import RequestFile, request_line
from regioncap.config.checks import absolute
from regioncap.errors import CaptionerError, RowReject, Stopped
from regioncap.records import Row
from regioncap.storage.batch_records import Asked, BatchRecord
from regioncap.tasks.answers import key_of_answer, open_regions, request_of
from regioncap.tasks.batch_desk import BatchDesk
from regioncap.tasks.batch_limits import BatchLimits
from regioncap.tasks.cached_answer import CachedAnswer
from regioncap.tasks.shard import STEPS, drawn_rows, find_cached_steps

LIST_SECONDS = 120.0
"""After a batch was created, its provider's list may not have it for so long."""

LOOK_SECONDS = 2.0
"""Between two looks at the list."""

NO_LIST = (
    "{url}: a run was killed while batch {id} was created, and this provider has no list of batches that would tell "
    "whether it was. See in its console whether there is one of file {file}: `regioncap batches RUN --adopt "
    "{id}=BATCH` takes it over, `--adopt {id}=none` has it created again"
)

logger = logging.getLogger("regioncap")


class Submission:
    """Packs what rows lack into files, and submits them.

    `leave`: keys of answers that no batch is to request. `max_repairs`: an answer that has more replies than this is
    left to the ordinary captioning.
    """

    def __init__(self, desk: BatchDesk, leave: set[str]) -> None:
        self._desk = desk
        self._leave = leave
        self._record: BatchRecord | None = None
        self._file: RequestFile | None = None
        self._keys: set[str] = set()
        """Of the answers in the file."""
        self.limits = BatchLimits(desk.context)
        self.elsewhere: set[str] = set()
        """Who holds claims on answers that are needed here, too."""
        self.submitted = 0

    def submit_missing(self) -> None:
        """Submit what the input's rows lack, as far as nobody requests it. Raises what a run raises."""
        context = self._desk.context
        try:
            for shard in context.shards():
                if context.stop.is_set():
                    raise Stopped
                if find_cached_steps(shard, context, STEPS) is not None:
                    continue
                with drawn_rows(shard, context) as rows:
                    for row in rows:
                        if "reject" not in row and not self.limits.reached:
                            self._add(row)
                if self.limits.reached:
                    break
            self._submit()
        finally:
            if self._file is not None:
                self._file.remove()

    def _add(self, row: Row) -> None:
        """Put what a row lacks into the file, which is submitted first when it is full."""
        try:
            found = self._missing(row)
        except RowReject:
            return  # the ordinary captioning meets it again
        if found is None:
            return
        key, request, order = found
        if key in self._keys:  # another row of this input has the same answer
            return
        chats = self._desk.captioner.session.compose(request, order)
        regions = tuple(range(1, row["valid_bboxes_num"] + 1))
        asked = [
            Asked(
                f"{key}-{order}-{number}", key, regions, chat.wanted, order + number, chat.mode, chat.temperature_offset
            )
            for number, chat in enumerate(chats, start=1)
        ]
        lines = [request_line(each.id, self._desk.endpoint.body(chat)) for each, chat in zip(asked, chats, strict=True)]
        if self._file is not None and not self._file.takes(lines):
            self._submit()
        record, file = self._open()
        if not file.takes(lines):
            logger.warning("%s: too large for a batch; it is requested online", row["image"])
            return
        if not self._desk.records.claim(key, record.holder()):
            self.elsewhere.add(self._desk.records.holder_of(key))
            return
        if not self.limits.take(chats):
            self._desk.records.disclaim(key)
            return
        self._keys.add(key)
        file.add(lines, [each.line() for each in asked])

    def _missing(self, row: Row) -> tuple[str, CaptionRequest, int] | None:
        """(key, request for what is missing, how often it was asked before) of a row that a batch may ask for."""
        context = self._desk.context
        request = request_of(row, context)
        key = key_of_answer(row, context.captioner.prompt(request), context)
        if key in self._leave:
            return None
        cached = CachedAnswer.find(key, request.wanted, context, fresh=True)
        missing = tuple(number for number in open_regions(row, context) if number not in cached.captions)
        if not missing or cached.on_hold(context.config):
            return None
        order = len(cached.replies)
        if order and (context.config.batch_rest == "online" or order > context.config.max_repairs):
            return None
        return key, replace(request, wanted=missing), order

    def _open(self) -> tuple[BatchRecord, RequestFile]:
        """The file that is being packed, and its record: from now on claims in its name hold."""
        if self._record is None or self._file is None:
            desk, config = self._desk, self._desk.context.config
            self._record = desk.records.write(
                BatchRecord.new(
                    desk.context.claims.holder.token, config.endpoint[0], desk.endpoint.url, desk.captioner.model,
                    desk.endpoint.form, absolute(config.output),
                )
            )  # fmt: skip
            self._file = RequestFile(
                desk.folder, self._record.id,
                max_requests=config.batch_max_requests, max_bytes=config.batch_max_bytes,
            )  # fmt: skip
        return self._record, self._file

    def _submit(self) -> None:
        """Submit what is packed, if anything; the file is removed."""
        record, file = self._record, self._file
        if record is None or file is None:
            return
        file.finish()
        if not file.requests:
            self._desk.records.remove(record)
        else:
            with file.asked_path.open("rb") as asked:
                self._desk.records.write_requests(record.id, asked)
            packed = record.changed(packed=True, requests=file.requests, bytes=file.bytes)
            record = self._desk.records.write(packed)
            uploaded = self._desk.do(self._desk.api.upload, file.path, name_of(record))
            file.remove()
            record = self._desk.records.write(record.changed(file=uploaded))
            create(self._desk, record)
            self.submitted += 1
        file.remove()
        self._record = self._file = None
        self._keys = set()


def name_of(record: BatchRecord) -> str:
    """What a batch's request file is called at the provider."""
    return f"regioncap-{record.id}.jsonl"


def create(desk: BatchDesk, record: BatchRecord) -> BatchRecord:
    """Create the batch of an uploaded file, or find it if that was done; a provider that has no room for it now is
    asked again later. Raises CaptionerError, Stopped, StorageError."""
    until = time.monotonic() + desk.context.config.server_patience
    while True:
        found = _found(desk, record) if record.creating_at is not None else None
        if found is None:
            record = desk.records.write(record.changed(creating_at=time.time()))
            try:
                found = desk.do(desk.api.create, record.file, record.id)
            except CallRefused:  # with other settings it may be packed otherwise
                desk.do(desk.api.delete, record.file)
                desk.records.remove(record)
                raise
            except NoRoom:
                return desk.records.write(record.changed(creating_at=None))
            except Unclear as error:
                if time.monotonic() > until:
                    raise CaptionerError(
                        f"{desk.endpoint.url}: cannot create a batch: {error}. Its requests are uploaded; rerun later, "
                        "and it goes on."
                    ) from None
                continue
        logger.info("batch %s submitted: %s requests, %s MB", found.id, f"{record.requests:,}", record.bytes // 10**6)
        return desk.records.write(record.changed(batch=found.id))


def _found(desk: BatchDesk, record: BatchRecord) -> Batch | None:
    """The batch that we may have created; None when there surely is none: the list had time to have it."""
    since = record.creating_at or 0.0
    while True:
        try:
            found = desk.do(desk.api.find, record.file, record.id, since - LIST_SECONDS)
        except NoList:
            raise CaptionerError(NO_LIST.format(url=desk.endpoint.url, id=record.id, file=record.file)) from None
        if found is not None or time.time() - since > LIST_SECONDS:
            return found
        if desk.context.stop.wait(LOOK_SECONDS):
            raise Stopped


def settle(desk: BatchDesk, records: Sequence[BatchRecord]) -> Iterator[BatchRecord]:
    """What an earlier run left, as batches that are submitted. One whose file was not uploaded is dropped: its rows are
    packed again."""
    for record in records:
        if not record.file:
            desk.records.remove(record)
        else:
            yield record if record.batch else create(desk, record)
