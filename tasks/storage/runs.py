"""Which step files each output was made of: one register entry an output, replaced by its next run.

`{cache_path}/{file_name_prefix}_runs/{name}.json`. `regioncap explain` compares with it, and whoever clears a cache
knows from it which step files are still named.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.records import Step, dumps, loads
from tasks.storage.filesystem import Place, is_url
from tasks.storage.steps import digest

ShardKeys = list[str]
"""Keys of the steps 0 to 6 of one shard."""


def entry_of(cache: Place, file_name_prefix: str, output: str) -> Place:
    """The register's entry of an output."""
    absolute = output if is_url(output) else str(Path(output).resolve())
    return cache.child(f"{file_name_prefix}_runs", f"{digest(absolute)}.json")


def register(entry: Place, output: str, config: dict[str, Any], shards: Sequence[Sequence[Step]]) -> None:
    """Say which step files the output was made of; `shards`: per shard its steps, 0 to 6."""
    keys = [[step.key for step in steps] for steps in shards]
    entry.write(dumps({"schema": 1, "output": output, "config": config, "shards": keys}) + b"\n")


def registered(entry: Place) -> list[ShardKeys]:
    """Per shard the keys of its steps, as the last run had them; [] when no run was registered."""
    try:
        found = loads(entry.read())
        return [list(map(str, keys)) for keys in found["shards"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []
