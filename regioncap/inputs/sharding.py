"""Where one shard ends and the next begins: a pure function of the lines' text.

Content-defined chunking (Muthitacharoen, Chen, Mazières, "A Low-bandwidth Network File System", SOSP 2001) on whole
lines: a border depends on the text near it and not on how many lines came before, so a row that is inserted, changed
or taken away moves the border or two around it, and the shards after that are the ones that the cache holds already.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from itertools import chain, islice, repeat

Line = tuple[int, bytes]
"""Number of the line in its file, from 1, and its text without line end."""

Lines = Generator[Line, None, None]
"""Lines that are read as they are asked for; `close()` closes the file below."""

SMALL_SHARDS = (32, 64, 128, 256, 512)
"""Rows, about, of the first shards: a first small one lets the first request leave early."""

MOST_BYTES = 64_000_000
"""Bytes of text in a shard, at most."""


def cut(lines: Iterable[Line], shard_size: int, most_bytes: int = MOST_BYTES) -> Iterator[list[Line]]:
    """Cut `lines` into shards, in order, in one pass; memory: two shards at most.

    The first five shards aim at `SMALL_SHARDS` rows (at `shard_size` where that is less), all others at `shard_size`.
    A shard that aims at n rows ends after the first line, from row n/2 on, whose crc32 is 0 modulo n. Where there is
    none up to row 2n, or the text would exceed `most_bytes`, it ends after the line with the smallest crc32 among
    those where it might have ended; the last of them when there are several. So every shard but the last has n/2
    to 2n rows, or fewer where they hold half of `most_bytes`. A line longer than `most_bytes` is a shard of its own.

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
    """`lines`, and among them those that were read, but belong to the next shard."""
    for line in lines:
        yield line
        while given_back:
            yield given_back.popleft()


def _take(stream: Iterator[Line], target: int, most_bytes: int) -> tuple[list[Line], int]:
    """Lines from `stream` that hold one shard, and how many of them are that shard."""
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
    # Fewer than asked for: the stream has ended, and what is left stays together.
    return taken, best if len(taken) == 2 * target else len(taken)
