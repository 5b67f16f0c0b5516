"""One holder at a time, whatever the store: on disk by the kernel, elsewhere by an object that is renewed."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from regioncap.errors import StorageError
from regioncap.storage import holders, kernel_lock
from regioncap.storage.filesystem import Place
from regioncap.storage.holders import Holder, LeaseHeld
from regioncap.storage.leases import Lease, acquire
from regioncap.storage.store_lease import TTL_SECONDS, Clock
from tests.support.commands import ROOT
from tests.support.waiting import until


class FakeClock(Clock):
    """Its time passes only while somebody waits. `meanwhile` is called each time."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.waited = 0.0
        self._meanwhile = meanwhile

    def now(self) -> float:
        return self.waited

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.waited += seconds
        self._meanwhile()


@pytest.fixture
def no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A lease on a disk without kernel locks."""
    monkeypatch.setattr(kernel_lock, "fcntl", None)
    return Place(str(tmp_path / "new" / ".out.lease"))


def place_on(store: str, request: pytest.FixtureRequest) -> Place:
    """Where a lease may be taken in a store."""
    match store:
        case "disk":
            return Place(str(request.getfixturevalue("tmp_path") / "new" / ".out.lease"))
        case "s3":
            return Place(f"{request.getfixturevalue('bucket')}/out/.out.lease")
    found: Place = request.getfixturevalue(store.replace(" ", "_"))
    return found


@pytest.fixture(params=["disk", "no locks", "memory", "s3"])
def place(request: pytest.FixtureRequest) -> Place:
    """Every kind of store."""
    return place_on(request.param, request)


@pytest.fixture(params=["no locks", "memory", "s3"])
def far_place(request: pytest.FixtureRequest) -> Place:
    """Stores in which a lease is an object."""
    return place_on(request.param, request)


@pytest.fixture
def held() -> Iterator[Callable[..., Lease]]:
    """`held(place, **acquire's)`: a lease that ends with the test."""
    with contextlib.ExitStack() as leases:

        def hold(place: Place, holder: Holder | None = None, **more: Any) -> Lease:
            lease = acquire(place, holder or Holder.here("first"), **more)
            leases.callback(lease.release)
            return lease

        yield hold


def far_holder() -> Holder:
    """A process of another machine."""
    return dataclasses.replace(Holder.here("far run"), machine="another machine", host="far-away")


def left_in(place: Place) -> list[str]:
    return [*place.names(), *(name for name in place.parent.names() if place.is_local)]


def test_one_at_a_time(place: Place, held: Callable[..., Lease]) -> None:
    first = held(place)
    with pytest.raises(LeaseHeld) as refused:
        held(place, clock=FakeClock())
    assert refused.value.holder is not None
    assert str(refused.value.holder).startswith(f"process {os.getpid()} on host ")
    assert "(run first)" in str(refused.value.holder)
    assert first.renew()
    first.release()
    second = held(place)
    first.release()
    assert second.renew()
    second.release()
    assert not first.renew()
    first.release()
    assert left_in(place) == []


def test_of_many_that_start_at_once_one_gets_it(place: Place, held: Callable[..., Lease]) -> None:
    start = threading.Barrier(8)
    outcomes: list[Lease | None] = []

    def try_it() -> None:
        start.wait()
        try:
            outcomes.append(held(place, clock=FakeClock()))
        except LeaseHeld:
            outcomes.append(None)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [bool(outcome) for outcome in outcomes].count(True) == 1
    assert len(outcomes) == 8


HOLD = """
import signal, sys
from regioncap.storage import kernel_lock
from regioncap.storage.filesystem import Place
from regioncap.storage.holders import Holder
from regioncap.storage.leases import acquire
if sys.argv[2] == "no locks":
    kernel_lock.fcntl = None
