"""Shards are joined as they finish, and the output is what it would be without that."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from regioncap.output import joined_ahead
from regioncap.output.join import ShardSteps, Tally, row_format, write_rows
from regioncap.output.joined_ahead import join_ahead, write_joined
from regioncap.run.context import RunContext
from tests.support.photos import write_photo
from tests.support.rows import BOX
from tests.support.rows import write_rows as write_input
from tests.support.runs import config_of
from tests.support.steps import steps_of

Written = tuple[bytes, bytes, Tally]


@pytest.fixture
def context(tmp_path: Path) -> Iterator[RunContext]:
    """A run over forty rows in several shards, one row without its image."""
    write_photo(tmp_path / "p.png", 1)
    rows = [{"image": "p.png", "bbox": [BOX], "n": number} for number in range(40)]
    write_input(tmp_path / "photos.jsonl", [*rows, {"image": "gone.png"}])
    context = RunContext(config_of(tmp_path, shard_size=8))
    yield context
    context.close()


@pytest.fixture
def shards(context: RunContext) -> list[ShardSteps]:
    return [steps_of(shard, context) for shard in context.shards()]


def written(shards: list[ShardSteps], context: RunContext) -> Written:
    out, rejects = io.BytesIO(), io.BytesIO()
    tally = write_joined(shards, context, out, rejects)
    return out.getvalue(), rejects.getvalue(), tally


def without_it(shards: list[ShardSteps], context: RunContext) -> Written:
    out, rejects = io.BytesIO(), io.BytesIO()
    tally = write_rows(shards, context, row_format(context), out, rejects)
    return out.getvalue(), rejects.getvalue(), tally


def waiting_bytes(context: RunContext) -> int:
    file = context.once(joined_ahead.JoinedShards.of_run)._file
    return 0 if file is None else file.seek(0, io.SEEK_END)


def remove_captions(context: RunContext) -> None:
    """Remove the files of step 6: whoever reads them fails."""
    for path in (Path(context.config.cache_path)).glob("*_step6/*.jsonl"):
        path.unlink()


def test_the_lines_are_those_of_a_join_at_the_end(context: RunContext, shards: list[ShardSteps]) -> None:
    expected = without_it(shards, context)
    for steps in reversed(shards[1:]):  # in whichever order they finish; one is left to the end
        join_ahead(steps, context)
    assert written(shards, context) == expected
    assert expected[2].rows_out == 40


def test_a_shard_is_not_joined_twice(context: RunContext, shards: list[ShardSteps]) -> None:
    expected = without_it(shards, context)
    for steps in shards:
        join_ahead(steps, context)
    remove_captions(context)
    assert written(shards, context) == expected


def test_a_shard_that_cannot_be_joined_yet_is_left_to_the_end(context: RunContext, shards: list[ShardSteps]) -> None:
    kept = {path: path.read_bytes() for path in Path(context.config.cache_path).glob("*_step6/*.jsonl")}
    remove_captions(context)
    for steps in shards:
        join_ahead(steps, context)
    for path, data in kept.items():
        path.write_bytes(data)
    assert written(shards, context) == without_it(shards, context)


def test_a_full_disk_leaves_it_to_the_end(
    context: RunContext, shards: list[ShardSteps], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> object:
        raise OSError("No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    join_ahead(shards[0], context)
    assert written(shards, context) == without_it(shards, context)


def test_a_nearly_full_disk_is_left_to_the_output(
    context: RunContext, shards: list[ShardSteps], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = without_it(shards, context)
    for steps in shards[:-1]:
        join_ahead(steps, context)
    assert waiting_bytes(context) > 0
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    join_ahead(shards[-1], context)
    assert waiting_bytes(context) == 0
    assert written(shards, context) == expected


def test_a_disk_that_fills_up_after_the_last_shard_is_left_to_the_output(
    context: RunContext, shards: list[ShardSteps], monkeypatch: pytest.MonkeyPatch
) -> None:
    for steps in shards:
        join_ahead(steps, context)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    assert written(shards, context) == without_it(shards, context)
    assert waiting_bytes(context) == 0


def test_only_so_much_waits(context: RunContext, shards: list[ShardSteps], monkeypatch: pytest.MonkeyPatch) -> None:
    join_ahead(shards[0], context)
    monkeypatch.setattr("regioncap.output.joined_ahead.MAX_BYTES", waiting_bytes(context) + 1)
    for steps in shards[1:]:
        join_ahead(steps, context)
    assert written(shards, context) == without_it(shards, context)
    assert waiting_bytes(context) <= joined_ahead.MAX_BYTES
