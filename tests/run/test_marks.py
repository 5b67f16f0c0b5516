"""Marked pictures on their way to an object store, while others are drawn."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from regioncap.errors import Stopped, StorageError
from regioncap.run import marks
from regioncap.run.marks import MarkedPictures
from regioncap.storage.filesystem import Place

WAIT_SECONDS = 60


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads that store."""
    with ThreadPoolExecutor(2) as threads:
        yield threads


class SlowStore:
    """A store whose writes wait until they are let through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.writes: list[str] = []
        self.error: Exception | None = None
        real = Place.write

        def write(place: Place, data: bytes, **more: Any) -> None:
            self.writes.append(place.name)
            assert self.open.wait(WAIT_SECONDS)
            if self.error is not None:
                raise self.error
            real(place, data, **more)

        monkeypatch.setattr(Place, "write", write)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowStore]:
    """Not yet open."""
    slow = SlowStore(monkeypatch)
    yield slow
    slow.open.set()


def name_of(jpeg: bytes) -> str:
    return hashlib.sha256(jpeg).hexdigest()


def put(pictures: MarkedPictures, *jpegs: bytes) -> list[str]:
    for jpeg in jpegs:
        pictures.put(name_of(jpeg), jpeg)
    return [name_of(jpeg) for jpeg in jpegs]


def test_a_picture_is_there_before_it_is_stored_and_stored_when_it_was_waited_for(
    memory: Place, pool: ThreadPoolExecutor, store: SlowStore
) -> None:
    pictures = MarkedPictures(memory, keep=True, pool=pool)
    names = put(pictures, b"one", b"two", b"one")
    assert pictures.get(names[0]) == b"one"
    assert pictures.not_stored_here(names) == set(names)
    store.open.set()
    for _ in range(2):  # two shards may have the same picture
        pictures.wait_for(names, threading.Event())
    assert [pictures.read(name) for name in names] == [b"one", b"two", b"one"]
    assert pictures.not_stored_here(names) == set()
    assert len(store.writes) == 2


def test_all_who_wait_for_a_picture_learn_that_it_could_not_be_stored(
    memory: Place, pool: ThreadPoolExecutor, store: SlowStore
) -> None:
    pictures = MarkedPictures(memory, keep=True, pool=pool)
    store.error = StorageError("s3://b/marks", "write", "Access Denied")
    names = put(pictures, b"one")
    store.open.set()
    for _ in range(2):
        with pytest.raises(StorageError, match="Access Denied"):
            pictures.wait_for(names, threading.Event())
    store.error = None
    put(pictures, b"one")
    pictures.wait_for(names, threading.Event())
    assert pictures.read(names[0]) == b"one"


def test_waiting_ends_when_the_run_does(memory: Place, pool: ThreadPoolExecutor, store: SlowStore) -> None:
    pictures, stop = MarkedPictures(memory, keep=True, pool=pool), threading.Event()
    names = put(pictures, b"one", b"two", b"three")
    stop.set()
    with pytest.raises(Stopped):
        pictures.wait_for(names, stop)
    pool.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(Stopped):
        pictures.wait_for(names[2:], threading.Event())  # it had not begun
    store.open.set()
    (late,) = put(pictures, b"drawn late")
    assert pictures.read(late) == b"drawn late"


def test_a_slow_store_holds_up_who_draws_instead_of_filling_the_memory(
    memory: Place, pool: ThreadPoolExecutor, store: SlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "MAX_BYTES_ON_THEIR_WAY", 10)
    pictures = MarkedPictures(memory, keep=True, pool=pool)
    put(pictures, b"five5", b"five6")
    drawing = threading.Thread(target=put, args=(pictures, b"this is stored by who draws it"))
    drawing.start()
    assert drawing.is_alive()
    store.open.set()
    drawing.join(WAIT_SECONDS)
    assert not drawing.is_alive()
    assert len(store.writes) == 3
