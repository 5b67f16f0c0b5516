"""Cuts lines into shards; the borders are a pure function of the lines' text.

Content-defined chunking (Muthitacharoen, Chen, Mazières, "A Low-bandwidth Network File System", SOSP 2001) on whole
lines: a border depends on the text near it, not on the number of lines before it. A row that is inserted, changed or
removed therefore moves only one or two borders near it, and the cache still holds the shards that follow.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from itertools import chain, islice, repeat

Line = tuple[int, bytes]
"""Number of the line in its file, from 1, and its text without line end."""

Lines = Generator[Line, None, None]
"""Lines that are read lazily; `close()` closes the underlying file."""

SMALL_SHARDS = (32, 64, 128, 256, 512)
"""Approximate rows of the first shards: with a small first shard, the first request is sent early."""

MAX_BYTES = 64_000_000
"""Maximum bytes of text in a shard."""


def cut(lines: Iterable[Line], shard_size: int, most_bytes: int = MAX_BYTES) -> Iterator[list[Line]]:
    """Cut `lines` into shards, in order, in one pass; at most two shards are held in memory.

    The first five shards aim at `SMALL_SHARDS` rows (`shard_size` if that is less), all others at `shard_size`. A
    shard that aims at n rows ends after the first line, from row n/2 on, whose crc32 is 0 modulo n. If there is none
    up to row 2n, or the text would exceed `most_bytes`, it ends after the eligible line with the smallest crc32 (the
    last of several). Every shard but the last thus has n/2 to 2n rows, or fewer if they hold half of `most_bytes`.
    A line longer than `most_bytes` is a shard of its own.

    >>> [len(shard) for shard in cut(enumerate([b"same"] * 50, 1), shard_size=10)]
    [20, 20, 10]
    """
    given_back: deque[Line] = deque()
    stream = _with_given_back(lines, given_back)
    for target in chain((min(small, shard_size) for small in SMALL_SHARDS), repeat(shard_size)):
        shard, border = _take(stream, target, most_bytes)
        if not shard:
            return
        given_back.extendleft(reversed(shard[border:]))
        del shard[border:]
        yield shard


def _with_given_back(lines: Iterable[Line], given_back: deque[Line]) -> Iterator[Line]:
    """`lines`, interleaved with those that were read too far and belong to the next shard."""
    for line in lines:
        yield line
        while given_back:
            yield given_back.popleft()


def _take(stream: Iterator[Line], target: int, most_bytes: int) -> tuple[list[Line], int]:
    """Lines from `stream` that contain one shard, and how many of them form it."""
    least = (target + 1) // 2
    taken: list[Line] = []
    size = best = 0
    smallest = 1 << 32
    for line in islice(stream, 2 * target):
        if taken and size + len(line[1]) > most_bytes:
            taken.append(line)
            return taken, best or len(taken) - 1
        taken.append(line)
        size += len(line[1])
        crc = zlib.crc32(line[1])
        if len(taken) >= least and crc % target == 0:
            return taken, len(taken)
        if (len(taken) >= least or 2 * size >= most_bytes) and crc <= smallest:
            best, smallest = len(taken), crc
    # Fewer lines than requested: the stream has ended, and the rest stays together.
    return taken, best if len(taken) == 2 * target else len(taken)
