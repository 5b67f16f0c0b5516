"""What an output's runs have at their provider, and in files, looked at and ended from outside of any run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from regioncap.captioners.access import Access
from regioncap.captioners.batch_api import Batch, BatchApi
from regioncap.captioners.transport import Transport, open_client
from regioncap.config.checks import absolute
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.run.credentials import access_of
from regioncap.storage.batch_records import BatchRecord, BatchRecords
from regioncap.storage.claim_records import ClaimRecords
from regioncap.storage.claims import CLAIMS
from regioncap.storage.filesystem import Place
from regioncap.tasks.file_results import name_of, results_among

PATIENCE_SECONDS = 30.0
"""For a provider that has trouble: somebody waits for the answer."""


@dataclass(frozen=True)
class Submitted:
    """A batch on record, and as the provider describes it; None for one that is not created yet, or gone there."""

    record: BatchRecord
    batch: Batch | None

    @property
    def is_never_created(self) -> bool:
        """Whether there surely is no batch yet: the provider had no room for it."""
        return not self.record.batch and self.record.creating_at is None


@dataclass(frozen=True)
class Written:
    """A file of requests on record. `url`: where it lies, or did: whether it is `there`. `results`: names of the files
    with results beside it."""

    record: BatchRecord
    url: str
    there: bool
    results: tuple[str, ...]


def records_in(cache: Place) -> BatchRecords:
    """The records of batches in a cache."""
    return BatchRecords(cache, ClaimRecords(cache.child(CLAIMS)))


def submitted(config: RegionCapConfig, cache: Place, *, cancel: bool = False) -> list[Submitted]:
    """The batches on record that runs for the config's output submitted. `cancel`: end them.

    Raises CaptionerError, StorageError.
    """
    ours = [
        record
        for record in _records_of(config, cache)
        if record.file and record.to_delete is None and not record.request_file
    ]
    found = asyncio.run(_looked_at(ours, config, cancel)) if ours else []
    for each in found if cancel else ():
        if each.is_never_created:
            records_in(cache).remove(each.record)
    return found


def written(config: RegionCapConfig, cache: Place, *, cancel: bool = False) -> list[Written]:
    """The files of requests that runs for the config's output wait for. `cancel`: give them up. A file that has results
    stays on record for the next run, which reads them.

    Raises StorageError.
    """
    found = []
    for record in _records_of(config, cache):
        if record.request_file:
            place = cache.files.place(record.request_file)
            names = place.parent.sizes()
            results = tuple(results_among(names, name_of(record.request_file)))
            found.append(Written(record, place.url, place.name in names and not cancel, results))
            if cancel:
                place.remove()
            if cancel and not results:
                records_in(cache).remove(record)
    return found


def _records_of(config: RegionCapConfig, cache: Place) -> list[BatchRecord]:
    by = absolute(config.output)
    return [record for record in records_in(cache).all() if record.by == by and record.packed]


async def _looked_at(records: Sequence[BatchRecord], config: RegionCapConfig, cancel: bool) -> list[Submitted]:
    async with _apis(config) as api_of:
        found = []
        for record in records:
            api = api_of(record)
            if cancel and record.batch:
                await api.cancel(record.batch)
            elif cancel and record.creating_at is None:
                await api.delete(record.file)
            found.append(Submitted(record, await api.get(record.batch) if record.batch else None))
        return found


@asynccontextmanager
async def _apis(config: RegionCapConfig) -> AsyncIterator[Callable[[BatchRecord], BatchApi]]:
    """What gives the provider's batches that a record's is one of."""
    client = open_client(config.ca_file)
    try:
        http = Transport(client, next(iter(access_of(config)), Access()))
        yield lambda record: BatchApi(http, record.url, record.model, PATIENCE_SECONDS)
    finally:
        await client.close()


def adopt(config: RegionCapConfig, cache: Place, ours: str, theirs: str) -> str:
    """Put on record which batch at the provider a record's is; `none`: none, or none any more. Returns what follows.

    Raises UsageError when there is no such record or batch, CaptionerError, StorageError.
    """
    records = records_in(cache)
    record = records.find(ours) if ours in records.ids() else None
    if record is None or not record.file:
        raise UsageError(f"--adopt: {ours}: no batch with this ID is on record; the message that asked for it has it")
    if theirs != "none":
        asyncio.run(_check_batch(record, theirs, config))
        records.write(record.changed(batch=theirs))
        return f"is batch {theirs}; the next run collects it"
    if record.batch:  # its file may be gone, too
        records.remove(record)
        return "is given up; its rows are requested again by the next run"
    records.write(record.changed(creating_at=None))
    return "is created again by the next run"


async def _check_batch(record: BatchRecord, batch: str, config: RegionCapConfig) -> None:
    """Raises UsageError unless the provider has this batch, made of the record's file."""
    async with _apis(config) as api_of:
        found = await api_of(record).get(batch)
    if found is None:
        raise UsageError(f"--adopt: {record.url} has no batch {batch}; expected its id there, such as batch_abc123")
    if found.input_file and found.input_file != record.file:
        raise UsageError(f"--adopt: batch {batch} is of file {found.input_file}; expected one of file {record.file}")
