"""One of several runs requests an answer, the others wait for it; alone none is claimed, and nobody waits for ever."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.errors import StorageError
from regioncap.storage import kernel_lock
from regioncap.storage.claims import Claim, Claims
from regioncap.storage.filesystem import Place
from regioncap.storage.holders import Holder
from regioncap.storage.live_runs import StoreLiveRuns
from regioncap.storage.store_lease import TTL_SECONDS, Clock
from tests.support.waiting import until

KEY, OTHER = "0a" * 16, "0b" * 16

Join = Callable[..., Claims]


@pytest.fixture(params=["disk", "no locks", "memory", "s3"])
def cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A cache in each kind of store."""
    match request.param:
        case "s3":
            return Place(f"{request.getfixturevalue('bucket')}/cache")
        case "memory":
            found: Place = request.getfixturevalue("memory")
            return found
        case "no locks":
            monkeypatch.setattr(kernel_lock, "fcntl", None)
    return Place(str(tmp_path / "cache"))


@pytest.fixture
def join() -> Iterator[Join]:
    """`join(cache)`: the claims of a run that has just begun; it ends with the test."""
    with contextlib.ExitStack() as runs:

        def begin(cache: Place, on_dead: Callable[[], object] = lambda: None, **more: Any) -> Claims:
            claims = Claims(cache, lambda: Holder.here("some-run"), threading.Event(), **more)
            runs.callback(claims.close)
            claims.join(on_dead)
            return claims

        yield begin


def test_a_run_that_was_taken_for_dead_forgets_what_it_knew(memory: Place, join: Join) -> None:
    calls: list[str] = []
    join(memory, on_joined=lambda: calls.append("joined"))
    assert calls == ["joined"]
    (record,) = memory.child("live").names()
    memory.child("live", record).remove()
    until(lambda: len(calls) == 2)
    assert memory.child("live").names() == [record]


def test_a_run_that_makes_no_claims_is_still_seen(memory: Place, join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StoreLiveRuns, "look_every", 0.02)
    monkeypatch.setattr(StoreLiveRuns, "look_every_alone", 0.02)
    monkeypatch.setattr("regioncap.storage.live_runs.replaces_silently", lambda *_: True)
    first, _ = join(memory), join(memory)
    until(lambda: not first.sees_others)
    for record in memory.child("live").names():
        memory.child("live", record).remove()  # as after a minute in which it was not renewed
    until(lambda: len([name for name in memory.child("live").names() if "." not in name]) == 2)


class JoiningPool:
    """A pool whose threads are at look-ups, which join first, before they do what is asked of them."""

    def __init__(self) -> None:
        self.claims: Claims | None = None
        self.joined: list[bool] = []

    def map(self, do: Callable[[Any], Any], each: Iterable[Any]) -> Iterable[Any]:
        if self.claims is not None:
            joining = threading.Thread(target=self.claims.join, daemon=True)
            joining.start()
            joining.join(20)
            self.joined.append(not joining.is_alive())
        return map(do, each)

    def submit(self, do: Callable[..., Any], *args: Any) -> None:
        do(*args)


def test_look_ups_that_come_while_a_run_ends_do_not_hold_it_up(memory: Place, join: Join) -> None:
    pool = JoiningPool()
    join(memory)
    claims = join(memory, pool=pool)
    assert claims.acquire(KEY) is Claim.OURS
    pool.claims = claims
    claims.close()
    assert set(pool.joined) == {True}  # its thread that looks for other runs may be at one too
    assert memory.child("claims").names() == []


class Resumed:
    """When an answer may be there."""

    def __init__(self, claims: Claims, key: str = KEY) -> None:
        self._called = threading.Event()
        claims.when_free(key, self._called.set)

    def came(self) -> bool:
        return self._called.wait(60)

    @property
    def is_waiting(self) -> bool:
        return not self._called.is_set()


def claims_in(cache: Place) -> list[str]:
    return cache.child("claims").names()


def leave_dead(cache: Place, key: str = KEY) -> Holder:
    """Be a run that was killed when it had just claimed an answer."""
    dead = dataclasses.replace(Holder.here("dead-run"), started="0")
    cache.child("live", dead.token).write(dead.record(group=dead.token))
    cache.child("live", f"{dead.token}.claims").write(b"")
    cache.child("claims", key).write(dead.record())
    return dead


def test_alone_nothing_is_claimed_and_nothing_stays(cache: Place, join: Join) -> None:
    alone = join(cache)
    assert alone.acquire(KEY) is Claim.ALONE
    assert claims_in(cache) == []
    assert len(cache.child("live").names()) == 1
    alone.release(KEY)
    alone.close()
    assert cache.child("live").names() == []


def test_what_is_requested_is_claimed_before_another_run_begins(cache: Place, join: Join) -> None:
    first = join(cache)
    assert first.acquire(KEY) is Claim.ALONE
    second = join(cache)
    assert second.acquire(KEY) is Claim.TAKEN
    assert second.acquire(OTHER) is Claim.OURS
    assert first.acquire(OTHER) is Claim.TAKEN
    waiting = Resumed(second)
    assert waiting.is_waiting
    first.release(KEY)
    assert waiting.came()
    assert second.acquire(KEY) is Claim.OURS
    for key in (KEY, OTHER):
        second.release(key)
    assert claims_in(cache) == []