acquire(Place(sys.argv[1]), Holder.here())
print("held", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("place", ["disk", "no locks", "s3"], indirect=True)
def test_the_lease_of_a_killed_process_is_over_at_once(
    place: Place, request: pytest.FixtureRequest, held: Callable[..., Lease]
) -> None:
    kind = request.node.callspec.params["place"]
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, place.address, kind], stdout=subprocess.PIPE, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(LeaseHeld):
        held(place, clock=FakeClock())
    child.send_signal(signal.SIGKILL)  # not reaped by its parent: a zombie in the process table
    clock = FakeClock()
    lease = until(lambda: _or_none(lambda: held(place, clock=clock)), every=0.02)
    assert clock.waited == 0
    child.communicate()
    lease.release()
    assert left_in(place) == []


def _or_none(take: Callable[[], Lease]) -> Lease | None:
    with contextlib.suppress(LeaseHeld):
        return take()
    return None


def test_children_do_not_keep_the_lease(tmp_path: Path, held: Callable[..., Lease]) -> None:
    place = Place(str(tmp_path / ".out.lease"))
    lease = held(place)
    ready, go_on = os.pipe(), os.pipe()
    forked = os.fork()
    if not forked:
        lease.release()  # it is the parent's
        os.write(ready[1], b".")
        os.read(go_on[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        assert lease.renew()
        with pytest.raises(LeaseHeld):
            held(place)
        lease.release()
        held(place).release()
        assert started.poll() is None
        started.communicate(b"\n")
    os.write(go_on[1], b".")
    os.waitpid(forked, 0)
    for end in (*ready, *go_on):
        os.close(end)


def test_one_that_lives_elsewhere_is_seen_within_a_renewal(far_place: Place, held: Callable[..., Lease]) -> None:
    first = held(far_place, far_holder())
    clock = FakeClock(first.renew)
    with pytest.raises(LeaseHeld) as refused:
        held(far_place, clock=clock)
    assert "on host far-away" in str(refused.value.holder)
    assert clock.waited <= TTL_SECONDS / 6
    assert first.renew()


def test_one_that_died_elsewhere_is_waited_for_and_said(
    far_place: Place, held: Callable[..., Lease], caplog: pytest.LogCaptureFixture
) -> None:
    dead = held(far_place, far_holder())
    clock = FakeClock()
    lease = held(far_place, clock=clock)
    assert TTL_SECONDS - 5 < clock.waited <= TTL_SECONDS
    assert "in use by process" in caplog.text
    assert "on host far-away" in caplog.text
    assert re.search(r"waiting up to (5\d|60) s to see whether it still runs", caplog.text)  # a store may be slow
    assert lease.renew()
    assert not dead.renew()  # it was only asleep, and sees that it has lost the lease
    dead.release()
    assert lease.renew()
    lease.release()
    assert left_in(far_place) == []


def test_one_that_ends_meanwhile_is_followed_at_once(far_place: Place, held: Callable[..., Lease]) -> None:
    first = held(far_place, far_holder())
    clock = FakeClock(first.release)
    assert held(far_place, clock=clock).renew()
    assert clock.waited < TTL_SECONDS / 6


@pytest.mark.parametrize(("age", "waits"), [(3600, 0), (45, 15), (-3600, 60)], ids=["old", "younger", "future"])
def test_its_age_is_by_the_clock_of_the_store(
    no_locks: Place, held: Callable[..., Lease], age: float, waits: float
) -> None:
    held(no_locks, far_holder())
    file = Path(no_locks.address) / "1"
    changed = file.stat().st_mtime - age
    os.utime(file, (changed, changed))
    clock = FakeClock()
    held(no_locks, clock=clock)
    assert abs(clock.waited - waits) < 10


def test_a_number_that_means_another_process_by_now(far_place: Place, held: Callable[..., Lease]) -> None:
    held(far_place, dataclasses.replace(Holder.here(), started="1"))  # as after a new start of a container
    clock = FakeClock()
    held(far_place, clock=clock)
    assert clock.waited == 0


@pytest.mark.parametrize("garbage", [b"", b"\xff\0{", b"[" * 9000, b'{"pid": "x"}', b'{"pid": 1, "token": null}'])
def test_garbage_is_nobody(tmp_path: Path, memory: Place, held: Callable[..., Lease], garbage: bytes) -> None:
    (tmp_path / ".out.lease").write_bytes(garbage)
    held(Place(str(tmp_path / ".out.lease")))
    memory.child("7").write(garbage)
    memory.child("not a number").write(garbage)
    clock = FakeClock()
    lease = held(memory, clock=clock)
    assert clock.waited <= TTL_SECONDS
    assert lease.renew()
    lease.release()
    assert memory.names() == ["not a number"]


def test_a_renewed_lease_that_was_taken_is_noticed(memory: Place, held: Callable[..., Lease]) -> None:
    lost = threading.Event()
    lease = held(memory, ttl=0.06, on_lost=lost.set)
    memory.child("2").write(far_holder().record())
    assert lost.wait(60)
    assert not lease.renew()


def test_a_file_that_was_removed_by_hand(tmp_path: Path, held: Callable[..., Lease]) -> None:
    place = Place(str(tmp_path / ".out.lease"))
    first = held(place)
    place.remove()
    assert first.renew()
    place.remove()
    second = held(place)
    assert not first.renew()
    first.release()
    assert second.renew()


@pytest.mark.parametrize("answer", ["501", "ignored"])
def test_a_store_without_conditional_writes_says_so_and_the_last_one_wins(
    answer: str, memory: Place, held: Callable[..., Lease], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    files = fsspec.filesystem("memory")
    real = type(files).pipe_file

    def pipe_file(self: Any, path: str, value: bytes, mode: str = "overwrite") -> None:
        if mode == "create" and answer == "501":
            raise OSError("A header you provided implies functionality that is not implemented")
        real(self, path, value)

    monkeypatch.setattr(type(files), "pipe_file", pipe_file)
    first = held(memory)
    assert caplog.text.count("this store has no conditional writes") == 1
    assert first.renew()
    with pytest.raises(LeaseHeld):
        held(memory)
    memory.child("1").write(far_holder().record())  # one that saw nothing at the same moment
    assert not first.renew()


def test_what_cannot_be_written_is_an_error(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write s3://no-such-bucket-here"):
        acquire(Place("s3://no-such-bucket-here/.out.lease"), Holder.here())
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="Not a directory"):
        acquire(Place(str(tmp_path / "file" / ".out.lease")), Holder.here())


def test_who_stops_while_it_waits_leaves_nothing(memory: Place, held: Callable[..., Lease]) -> None:
    first = held(memory, far_holder())

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        held(memory, clock=FakeClock(interrupt))
    assert memory.names() == ["1"]
    assert first.renew()


def test_where_every_write_is_a_commit_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    lease = acquire(Place("hf://datasets/me/set/.out.lease"), Holder.here())
    assert lease.renew()
    lease.release()
    assert "start one at a time" in caplog.text


def test_a_full_disk_leaves_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    place = Place(str(tmp_path / ".out.lease"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StorageError, match="No space left on device"):
            acquire(place, Holder.here())
    assert list(tmp_path.iterdir()) == []
    acquire(place, Holder.here()).release()


def test_a_process_that_another_user_may_not_see_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    holder = Holder.here()
    assert not holder.is_dead
    monkeypatch.setattr(holders, "start_of", lambda _: "")  # as /proc has it with `hidepid`

    def kill_refused(pid: int, number: int) -> None:
        raise PermissionError if (pid, number) == (holder.pid, 0) else ProcessLookupError

    monkeypatch.setattr("os.kill", kill_refused)
    assert not holder.is_dead
    assert dataclasses.replace(holder, pid=holder.pid + 1).is_dead


def test_locking_that_is_interrupted_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> bool:
        raise KeyboardInterrupt

    path = tmp_path / "of-another"
    path.write_bytes(b"replies")
    monkeypatch.setattr(kernel_lock, "try_lock", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kernel_lock.lock(path)
    assert path.read_bytes() == b"replies"
