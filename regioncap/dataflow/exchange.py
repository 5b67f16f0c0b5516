"""Where a run under DataFlow's names reads its rows from, and how its rows get to the next operator.

A storage that only keeps files is read and written as files, so that values stay as they are. Any other hands its rows
over through `read()` and takes them through `write()`: what it has may be in memory, in a database, or a batch.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from regioncap.dataflow.handover import row_line
from regioncap.dataflow.storage import step_path
from regioncap.dataflow.tables import as_passed_on, rows_of, write_rows
from regioncap.errors import RegionCapError, StorageError, UsageError
from regioncap.output.reading import lines_of
from regioncap.records import Row
from regioncap.row_work import words_of
from regioncap.storage.filesystem import Place
from regioncap.storage.urls import is_url

CACHE = ".regioncap"
"""The run's cache inside the storage's folder. No step file has this name: those have `_step` in theirs."""

FILE_TYPES = ("jsonl", "json", "csv", "parquet")


@dataclass(frozen=True)
class Exchange:
    """The files of one run. `input`, `output`: as in `region_caption`; `cache_path`: of the run, absolute. `target`:
    the file of the next step, None where the storage takes the rows itself."""

    storage: Any
    input: str
    output: str
    cache_path: str
    target: str | None

    def hand_on(self) -> None:
        """Give the output's rows to the next operator. Raises UsageError, StorageError."""
        if self.target is None:
            self._write_rows()
        elif self.target.endswith(".jsonl"):
            if not _same_file(self.target, self.output):
                with Place(self.output).open() as source, Place(self.target).writer() as file:
                    shutil.copyfileobj(source, file)
        else:
            write_rows(self.target, self.storage.cache_type, self._rows)

    def _rows(self) -> Iterator[Row]:
        return lines_of(Place(self.output))

    def _write_rows(self) -> None:
        rows = list(self._rows())
        with _storage_work(self.storage, "write"):
            self.storage.write(as_passed_on(rows))


def exchange_of(storage: Any, image_key: str, input_path: str | None, output_path: str | None) -> Exchange:
    """The files of a run on this storage. `input_path`, `output_path`: those given to the operator; they win.

    Raises UsageError for what is no storage, is before its first step or has no rows; StorageError.
    """
    if not callable(getattr(storage, "read", None)) or not callable(getattr(storage, "write", None)):
        raise UsageError(
            f"storage: expected a storage with read() and write(), such as FileStorage(…).step(), got "
            f"{type(storage).__name__}"
        )
    if keeps_files(storage):
        return _by_files(storage, input_path, output_path)
    return _by_rows(storage, image_key, input_path, output_path)


def keeps_files(storage: Any) -> bool:
    """Whether a storage's rows are those in its files: its `read` and `write` are a FileStorage's own, ours or
    DataFlow's, and so is the format."""
    own = all(
        getattr(getattr(storage, name), "__qualname__", "") == f"FileStorage.{name}" for name in ("read", "write")
    )
    if not own or storage.cache_type not in FILE_TYPES:
        return False
    first = str(storage.first_entry_file_name)
    # Data sets on hubs, as DataFlow names them, and what only pandas reads.
    return storage.operator_step != 0 or not (first.startswith(("hf:", "ms:")) or first.endswith((".pickle", ".xlsx")))


def _by_files(storage: Any, input_path: str | None, output_path: str | None) -> Exchange:
    source, target = input_path or step_path(storage), step_path(storage, ahead=1)
    beside = target if storage.cache_type == "jsonl" else f"{target.rpartition('.')[0]}.regioncap.jsonl"
    return Exchange(storage, source, output_path or beside, _cache(storage), target)


def _by_rows(storage: Any, image_key: str, input_path: str | None, output_path: str | None) -> Exchange:
    cache = _cache(storage)
    if input_path and output_path:
        return Exchange(storage, input_path, output_path, cache, None)
    if input_path:
        name = hashlib.sha256(input_path.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    else:
        with _storage_work(storage, "read"):
            rows = rows_of(storage.read("dict"))
        if not rows:
            raise UsageError("storage: has no rows at this step; expected at least one")
        data = b"".join(row_line(row, image_key) + b"\n" for row in rows)
        name = hashlib.sha256(data).hexdigest()[:12]
        place = Place(cache).child("rows", f"{name}.jsonl")
        input_path = place.address
        if place.size() != len(data):
            place.write(data)
    # Named after the rows: each batch of a pipeline in batches has its own, and so its own rejects.
    return Exchange(storage, input_path, output_path or f"{_stem(storage, cache)}-{name}.regioncap.jsonl", cache, None)


def _stem(storage: Any, cache: str) -> str:
    prefix, step = getattr(storage, "file_name_prefix", None), getattr(storage, "operator_step", None)
    name = prefix if isinstance(prefix, str) and prefix else "dataflow"
    return f"{cache.removesuffix(CACHE)}{name}{f'_step{step + 1}' if isinstance(step, int) else ''}"


def _cache(storage: Any) -> str:
    """The run's cache, absolute, so that `image_with_bbox` is: next operators open it from anywhere."""
    folder = getattr(storage, "cache_path", None) or "."
    folder = os.fspath(folder)
    return f"{folder.rstrip('/') if is_url(folder) else os.path.abspath(folder)}/{CACHE}"  # noqa: PTH100 - no symlinks resolved


def _same_file(one: str, other: str) -> bool:
    return one == other or (not is_url(one) and not is_url(other) and os.path.abspath(one) == os.path.abspath(other))  # noqa: PTH100


@contextlib.contextmanager
def _storage_work(storage: Any, doing: str) -> Iterator[None]:
    """In this block whatever the storage's own code raises becomes a StorageError that names the storage."""
    try:
        yield
    except RegionCapError:
        raise
    except Exception as error:
        name, reason = type(storage).__name__, f"{type(error).__name__}: {words_of(error)}"
        raise StorageError(f"the storage {name}", doing, reason) from error
