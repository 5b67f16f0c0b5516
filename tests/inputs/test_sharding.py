"""Shard borders: sizes, what an inserted row moves, bounds."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regioncap.inputs.sharding import SMALL_SHARDS, Line, cut


def numbered(texts: list[bytes]) -> list[Line]:
    return list(enumerate(texts, 1))


def rows(count: int, seed: int = 0) -> list[bytes]:
    rng = random.Random(seed)
    return [b'{"image": "img/%08x.jpg"}' % rng.getrandbits(32) for _ in range(count)]


def texts(shards: list[list[Line]]) -> list[tuple[bytes, ...]]:
    return [tuple(text for _, text in shard) for shard in shards]


def moved(before: list[bytes], after: list[bytes], shard_size: int) -> int:
    """How many shards of `after` are not among those of `before`."""
    known = Counter(texts(list(cut(numbered(before), shard_size))))
    return sum((Counter(texts(list(cut(numbered(after), shard_size)))) - known).values())


def targets(shard_size: int) -> itertools.chain[int]:
    return itertools.chain((min(small, shard_size) for small in SMALL_SHARDS), itertools.repeat(shard_size))


def test_no_lines_are_no_shards() -> None:
    assert list(cut([], 1000)) == []


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.binary(max_size=3), max_size=600), st.integers(1, 200))
def test_shards_joined_are_the_lines(lines: list[bytes], shard_size: int) -> None:
    shards = list(cut(numbered(lines), shard_size))
    assert [line for shard in shards for line in shard] == numbered(lines)
    assert all(shards)


@pytest.mark.parametrize("shard_size", [1, 2, 3, 10, 100, 1000])
@pytest.mark.parametrize("lines", [rows(8000), [b"img/%06d.jpg" % i for i in range(8000)], [b"same"] * 8000])
def test_every_shard_but_the_last_has_half_to_twice_its_target(shard_size: int, lines: list[bytes]) -> None:
    shards = list(cut(numbered(lines), shard_size))
    for shard, target in zip(shards[:-1], targets(shard_size), strict=False):
        assert target / 2 <= len(shard) <= 2 * target
    assert len(shards[-1]) <= 2 * shard_size


def test_first_shards_are_small() -> None:
    sizes = [len(shard) for shard in cut(numbered(rows(5000)), 1000)]
    assert sizes[0] <= 64
    assert all(size <= 2 * target for size, target in zip(sizes, SMALL_SHARDS, strict=False))


def test_equal_lines_are_cut_at_half_or_twice_the_target() -> None:
    sizes = [len(shard) for shard in cut(numbered([b"same"] * 10_000), 1000)]
    assert sizes[:5] == [64, 128, 256, 512, 1024]
    assert sizes[5:-1] == [2000] * len(sizes[5:-1])


def test_borders_do_not_depend_on_line_numbers() -> None:
    lines = rows(3000)
    shifted = [(number + 7, text) for number, text in numbered(lines)]
    assert texts(list(cut(shifted, 100))) == texts(list(cut(numbered(lines), 100)))


def test_lines_that_are_appended_move_the_last_shard_only() -> None:
    lines = rows(5000)
    before, after = (list(cut(numbered(some), 100)) for some in (lines, lines + rows(10, seed=1)))
    assert after[: len(before) - 1] == before[:-1]


def ends(lines: list[bytes], shard_size: int) -> list[int]:
    return list(itertools.accumulate(len(shard) for shard in cut(numbered(lines), shard_size)))


@settings(max_examples=80, derandomize=True, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2999), st.sampled_from([100, 300]))
def test_an_inserted_row_leaves_the_shards_alone_that_did_not_look_at_it(seed: int, place: int, size: int) -> None:
    lines = rows(3000, seed)
    before, after = ends(lines, size), ends([*lines[:place], b"new", *lines[place:]], size)
    unseen = [end for end in before if end + 2 * size <= place]
    assert after[: len(unseen)] == unseen


@settings(max_examples=80, derandomize=True, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 1500), st.sampled_from([100, 300]))
def test_after_one_common_border_all_borders_are_common(seed: int, place: int, size: int) -> None:
    lines = rows(6000, seed)
    before = ends(lines, size)[5:]
    after = [end - 1 for end in ends([*lines[:place], b"new", *lines[place:]], size)[5:]]
    common = min(end for end in {*before} & {*after} if end > place)
    assert before[before.index(common) :] == after[after.index(common) :]
    assert common < 4000


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("change", ["insert", "remove", "replace"])
def test_a_changed_row_mostly_moves_one_shard_or_two(early: bool, change: str) -> None:
    rng = random.Random(5)
    counts = Counter[int]()
    for seed in range(60):
        lines = rows(4000, seed)
        place = rng.randrange(900) if early else rng.randrange(1100, 3500)
        new = [] if change == "remove" else [b"new"]
        counts[moved(lines, [*lines[:place], *new, *lines[place + (change != "insert") :]], 200)] += 1
    assert counts[1] + counts[2] >= 57
    assert max(counts) <= 5


def test_no_shard_has_more_text_than_allowed() -> None:
    lines = [b"%04d" % i + b"x" * (i * 37 % 900) for i in range(4000)]
    shards = list(cut(numbered(lines), 1000, most_bytes=20_000))
    assert [line for shard in shards for line in shard] == numbered(lines)
    assert max(sum(len(text) for _, text in shard) for shard in shards) <= 20_000


def test_a_row_inserted_among_long_ones_moves_few_shards() -> None:
    lines = [text * 40 for text in rows(4000)]
    after = [*lines[:2000], b"new", *lines[2000:]]
    before_shards = set(texts(list(cut(numbered(lines), 1000, most_bytes=50_000))))
    after_shards = set(texts(list(cut(numbered(after), 1000, most_bytes=50_000))))
    assert len(before_shards) > 80
    assert len(after_shards - before_shards) <= 3


def test_a_line_longer_than_allowed_is_a_shard_of_its_own() -> None:
    shards = list(cut(numbered([b"a", b"b" * 99, b"c"]), 10, most_bytes=50))
    assert texts(shards) == [(b"a",), (b"b" * 99,), (b"c",)]


def test_lines_are_asked_for_as_shards_are() -> None:
    asked = itertools.count()
    shards = cut(((next(asked), b"%d" % i) for i in range(100_000)), 100)
    assert next(shards)
    assert next(asked) <= 64
