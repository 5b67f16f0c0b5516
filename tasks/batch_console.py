"""What an output's runs have at their provider, looked at and ended from outside of any run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from regioncap.captioners.access import Access
from regioncap.captioners.batch_api import Batch, BatchApi
from regioncap.captioners.transport import Transport, open_client
from regioncap.config.checks import absolute
from regioncap.config.model import RegionCapConfig
from regioncap.run.credentials import access_of
from regioncap.storage.batch_records import BatchRecord, BatchRecords
from regioncap.storage.claim_records import ClaimRecords
from regioncap.storage.claims import CLAIMS
from regioncap.storage.filesystem import Place

PATIENCE_SECONDS = 30.0
"""For a provider that has trouble: somebody waits for the answer."""


@dataclass(frozen=True)
class Submitted:
    """A batch on record, and as the provider describes it; None for one that is not created yet."""

    record: BatchRecord
    batch: Batch | None


def records_in(cache: Place) -> BatchRecords:
    """The records of batches in a cache."""
    return BatchRecords(cache, ClaimRecords(cache.child(CLAIMS)))


def submitted(config: RegionCapConfig, cache: Place, *, cancel: bool = False) -> list[Submitted]:
    """The batches on record that runs for the config's output submitted. `cancel`: end them.

    Raises CaptionerError, StorageError.
    """
    by = absolute(config.output)
    ours = [record for record in records_in(cache).all() if record.by == by and record.packed]
    return asyncio.run(_looked_at(ours, config, cancel)) if ours else []


async def _looked_at(records: Sequence[BatchRecord], config: RegionCapConfig, cancel: bool) -> list[Submitted]:
    client = open_client(config.ca_file)
    try:
        access = next(iter(access_of(config)), Access())
        http = Transport(client, access)
        found = []
        for record in records:
            api = BatchApi(http, record.url, record.model, PATIENCE_SECONDS)
            if cancel and record.batch:
                await api.cancel(record.batch)
            found.append(Submitted(record, await api.get(record.batch) if record.batch else None))
        return found
    finally:
        await client.close()


def adopted(cache: Place, ours: str, theirs: str) -> bool:
    """Put on record which batch a record's is; `none`: it was not created. Returns whether there is such a record."""
    records = records_in(cache)
    record = records.find(ours) if ours in records.ids() else None
    if record is None or record.batch:
        return False
    records.write(record.changed(creating_at=None) if theirs == "none" else record.changed(batch=theirs))
    return True
