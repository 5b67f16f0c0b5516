"""The register of outputs: with which settings and step files each was made. One entry per output.

`{cache_path}/{file_name_prefix}_runs/{name}.json`, replaced by the output's next run. `regioncap explain` compares
against it, and `regioncap prune` learns from it which step files are still in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regioncap.records import dumps, loads
from regioncap.storage.filesystem import Place
from regioncap.storage.steps import digest
from regioncap.storage.urls import is_url

RUNS = "_runs"

ShardKeys = list[str]
"""Keys of the steps 0 to 6 of one shard."""


def entry_place(cache: Place, file_name_prefix: str, output: str) -> Place:
    """The register's entry of an output."""
    absolute = output if is_url(output) else str(Path(output).resolve())
    return cache.child(f"{file_name_prefix}{RUNS}", f"{digest(absolute)}.json")


def entries(cache: Place, file_name_prefix: str) -> list[Place]:
    """The register's entries of all outputs under a prefix."""
    folder = cache.child(f"{file_name_prefix}{RUNS}")
    return [folder.child(name) for name in folder.names() if name.endswith(".json")]


def register(entry: Place, output: str, config: dict[str, Any], shards: Sequence[ShardKeys]) -> None:
    """Record the settings and step files of an output. `shards`: for each shard, the keys of its steps 0 to 6."""
    entry.write(dumps({"schema": 1, "output": output, "config": config, "shards": shards}) + b"\n")


@dataclass(frozen=True)
class RegisterEntry:
    """A register entry: the settings of the output's latest run, and the step files of its latest finished run."""

    output: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    shards: list[ShardKeys] = field(default_factory=list)


def registered(entry: Place) -> RegisterEntry:
    """The entry's content; an empty one when it is missing or cannot be read."""
    try:
        found = loads(entry.read())
        shards = [list(map(str, keys)) for keys in found["shards"]]
        return RegisterEntry(str(found["output"]), dict(found["config"]), shards)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return RegisterEntry()
