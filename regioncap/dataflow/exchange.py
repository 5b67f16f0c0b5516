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

from regioncap.dataflow.handover import Handover
from regioncap.dataflow.storage import FileStorage, step_path
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
    handover: Handover

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
        rows = [self.handover.back(row) for row in self._rows()]
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
    cache = _cache(storage)
    if keeps_files(storage):
        source, target = input_path or _existing(storage), step_path(storage, ahead=1)
        output = output_path or (
            target if storage.cache_type == "jsonl" else f"{_stem(storage, cache)}.regioncap.jsonl"
        )
        return Exchange(storage, source, output, cache, target, Handover(image_key))
    handover = Handover(image_key)
    source = input_path or _rows_file(storage, cache, handover)
    # Named after the rows: each batch of a pipeline in batches has its own output, and so its own rejects.
    output = output_path or f"{_stem(storage, cache)}-{_name_of(source)}.regioncap.jsonl"
    return Exchange(storage, source, output, cache, None, handover)


def keeps_files(storage: Any) -> bool:
    """Whether a storage's rows are those in its files: its `read` and `write` are those of `FileStorage`, ours or
    DataFlow's, which no subclass has replaced; and we know the format."""
    if (
        not all(_is_of_file_storage(storage, name) for name in ("read", "write"))
        or storage.cache_type not in FILE_TYPES
    ):
        return False
    first = str(storage.first_entry_file_name)
    # Data sets on hubs, as DataFlow names them, and what only pandas reads.
    return storage.operator_step != 0 or not (first.startswith(("hf:", "ms:")) or first.endswith((".pickle", ".xlsx")))


def _is_of_file_storage(storage: Any, name: str) -> bool:
    method = getattr(storage, name)
    where = getattr(method, "__module__", ""), getattr(method, "__qualname__", "")
    return where in ((FileStorage.__module__, f"FileStorage.{name}"), ("dataflow.utils.storage", f"FileStorage.{name}"))


def _existing(storage: Any) -> str:
    path = step_path(storage)
    if storage.operator_step > 0 and not Place(path).exists():
        raise UsageError(
            f"storage: {Place(path).url} does not exist; expected what the operator before this one writes"
        )
    return path


def _rows_file(storage: Any, cache: str, handover: Handover) -> str:
    """The storage's rows as a file in the run's cache, named after what is in it."""
    with _storage_work(storage, "read"):
        rows = rows_of(storage.read("dict"))
    if not rows:
        raise UsageError("storage: has no rows at this step; expected at least one")
    data = b"".join(handover.line(row) + b"\n" for row in rows)
    place = Place(cache).child("rows", f"{_name_of(data)}.jsonl")
    if place.size() != len(data):
        place.write(data)
    return place.address


def _name_of(source: str | bytes) -> str:
    data = source if isinstance(source, bytes) else source.encode("utf-8", "surrogateescape")
    return hashlib.sha256(data).hexdigest()[:12]


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
