"""Records that are written only where there is nothing: of many who try, one succeeds."""

from __future__ import annotations

import contextlib

from regioncap.errors import StorageError
from regioncap.storage.filesystem import Place


def create_record(place: Place, record: bytes) -> bool | None:
    """Write `record`, which nobody else writes, where there is nothing. Returns whether it is what lies there now; None
    where the store has no conditional writes: then nothing was written. Raises StorageError."""
    for _ in range(2):  # a store may answer that two came at once, and that neither was first
        with contextlib.suppress(StorageError):
            if place.create(record):
                return True
        there = content_of(place)
        if there is not None:  # another's, or ours: a request whose response was lost is sent again
            return there == record
    return None


def replaces_silently(place: Place, record: bytes) -> bool:
    """Whether the store ignores the condition, as some do. `record`: what was just written at `place`."""
    with contextlib.suppress(StorageError):
        return place.create(record)
    return False


def content_of(place: Place) -> bytes | None:
    """What lies at `place`; None for nothing. Raises StorageError."""
    try:
        return place.read()
    except FileNotFoundError:
        return None
