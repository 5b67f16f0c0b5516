"""What rows lack is packed into files of requests, each for as many rows as it takes; what then becomes of a file is up
to the way of delivery.

From the first row on a file has a record, in whose name its answers are claimed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from regioncap.captioners.base import CaptionRequest
from regioncap.captioners.batch_file import RequestFile, Wording, request_line
from regioncap.captioners.budget import estimated_tokens
from regioncap.captioners.chat import ChatRequest
from regioncap.captioners.vlm import OpenAICaptioner
from regioncap.errors import RowReject, Stopped
from regioncap.records import Row
from regioncap.row_work import row_work
from regioncap.run.context import RunContext
from regioncap.storage.batch_records import Asked, BatchRecord, BatchRecords
from regioncap.tasks.answers import key_of_answer, open_regions, request_of
from regioncap.tasks.batch_limits import BatchLimits
from regioncap.tasks.cached_answer import CachedAnswer
from regioncap.tasks.shard import drawn_rows, iter_cached_steps

logger = logging.getLogger("regioncap")


@dataclass(frozen=True)
class PackingDesk:
    """What it takes to pack requests and to read their results. `wording`: how they are phrased. `folder`: for request
    and result files on their way, one at a time."""

    context: RunContext
    captioner: OpenAICaptioner
    wording: Wording
    folder: Path

    @property
    def records(self) -> BatchRecords:
        """The records in the run's cache."""
        return self.context.batch_records


class Packing:
    """Packs what rows lack into files. A subclass says what is on record of a new file, and delivers a packed one.

    `leave`: keys of answers that are not to be in a file. `max_repairs`: an answer that has more replies than this is
    left to the ordinary captioning.
    """

    def __init__(self, desk: PackingDesk, leave: set[str]) -> None:
        self._packing = desk
        self._leave = leave
        self._record: BatchRecord | None = None
        self._file: RequestFile | None = None
        self._keys: set[str] = set()
        """Of the answers in the file."""
        self.limits = BatchLimits(desk.context)
        self.elsewhere: set[str] = set()
        """Who holds claims on answers that are needed here, too."""
        self.delivered = 0

    def new_record(self) -> BatchRecord:
        """The record of a file that is about to be packed."""
        raise NotImplementedError

    def deliver(self, record: BatchRecord, file: RequestFile) -> None:
        """A file is packed, and on record with its requests: bring it to whoever answers it. Raises what a run
        raises."""
        raise NotImplementedError

    def pack_missing(self) -> None:
        """Pack and deliver what the input's rows lack, as far as nobody requests it. Raises what a run raises."""
        context = self._packing.context
        try:
            for shard, steps in iter_cached_steps(context.shards(), context):
                if context.stop.is_set():
                    raise Stopped
                if steps is not None:
                    continue
                with drawn_rows(shard, context) as rows:
                    for row in rows:
                        if "reject" not in row and not self.limits.reached:
                            self._add_row(row)
                if self.limits.reached:
                    break
            self._deliver()
        finally:
            if self._file is not None:
                self._file.remove()

    def missing(self, row: Row) -> Iterator[tuple[str, CaptionRequest, int]]:
        """(key, request for what is missing, how often it was asked before) of each answer of a row that a file may
        ask for. Raises RowReject."""
        request = request_of(row, self._packing.context)
        yield from self.missing_of(row, request, open_regions(row, self._packing.context))

    def missing_of(
        self, row: Row, request: CaptionRequest, needed: tuple[int, ...]
    ) -> Iterator[tuple[str, CaptionRequest, int]]:
        """As `missing`, of one answer, of whose regions those are `needed`."""
        context, key = self._packing.context, self.key_of(row, request)
        if key in self._leave:
            return
        cached = CachedAnswer.find(key, request.wanted, context, fresh=True)
        missing = tuple(number for number in needed if number not in cached.captions)
        if not missing or cached.on_hold(context.config):
            return
        order = len(cached.replies)
        if order and (context.config.rest_online or order > context.config.max_repairs):
            return
        yield key, replace(request, wanted=missing), order

    def key_of(self, row: Row, request: CaptionRequest) -> str:
        """The key of a row's answer to `request`. Raises RowReject."""
        context = self._packing.context
        return key_of_answer(row, context.captioner.prompt(request), context, request)

    def _add_row(self, row: Row) -> None:
        compose = self._packing.captioner.session.compose
        try:
            with row_work("caption", row["image"]):
                found = [
                    (key, request, order, compose(request, order))
                    for key, request, order in self.missing(row)
                    if key not in self._keys  # else another row of this input has the same answer
                ]
        except RowReject:
            return  # the ordinary captioning meets it again
        for key, request, order, chats in found:
            self._add(row, key, request, order, chats)

    def _add(self, row: Row, key: str, request: CaptionRequest, order: int, chats: Sequence[ChatRequest]) -> None:
        """Put what an answer lacks into the file, which is delivered first when it is full."""
        desk, config = self._packing, self._packing.context.config
        regions = request.wanted if request.again else tuple(range(1, row["valid_bboxes_num"] + 1))
        asked = [
            Asked(
                f"{key}-{order}-{number}",
                key,
                regions,
                chat.wanted,
                order + number,
                chat.mode,
                chat.temperature_offset,
                repair=order > 0 or request.again,
                tokens=estimated_tokens(chat),
            )
            for number, chat in enumerate(chats, start=1)
        ]
        lines = [request_line(each.id, desk.wording.body(chat)) for each, chat in zip(asked, chats, strict=True)]
        if len(lines) > config.batch_max_requests or sum(map(len, lines)) > config.batch_max_bytes:
            self.too_large(row)
            return
        if self._file is not None and not self._file.takes(lines):
            self._deliver()
        record, file = self._open()
        if not desk.records.claim(key, record.holder()):
            self.elsewhere.add(desk.records.holder_of(key))
            return
        if not self.limits.take(chats):
            desk.records.disclaim(key)
            return
        self._keys.add(key)
        file.add(lines, [each.line() for each in asked])

    def too_large(self, row: Row) -> None:
        """A row's requests are larger than any file may be."""
        logger.warning("%s: too large for a batch; it is requested online", row["image"])

    def _open(self) -> tuple[BatchRecord, RequestFile]:
        """The file that is being packed, and its record: from now on claims in its name hold."""
        if self._record is None or self._file is None:
            desk, config = self._packing, self._packing.context.config
            self._record = desk.records.write(self.new_record())
            self._file = RequestFile(
                desk.folder, self._record.id,
                max_requests=config.batch_max_requests, max_bytes=config.batch_max_bytes,
            )  # fmt: skip
        return self._record, self._file

    def _deliver(self) -> None:
        """Deliver what is packed, if anything; the file is removed."""
        record, file = self._record, self._file
        if record is None or file is None:
            return
        file.finish()
        records = self._packing.records
        if not file.requests:
            records.remove(record)
        else:
            with file.asked_path.open("rb") as asked:
                records.write_requests(record.id, asked)
            record = records.write(record.changed(packed=True, requests=file.requests, bytes=file.bytes))
            self.deliver(record, file)
            self.delivered += 1
        file.remove()
        self._record = self._file = None
        self._keys = set()
