"""Packed requests are put as files into a folder, each once, whenever the run is killed.

In this order: the record, with the requests and the address of the file; the file, which is there as a whole or not at
all; that it is there goes on record. Of a file that is on record and not there nobody can have an answer.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator

from regioncap.captioners.base import CaptionRequest
from regioncap.captioners.batch_file import RequestFile
from regioncap.config.checks import absolute
from regioncap.records import Row
from regioncap.storage.batch_records import BatchRecord
from regioncap.tasks.answers import repair_request, request_of, requests_for_rejected
from regioncap.tasks.batch_limits import BatchLimits
from regioncap.tasks.batch_packing import Packing, PackingDesk
from regioncap.tasks.cached_answer import CachedAnswer
from regioncap.tasks.caption import flagged

REQUESTS = ".requests.jsonl"
"""How the names of request files end."""

COPY_BYTES = 1 << 20

_ID_DIGITS = 12
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")

logger = logging.getLogger("regioncap")


class FilePacking(Packing):
    """Packs what rows lack into files, and puts these into the folder; see `Packing`. `written`: their records."""

    def __init__(self, desk: PackingDesk, leave: set[str]) -> None:
        super().__init__(desk, leave)
        self.written: list[BatchRecord] = []
        self.limits = BatchLimits(desk.context, used=False)  # what was read may have been written by another run

    def new_record(self) -> BatchRecord:
        """See `Packing`."""
        desk, config = self._packing, self._packing.context.config
        record = BatchRecord.new(
            desk.context.claims.holder.token, "", "", desk.captioner.model, desk.wording.form, absolute(config.output)
        )
        folder = desk.context.files.place(absolute(config.requests_folder))
        folder.make_folder()  # a folder that is not there later was not there to be written to
        # Shells and schedulers are given these names.
        stem = _PLAIN.sub("_", desk.context.output.name.removesuffix(".jsonl")) or "captions"
        return record.changed(request_file=folder.child(f"{stem}-{record.id[:_ID_DIGITS]}{REQUESTS}").address)

    def deliver(self, record: BatchRecord, file: RequestFile) -> None:
        """Put the file into the folder."""
        desk = self._packing
        place = desk.context.files.place(record.request_file)
        with file.path.open("rb") as packed, place.writer() as written:
            shutil.copyfileobj(packed, written, COPY_BYTES)
        logger.info(
            "written: %s (%s requests, %s MB, structure %s)",
            place.url, f"{record.requests:,}", f"{record.bytes / 1e6:,.1f}", record.form,
        )  # fmt: skip
        self.written.append(desk.records.write(record.changed(file=place.name)))

    def too_large(self, row: Row) -> None:
        """See `Packing`."""
        logger.warning("%s: its requests are larger than batch_max_requests or batch_max_bytes allow", row["image"])

    def missing(self, row: Row) -> Iterator[tuple[str, CaptionRequest, int]]:
        """As `Packing` has it; where nothing is asked online, also what else the ordinary captioning would ask for:
        other captions in place of those that people rejected, then of flagged ones."""
        yield from super().missing(row)
        context = self._packing.context
        if context.config.rest_online:
            return
        for request in requests_for_rejected(row, context):
            yield from self.missing_of(row, request, request.wanted)
        if context.config.repair_flags and (captions := self._whole(row)):
            for number in flagged(row, captions, context):
                yield from self.missing_of(row, repair_request(request_of(row, context), number), (number,))

    def _whole(self, row: Row) -> list[str]:
        """All captions of a row, as people have corrected them; none as long as any is missing."""
        context = self._packing.context
        edits = context.edits.of_row(row)
        request = request_of(row, context)
        captions = self._cached(row, request)
        for again in requests_for_rejected(row, context):
            captions = {**captions, **self._cached(row, again)}
        captions |= {number: edit.caption for number, edit in edits.items() if edit.final}
        return [captions[number] for number in request.wanted] if captions.keys() >= set(request.wanted) else []

    def _cached(self, row: Row, request: CaptionRequest) -> dict[int, str]:
        key = self.key_of(row, request)
        return CachedAnswer.find(key, request.wanted, self._packing.context, fresh=True).captions
