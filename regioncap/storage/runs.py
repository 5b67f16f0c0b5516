"""The register of outputs: with which settings and step files each was made. One entry per output.

`{cache_path}/{file_name_prefix}_runs/{name}.json`, written when a run of the output begins and when it ends.
`regioncap explain` compares against it, and `regioncap prune` learns from it what is still in use. Beside it,
`{name}.marks` says when the output's marked pictures were last checked, see `regioncap.run.marks_check`, and in an
object store `{name}.steps` what its latest finished run knew of its steps, see `regioncap.storage.remembered`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

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


def beside(entry: Place, kind: Literal["marks", "steps"]) -> Place:
    """What else there is of an entry's output, as the module's docstring says."""
    return entry.parent.child(f"{entry.name.removesuffix('.json')}.{kind}")


@dataclass(frozen=True)
class RegisterEntry:
    """A register entry: the settings of the output's latest run, and the step files of its latest finished run."""

    output: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    shards: list[ShardKeys] = field(default_factory=list)
    """For each shard, the keys of its steps 0 to 6."""
    finished: bool | None = None
    """Whether the latest run finished; None for entries of earlier versions, which do not tell."""
    finished_config: dict[str, Any] = field(default_factory=dict)
    """The settings of the latest finished run."""
    folder: str = ""
    """The working directory of the latest run, where relative paths in `config` start."""


def register_start(entry: Place, output: str, config: dict[str, Any]) -> None:
    """Record that a run with these settings has begun; the latest finished run of the output stays known."""
    before = registered(entry)
    _write(entry, replace(before, output=output, config=config, finished=False, folder=str(Path.cwd())))


def register_end(entry: Place, output: str, config: dict[str, Any], shards: Sequence[ShardKeys]) -> None:
    """Record the settings and step files that an output was made with."""
    _write(entry, RegisterEntry(output, config, list(shards), True, config, str(Path.cwd())))


def _write(entry: Place, content: RegisterEntry) -> None:
    entry.write(dumps({"schema": 1, **asdict(content)}) + b"\n")


def registered(entry: Place) -> RegisterEntry:
    """The entry's content; an empty one when it is missing or cannot be read."""
    try:
        return read_entry(entry)
    except (FileNotFoundError, ValueError):
        return RegisterEntry()


def read_entry(entry: Place) -> RegisterEntry:
    """The entry's content. Raises FileNotFoundError, and ValueError when it is damaged."""
    text = entry.read()
    try:
        found = loads(text)
        shards = [list(map(str, keys)) for keys in found["shards"]]
        config = dict(found["config"])
        return RegisterEntry(
            str(found["output"]), config, shards, found.get("finished"),
            dict(found.get("finished_config") or (config if shards else {})), str(found.get("folder", "")),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a register entry: {error}") from None


# --- when the marked pictures of an output were checked


@dataclass(frozen=True)
class CheckTimes:
    """Seconds since 1970 by the clock of the cache's filesystem."""

    run_began: float
    """When the output's latest run was registered."""
    last_check: float
    """0.0 if there was none."""
    now: float


def start_marks_check(entry: Place) -> CheckTimes:
    """The times that a check of the marked pictures of the entry's output goes by."""
    mark, last = _check_place(entry), 0.0
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        last = float(loads(mark.read())["checked_at"])
    end_marks_check(entry, last)  # the filesystem's clock is read off the file
    return CheckTimes(entry.changed_at() or 0.0, last, mark.changed_at() or 0.0)


def end_marks_check(entry: Place, checked_at: float) -> None:
    """Record that the marked pictures were whole at this time."""
    _check_place(entry).write(dumps({"checked_at": checked_at}) + b"\n", durable=False)


def _check_place(entry: Place) -> Place:
    return beside(entry, "marks")
