"""Memory that nothing uses any more, given back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def give_back_memory() -> None:
    """Return free heap pages to the system, with glibc's `malloc_trim`; does nothing with other C libraries.

    Many threads allocate and free pictures, each in its own arena, and glibc keeps free pages that lie between used
    ones: some 50 MB of a run's 300 (benchmarks/NOTES.md).
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
