"""What is on record of batches at a provider, and of files of requests: submitted by one run, collected by it or by
another, perhaps days later.

    {cache}/batches/{id}.json            the batch: how far it is
    {cache}/batches/{id}.requests.jsonl  its requests, one a line, in the order of its file
    {cache}/batches/{id}.after.{token}   the run that took it over from the run `token`, which is dead

The record is written before each call that cannot be undone, and after it: so that the run after one that was killed
knows what to look for. As long as it is there, the claims in the batch's name hold: see `claims`.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from regioncap.errors import StorageError
from regioncap.records import dumps, loads
from regioncap.storage.claim_records import ClaimRecords
from regioncap.storage.conditional_writes import content_of, create_record
from regioncap.storage.filesystem import Place
from regioncap.storage.holders import Holder

BATCHES = "batches"
DAMAGED = (
    "it is damaged. Copy it back, or remove it: then its rows are requested again, and what batch {id} (as the "
    "provider's list has it in the metadata) brought is lost"
)
NAME = re.compile(r"[0-9a-f]{32}(?:\.json|\.requests\.jsonl|\.after\.[0-9a-f]{32})")
_RECORD = re.compile(r"([0-9a-f]{32})\.json")


_Bytes = bytes
"""By this name where a field is called `bytes`."""


@dataclass(frozen=True)
class BatchRecord:
    """One batch. `id`: ours, also the token of its claims. `run`: token of the run that tends it, or the last that did.

    `endpoint`, `model`: where and of whom the answers are asked, as they are set; `url`: the endpoint's base URL.
    `form`: what answers are held to. `packed`: its file is whole, and its requests are on record. `file`: the
    provider's id of it, once it is uploaded. `creating_at`: seconds since the epoch when the provider was last asked to
    create the batch; None while it surely was not. `batch`: the provider's id of it. `requests`, `bytes`: of its file.
    `done`: requests that the provider said were answered. `by`: the output, as an absolute address, of the run that
    submitted it. `to_delete`: once its results are stored, the provider's files that are not needed any more; None
    before.

    Of a file of requests for which results are put beside it: `request_file`, its absolute address; `file` is its name,
    once it is there; `endpoint` and `url` are empty.
    """

    id: str
    run: str
    endpoint: str
    url: str
    model: str
    form: str = "none"
    packed: bool = False
    file: str = ""
    creating_at: float | None = None
    batch: str = ""
    requests: int = 0
    bytes: int = 0
    done: int = 0
    by: str = ""
    to_delete: tuple[str, ...] | None = None
    request_file: str = ""

    @classmethod
    def new(cls, run: str, endpoint: str, url: str, model: str, form: str, by: str) -> BatchRecord:
        """The record of a batch that is about to be packed."""
        return cls(uuid.uuid4().hex, run, endpoint, url, model, form, by=by)

    @classmethod
    def of(cls, data: _Bytes) -> BatchRecord:
        """The record in a file. Raises ValueError, TypeError when it is none."""
        value = loads(data)
        if not isinstance(value, dict):
            raise TypeError(f"expected an object, got {type(value).__name__}")
        known = {name: each for name, each in value.items() if name in cls.__dataclass_fields__}
        return cls(**{**known, "to_delete": None if (files := known.get("to_delete")) is None else tuple(files)})

    def changed(self, **values: Any) -> BatchRecord:
        """The record with other values."""
        return replace(self, **values)

    def holder(self) -> Holder:
        """In whose name its answers are claimed: it outlives every process."""
        here = Holder.here(f"batch for {self.by}")
        return Holder(self.id, here.host, here.pid, here.since, here.run[:100])


@dataclass(frozen=True)
class Asked:
    """One request of a batch, and what is needed to store its reply. `id`: its custom_id. `key`: of the answer.
    `regions`: all of the row's, from 1. `wanted`: those it asks for. `repair`: whether earlier replies lacked these, or
    did not satisfy. `tokens`: of its prompt, by estimate. The rest: see `ChatRequest` and `Entry`."""

    id: str
    key: str
    regions: tuple[int, ...]
    wanted: tuple[int, ...]
    order: int
    mode: str = "marks"
    offset: float = 0.0
    repair: bool = False
    tokens: int = 0

    def line(self) -> bytes:
        """The request as the record has it."""
        return dumps(vars(self)) + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Asked:
        """What `line` gave. Raises ValueError, KeyError, TypeError for another."""
        value = loads(line)
        return cls(**{**value, "regions": tuple(value["regions"]), "wanted": tuple(value["wanted"])})


class BatchRecords:
    """The records in a cache. All methods raise StorageError."""

    def __init__(self, cache: Place, claims: ClaimRecords) -> None:
        self._folder = cache.child(BATCHES)
        self._claims = claims

    def ids(self) -> list[str]:
        """Of all that are on record, by one listing."""
        found = (_RECORD.fullmatch(item.name) for item in self._folder.items())
        return sorted(match[1] for match in found if match)

    def all(self) -> Iterator[BatchRecord]:
        """All of them; one that is gone by now is left out."""
        for each in self.ids():
            record = self.find(each)
            if record is not None:
                yield record

    def find(self, batch: str) -> BatchRecord | None:
        """The record with this id; None when there is none. Raises StorageError for one that is damaged, too: what it
        stands for may be paid for."""
        place = self._folder.child(f"{batch}.json")
        data = content_of(place)
        try:
            return BatchRecord.of(data) if data is not None else None
        except (ValueError, TypeError):
            raise StorageError(place.url, "read", DAMAGED.format(id=batch)) from None

    def write(self, record: BatchRecord) -> BatchRecord:
        """Put a record in place of what was there; returns it."""
        self._folder.child(f"{record.id}.json").write(dumps(asdict(record)) + b"\n")
        return record

    def outliving(self, living: set[str]) -> set[str]:
        """The tokens of batches whose claims hold, given those of the runs that live: of all that are on record, but
        for what a dead run had not uploaded yet."""
        return {each for each in self.ids() if self._holds(each, living)}

    def _holds(self, batch: str, living: set[str]) -> bool:
        try:
            record = self.find(batch)
        except StorageError:
            return True  # in doubt: what is in a batch must not be paid for again
        return record is not None and (bool(record.file) or record.run in living)

    # --- its requests

    def write_requests(self, batch: str, lines: Iterable[bytes]) -> None:
        """Put the requests of a batch on record."""
        with self._requests(batch).writer() as file:
            for line in lines:
                file.write(line)

    def requests(self, batch: str) -> Iterator[Asked]:
        """The requests of a batch; what is damaged is left out."""
        with contextlib.suppress(FileNotFoundError), self._requests(batch).open() as file:
            for line in file:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    yield Asked.of_line(line)

    def _requests(self, batch: str) -> Place:
        return self._folder.child(f"{batch}.requests.jsonl")

    # --- who tends it

    def take_over(self, record: BatchRecord, run: Holder, living: set[str]) -> BatchRecord | None:
        """The record, tended by `run` from now on; None where a run does that lives. Of several that try, one may."""
        tending = record.run
        while tending not in living:
            marker = self._folder.child(f"{record.id}.after.{tending}")
            created = create_record(marker, run.record())
            if created is not False:
                return self.write(record.changed(run=run.token))
            other = Holder.read(content_of(marker) or b"")
            if other is None or other.token == tending:
                return None  # it is being written
            tending = other.token
        return record if tending == run.token else None

    # --- claims

    def claim(self, key: str, batch: Holder) -> bool:
        """Claim an answer in the name of a batch. False where somebody else has it."""
        return self._claims.make(key, batch) is not False

    def disclaim(self, key: str) -> None:
        """Give up a claim that was made in the name of a batch."""
        self._claims.remove([key])

    def holder_of(self, key: str) -> str:
        """The token of who holds the claim on an answer; "" where that is not known, or nobody does."""
        chain = self._claims.chain_of(key, [key])
        return chain.token if chain is not None else ""

    def free(self, batches: set[str]) -> None:
        """Remove all claims that are held in the names of these batches, whatever is on record of their requests."""
        listed = self._claims.listed()
        for key in [name for name in listed if "." not in name]:
            chain = self._claims.chain_of(key, listed)
            if chain is not None and chain.token in batches:
                self._claims.remove(chain.names)

    def remove(self, record: BatchRecord) -> None:
        """The batch is collected, or given up: its claims go, then all that is on record."""
        asked = [each.key for each in self.requests(record.id)] if record.packed and record.file else []
        for key in dict.fromkeys(asked):
            self._claims.remove([key])
        if not asked or len(asked) < record.requests:  # some are damaged; or others may have taken claims over
            self.free({record.id})
        for item in list(self._folder.items()):
            if item.name.startswith(f"{record.id}.") and not item.name.endswith(".json"):
                self._folder.child(item.name).remove()
        self._folder.child(f"{record.id}.json").remove()
