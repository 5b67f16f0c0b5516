"""Memory that nothing uses any more, given back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def give_back_memory() -> None:
    """Have the allocator return what is free. glibc's does that when it is told to; with others nothing happens.

    Pictures come and go in many threads, each with a part of the memory of its own, and a page that lies free between
    two that are used is kept: some 50 MB of a run's 300 (benchmarks/NOTES.md).
    """
    if (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], object] | None:
    try:
        found: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except Exception:  # another C library, or another system
        return None
    return found
