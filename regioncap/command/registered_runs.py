"""The runs that a cache knows, by its register."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.storage.cache_folder import CacheFolder, register_of
from regioncap.storage.filesystem import Place
from regioncap.storage.runs import RUNS, RegisterEntry, entry_place, read_entry
from regioncap.storage.urls import is_url


@dataclass(frozen=True)
class RegisteredRun:
    """An output's runs, as its entry tells. `changed_at`: when the latest one began or finished, seconds since 1970."""

    prefix: str
    entry: Place
    changed_at: float
    content: RegisterEntry

    def config(self, cache: Place, *, finished: bool) -> RegionCapConfig:
        """The settings of the latest finished run, or of the latest one, with paths that do not depend on the working
        directory. Raises UsageError."""
        values = self.content.finished_config if finished and self.content.shards else self.content.config
        try:
            return RegionCapConfig(**{**values, **self._absolute(values), "cache_path": cache.address})
        except UsageError as error:
            raise UsageError(
                f"the settings of the run for {self.content.output} cannot be read ({error}); run it again, or leave "
                "it out with --forget"
            ) from None

    def has_known_folder(self) -> bool:
        """Whether it is known where the input lies: earlier versions did not record the working directory."""
        source, output = str(self.content.config.get("input", "")), self.content.output
        if self.content.folder or is_url(source) or Path(source).is_absolute():
            return True
        # The entry is named by the output's absolute path: if that is the same from here, so is the input's.
        is_relative = not is_url(output) and not Path(output).is_absolute()
        return is_relative and entry_place(self.entry.parent, self.prefix, output).name == self.entry.name

    def _absolute(self, values: dict[str, Any]) -> dict[str, str]:
        paths = {name: values.get(name) for name in RegionCapConfig.fields_read_by("path")}
        return {
            name: str(Path(self.content.folder, path)) + ("/" if path.endswith("/") else "")
            for name, path in paths.items()
            if isinstance(path, str) and path and not is_url(path) and not path.startswith("~")
        }


@dataclass
class Register:
    """The registered runs of a cache, of every prefix. `damaged`: entries and folders that cannot be read."""

    folder: CacheFolder
    runs: list[RegisteredRun] = field(default_factory=list)
    damaged: list[Place] = field(default_factory=list)

    @classmethod
    def of(cls, folder: CacheFolder, forgotten: Sequence[Place] = ()) -> Register:
        """All runs but those of the entries `forgotten`. Raises StorageError."""
        found = cls(folder)
        for prefix in folder.prefixes:
            unreadable = len(folder.unreadable)
            for file in folder.files(register_of(prefix)):
                if file.whose == "ours" and file.item.name.endswith(".json") and file.place not in forgotten:
                    try:
                        run = RegisteredRun(prefix, file.place, file.item.changed_at, read_entry(file.place))
                    except FileNotFoundError:
                        continue
                    except ValueError:
                        found.damaged.append(file.place)
                    else:
                        found.runs.append(run)
            if len(folder.unreadable) > unreadable:
                found.damaged.append(folder.place.child(f"{prefix}{RUNS}"))
        return found

    def of_prefix(self, prefix: str) -> Iterator[RegisteredRun]:
        """The runs of one prefix."""
        return (run for run in self.runs if run.prefix == prefix)


def entries_of(outputs: Sequence[str], folder: CacheFolder, prefix: str) -> list[Place]:
    """The register's entries of these outputs. Raises UsageError for one that has none, naming those that have."""
    entries = [entry_place(folder.place, prefix, output) for output in outputs]
    unknown = [output for output, entry in zip(outputs, entries, strict=True) if entry.size() is None]
    if unknown:
        known = ", ".join(run.content.output for run in Register.of(folder).of_prefix(prefix)) or "none"
        raise UsageError(
            f"--forget: no run for {unknown[0]} is registered in {folder.place.url} under the prefix {prefix!r}; the "
            f"registered outputs: {known}"
        )
    return entries
