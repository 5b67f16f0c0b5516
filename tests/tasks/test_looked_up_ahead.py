"""How many shards are looked up ahead, and held for it, in an object store."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from regioncap.records import Shard
from regioncap.tasks import shard as shard_module
from regioncap.tasks.shard import looked_up_ahead


@pytest.mark.parametrize(
    ("text", "images", "most"), [(b"short", {}, 16), (b"long" * 20, {}, 2), (b"short", {"a.jpg": bytes(80)}, 2)]
)
def test_no_more_is_held_ahead_than_a_shard_may_hold(
    text: bytes, images: dict[str, bytes], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_module, "MAX_BYTES", 100)
    taken: list[int] = []

    def shards() -> Iterator[Shard]:
        for index in range(40):
            taken.append(index)
            yield Shard(index, "", [(index, text)], 0.1, images)

    context: Any = SimpleNamespace(cache=SimpleNamespace(is_local=False))
    ahead = [len(taken) - shard.index for shard, _ in looked_up_ahead(shards(), lambda shard: None, context)]
    assert max(ahead) == most
