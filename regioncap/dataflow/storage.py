"""DataFlow's file storage: a pipeline's data as one file for each step.

Step 0 is the pipeline's input; an operator at step k reads the file of step k and writes that of step k+1.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from regioncap.errors import ConfigError, UsageError

CacheType = Literal["jsonl", "json", "csv", "parquet"]
OutputType = Literal["dataframe", "dict"]


@dataclass
class FileStorage:
    """A pipeline's data in the files `{cache_path}/{file_name_prefix}_step{k}.{cache_type}`.

    `first_entry_file_name`: the data of step 0; its name decides the format. Paths may be any fsspec URLs. Raises
    ConfigError for another `cache_type`.

    >>> storage = FileStorage("photos.jsonl", cache_path="cache")
    >>> first, second = storage.step(), storage.step()
    >>> first.path(), second.path()
    ('photos.jsonl', 'cache/dataflow_cache_step_step1.jsonl')
    """

    first_entry_file_name: str
    cache_path: str = "./cache"
    file_name_prefix: str = "dataflow_cache_step"
    cache_type: CacheType = "jsonl"
    operator_step: int = field(default=-1, init=False)
    """Counted by `step()`, from 0."""

    def __post_init__(self) -> None:
        for name in ("first_entry_file_name", "cache_path"):
            value = getattr(self, name)
            if not isinstance(value, str | os.PathLike):
                raise ConfigError(name, "a path or URL", value)
            setattr(self, name, os.fspath(value))
        if not isinstance(self.file_name_prefix, str) or "/" in self.file_name_prefix:
            raise ConfigError("file_name_prefix", "the beginning of a file's name", self.file_name_prefix)
        if self.cache_type not in get_args(CacheType):
            raise ConfigError("cache_type", "jsonl, json, csv or parquet", self.cache_type)

    def step(self) -> FileStorage:
        """The storage as the next operator sees it; the counting goes on in this one."""
        self.operator_step += 1
        return copy.copy(self)

    def reset(self) -> FileStorage:
        """Start again before the first step."""
        self.operator_step = -1
        return self

    def path(self, ahead: int = 0) -> str:
        """The file that an operator reads at this step; with `ahead=1` the one that it writes. Raises UsageError before
        the first step."""
        return step_path(self, ahead)

    def read(self, output_type: OutputType = "dataframe") -> Any:
        """The rows of this step, as a pandas DataFrame or as a list of dicts.

        Raises UsageError for a missing or broken file, and for a DataFrame without pandas; StorageError.
        """
        from regioncap.dataflow.tables import as_frame, read_rows

        if output_type not in get_args(OutputType):
            raise ConfigError("output_type", "dataframe or dict", output_type)
        rows = read_rows(self.path())
        return as_frame(rows) if output_type == "dataframe" else rows

    def write(self, data: Any) -> str:
        """Write a DataFrame or a list of dicts as the next step's file, whole or not at all; returns its path.

        Raises UsageError for other data and for what the format cannot hold, StorageError.
        """
        from regioncap.dataflow.tables import rows_of, write_rows

        path, rows = self.path(ahead=1), rows_of(data)
        write_rows(path, self.cache_type, lambda: iter(rows))
        return path

    def get_keys_from_dataframe(self) -> list[str]:
        """The keys of this step's rows, as DataFlow's pipelines check them."""
        return list(dict.fromkeys(key for row in self.read("dict") for key in row))


def step_path(storage: Any, ahead: int = 0) -> str:
    """The file of a storage's step, `ahead` steps further on; see `FileStorage.path`. `storage`: ours or DataFlow's."""
    if storage.operator_step < 0:
        raise UsageError("storage: is before its first step; give the operator storage=storage.step()")
    if (step := storage.operator_step + ahead) > 0:
        return os.path.join(storage.cache_path, f"{storage.file_name_prefix}_step{step}.{storage.cache_type}")  # noqa: PTH118 - may be a URL
    if not storage.first_entry_file_name:
        raise UsageError("first_entry_file_name: is empty; expected the path or URL of the pipeline's input")
    return str(storage.first_entry_file_name)