def test_a_run_that_ends_gives_up_its_claims(cache: Place, join: Join) -> None:
    first, second = join(cache), join(cache)
    assert first.acquire(KEY) is not Claim.TAKEN
    waiting = Resumed(second)
    first.close()
    assert waiting.came()
    assert claims_in(cache) == []


def test_a_claim_that_cannot_be_removed_at_once_is_later(
    memory: Place, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = join(memory), join(memory)
    assert first.acquire(KEY) is not Claim.TAKEN
    waiting, remove, failures = Resumed(second), Place.remove, iter([True])

    def fails_once(place: Place) -> None:
        if place.name == KEY and next(failures, False):
            raise StorageError(place.url, "remove", "slow down")
        remove(place)

    monkeypatch.setattr(Place, "remove", fails_once)
    first.release(KEY)
    assert next(failures, None) is None
    assert waiting.came()


def test_of_those_that_wait_for_a_dead_run_one_takes_over(cache: Place, join: Join) -> None:
    first, second = join(cache), join(cache)
    leave_dead(cache)
    waiting = [Resumed(first), Resumed(second)]
    until(lambda: not all(each.is_waiting for each in waiting), every=0.02)
    (heir,) = [each for each in waiting if not each.is_waiting]
    (late,) = [each for each in waiting if each is not heir]
    assert late.is_waiting
    owner, other = (first, second) if heir is waiting[0] else (second, first)
    assert (owner.acquire(KEY), other.acquire(KEY)) == (Claim.OURS, Claim.TAKEN)
    owner.release(KEY)
    assert late.came()
    until(lambda: claims_in(cache) == [])


@pytest.mark.parametrize("waits", [True, False])
def test_what_a_dead_run_had_received_is_looked_for_before_its_claim_goes(
    waits: bool, memory: Place, join: Join
) -> None:
    claimed: list[bool] = []

    def recover() -> None:
        claimed.append(KEY in claims_in(memory))
        if len(claimed) == 1:
            raise StorageError(memory.url, "write", "slow down")

    if waits:
        heir = join(memory, recover)
        assert heir.acquire(OTHER) is not Claim.TAKEN
        leave_dead(memory)
        assert Resumed(heir).came()
    else:
        leave_dead(memory)
        join(memory, recover)
    until(lambda: len(claimed) == 2)
    assert claimed == [True, True]


def test_what_dead_runs_left_goes_with_the_next(cache: Place, join: Join) -> None:
    leave_dead(cache, OTHER)
    alone = join(cache)
    until(lambda: claims_in(cache) == [] and len(cache.child("live").names()) == 1)
    assert alone.acquire(OTHER) is Claim.ALONE


def test_processes_of_one_run_do_not_claim_among_themselves(cache: Place, join: Join) -> None:
    group = uuid.uuid4().hex
    first, second = join(cache, group=group), join(cache, group=group)
    assert (first.acquire(KEY), second.acquire(KEY)) == (Claim.ALONE, Claim.ALONE)


@pytest.mark.parametrize("way", ["refuses", "ignores"])
def test_a_store_without_conditional_writes_stops_nothing_and_is_named(
    way: str, memory: Place, join: Join, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def create(place: Place, data: bytes) -> bool:
        if way == "refuses":
            raise StorageError(place.url, "write", "not implemented")
        place.write(data)
        return True

    monkeypatch.setattr(Place, "create", create)
    first = join(memory)
    assert first.acquire(KEY) is Claim.ALONE
    second = join(memory)
    assert second.acquire(KEY) is not Claim.TAKEN
    lines = [line for line in caplog.messages if "has no conditional writes" in line]
    assert 1 <= len(lines) <= 2  # one a run
    assert "may request the same captions" in lines[0]


def test_where_claims_cannot_be_looked_at_nobody_waits(
    memory: Place, join: Join, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = join(memory), join(memory)
    assert first.acquire(KEY) is not Claim.TAKEN
    monkeypatch.setattr(StoreLiveRuns, "all_living", lambda self: 1 / 0)
    waiting = Resumed(second)
    assert waiting.came()
    assert "may request the same captions" in caplog.text
    assert second.acquire(KEY) is Claim.ALONE
    assert Resumed(second).came()


def test_a_cache_that_cannot_be_written_stops_nothing(
    memory: Place, join: Join, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def write(place: Place, data: bytes, **_: Any) -> None:
        raise StorageError(place.url, "write", "closed")

    monkeypatch.setattr(Place, "write", write)
    assert join(memory).acquire(KEY) is Claim.ALONE
    assert "runs at the same time do not see this one" in caplog.text


@pytest.mark.parametrize(("age", "lives"), [(TTL_SECONDS - 30, True), (TTL_SECONDS + 1, False)])
def test_a_run_elsewhere_that_is_not_renewed_is_dead_in_a_minute(age: float, lives: bool, tmp_path: Path) -> None:
    cache, far = Place(str(tmp_path)), dataclasses.replace(Holder.here("far-run"), machine="another machine")
    record = tmp_path / "live" / far.token
    cache.child("live", far.token).write(far.record(group=far.token))
    ours = StoreLiveRuns(cache, Holder.here(), "", Clock())
    ours.register()
    os.utime(record, (record.stat().st_atime, record.stat().st_mtime - age))
    assert [run.token for run in ours.others()] == ([far.token] if lives else [])
    assert record.exists() == lives
    ours.withdraw()
    assert cache.child("live").names() == ([far.token] if lives else [])
