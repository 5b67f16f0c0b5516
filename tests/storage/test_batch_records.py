"""What is on record of batches, on a disk and in a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from regioncap.errors import StorageError
from regioncap.storage.batch_records import Asked, BatchRecord, BatchRecords
from regioncap.storage.claim_records import ClaimRecords
from regioncap.storage.filesystem import Place
from regioncap.storage.holders import Holder

KEYS = ["1" * 32, "2" * 32]
ASKED = [Asked(f"{key}-0-1", key, (1, 2), (2,), 1, offset=0.1, tokens=7) for key in KEYS]


@pytest.fixture(params=["disk", "memory", "s3"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "disk":
        return Place(str(tmp_path))
    return Place(request.getfixturevalue("bucket")) if request.param == "s3" else request.getfixturevalue("memory")


@pytest.fixture
def claims(cache: Place) -> ClaimRecords:
    return ClaimRecords(cache.child("claims"))


@pytest.fixture
def records(cache: Place, claims: ClaimRecords) -> BatchRecords:
    return BatchRecords(cache, claims)


def new(run: str = "a" * 32, **values: object) -> BatchRecord:
    return BatchRecord.new(run, "http://host/v1", "http://host/v1", "m", "none", "out.jsonl").changed(**values)


def submitted(records: BatchRecords) -> BatchRecord:
    """A batch of two answers."""
    record = records.write(new())
    assert all(records.claim(key, record.holder()) for key in KEYS)
    records.write_requests(record.id, [each.line() for each in ASKED])
    return records.write(record.changed(packed=True, file="file-1", batch="batch-1", requests=2))


def test_a_record_is_read_as_it_was_written(records: BatchRecords) -> None:
    record = records.write(new(file="f", creating_at=1.5, to_delete=("f", "g")))
    assert records.find(record.id) == record
    assert records.ids() == [record.id]
    assert records.find("0" * 32) is None


def test_its_requests_are_read_as_they_were_written(records: BatchRecords) -> None:
    record = submitted(records)
    assert list(records.requests(record.id)) == ASKED
    assert list(records.requests("0" * 32)) == []


def test_requests_of_an_earlier_version_are_read(records: BatchRecords) -> None:
    line = b'{"id": "k-0-1", "key": "k", "regions": [1], "wanted": [1], "order": 1}\n'
    records.write_requests("b" * 32, [line, b"no json\n"])
    assert list(records.requests("b" * 32)) == [Asked("k-0-1", "k", (1,), (1,), 1)]


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b'{"id": "x"}'])
def test_a_damaged_record_is_named_and_its_claims_hold(cache: Place, records: BatchRecords, damaged: bytes) -> None:
    record = submitted(records)
    cache.child("batches").child(f"{record.id}.json").write(damaged)
    with pytest.raises(StorageError, match=f"{record.id}.json: it is damaged"):
        records.find(record.id)
    assert records.outliving(set()) == {record.id}


def test_claims_hold_from_the_upload_on_and_while_the_run_lives(records: BatchRecords) -> None:
    packing = records.write(new(run="1" * 32))
    packed = records.write(new(run="2" * 32, packed=True))
    uploaded = records.write(new(run="3" * 32, packed=True, file="file-1"))
    assert records.outliving(set()) == {uploaded.id}
    assert records.outliving({"1" * 32, "2" * 32}) == {packing.id, packed.id, uploaded.id}


def test_one_may_tend_what_a_dead_run_left(records: BatchRecords) -> None:
    record = records.write(new(run="1" * 32))
    first, second = Holder.here(), Holder.here()
    assert records.take_over(record, first, {"1" * 32}) is None  # it lives
    taken = records.take_over(record, first, {first.token, second.token})
    assert taken is not None
    assert taken.run == first.token
    assert records.take_over(record, second, {first.token, second.token}) is None
    again = records.take_over(taken, second, {second.token})  # the first one died
    assert again is not None
    assert again.run == second.token


def test_nothing_is_left_of_a_batch_that_is_removed(cache: Place, records: BatchRecords, claims: ClaimRecords) -> None:
    record = submitted(records)
    other = Holder.here()
    assert claims.make("3" * 32, other)
    records.remove(record)
    assert list(cache.child("batches").items()) == []
    assert set(claims.listed()) == {"3" * 32}


def test_claims_of_requests_that_are_not_on_record_any_more_go_too(records: BatchRecords, claims: ClaimRecords) -> None:
    record = submitted(records)
    records.write_requests(record.id, [ASKED[0].line(), b"damaged\n"])
    records.remove(record)
    assert claims.listed() == {}


def test_claims_that_another_run_has_taken_over_stay(records: BatchRecords, claims: ClaimRecords) -> None:
    record = submitted(records)
    not_uploaded = records.write(record.changed(file="", batch=""))
    chain = claims.chain_of(KEYS[0], claims.listed())
    assert chain is not None
    assert claims.take_over(chain, Holder.here())
    records.remove(not_uploaded)
    assert set(claims.listed()) == {KEYS[0], f"{KEYS[0]}.{record.id}"}
