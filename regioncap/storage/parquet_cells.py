"""Images in cells of Parquet files: only their column is read, row group by row group, and a few rows at a time.

A row group can be read from its beginning only, and consecutive shards share one. So reading stops behind the last row
that is wanted, and goes on from there when the next shard comes.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef
from regioncap.row_work import words_of
from regioncap.storage.bounded_read import BoundedReader
from regioncap.storage.image_errors import shown_image
from regioncap.storage.parquet_groups import Footer, NoCell, RowGroup
from regioncap.storage.ranges import RangeFile
from regioncap.storage.urls import is_url

MAX_FOOTERS = 64
MAX_GROUPS = 8
"""Footers, and row groups that are read in part, which are remembered."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ParquetCells:
    """The images in Parquet files at any path or URL, within what `reader` allows. Methods may be called from many
    threads."""

    def __init__(self, reader: BoundedReader) -> None:
        self._reader = reader
        self._footers = _Recent[str, Footer](MAX_FOOTERS)
        self._groups = _Recent[tuple[str, str, int], RowGroup](MAX_GROUPS)

    def read(self, address: str, ref: ImageRef) -> bytes:
        """The bytes of one image of the file at `address`. Raises RowReject, and what the filesystem raises."""
        ((_, data),) = self.read_group(address, [ref])
        return data

    def by_group(self, address: str, refs: Sequence[ImageRef]) -> list[list[ImageRef]]:
        """The images of one file, those of each row group together; rows that the file does not have are left out.
        Raises as `read` does."""
        groups: dict[int, list[ImageRef]] = {}
        with _translated(refs[0]):
            self._footer(address)
        for ref in refs:
            with contextlib.suppress(NoCell):
                groups.setdefault(self._place(address, ref)[0], []).append(ref)
        return list(groups.values())

    def read_group(self, address: str, refs: Sequence[ImageRef]) -> Iterator[tuple[ImageRef, bytes]]:
        """Images of one row group, each with its bytes, in the order of their rows; of several, those that are
        too large are left out. Raises as `read` does."""
        first = refs[0]
        with _translated(first):
            number, _ = self._place(address, first)
            group = self._groups.get((address, first.column, number), lambda: self._group(address, first, number))
            placed = sorted((self._place(address, ref)[1], ref.row, ref) for ref in refs)
        with group.lock:
            for index, _, ref in placed:
                with _translated(ref):
                    data: bytes = group.cell(index).as_py()
                if len(refs) == 1:
                    self._reader.check_size(len(data))
                if self._reader.fits(len(data)):
                    yield ref, data

    def close(self) -> None:
        """Let go of all files."""
        self._groups.clear()
        self._footers.clear()

    def _place(self, address: str, ref: ImageRef) -> tuple[int, int]:
        assert ref.row is not None
        return self._footer(address).place_of(ref.row)

    def _group(self, address: str, ref: ImageRef, number: int) -> RowGroup:
        footer = self._footer(address)
        return RowGroup(footer, footer.column_of(ref.column), number)

    def _footer(self, address: str) -> Footer:
        return self._footers.get(address, lambda: Footer(self._opener(address)))

    def _opener(self, address: str) -> Callable[[], Any]:
        self._reader.check(address)
        if not is_url(address):
            return partial(_open_on_disk, address)
        size = int(self._reader.info(address)["size"])
        return lambda: RangeFile(partial(self._reader.read_range, address), size)


def _open_on_disk(path: str) -> Any:
    import pyarrow as pa

    return pa.OSFile(path)


@contextlib.contextmanager
def _translated(ref: ImageRef) -> Iterator[None]:
    """In this block what pyarrow says of the file is the row's reject; what its filesystem says is left."""
    import pyarrow as pa

    try:
        yield
    except NoCell as error:
        raise RowReject("image_missing", f"{shown_image(str(ref))} has no image of its own: {error}") from None
    except (pa.ArrowException, OSError) as error:
        if not isinstance(error, pa.ArrowException) and (type(error) is not OSError or error.errno is not None):
            raise  # not what pyarrow raises for damage: the store's own
        message = f"{shown_image(str(ref))} cannot be read: the file is damaged there ({words_of(error)[:80]})"
        raise RowReject("image_unavailable", message) from None


class _Recent(Generic[K, V]):
    """What was used last, made when it is asked for and not there."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._found: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        made = make()  # without the lock: it may take requests
        with self._lock:
            made = self._found.setdefault(key, made)
            self._found.move_to_end(key)
            while len(self._found) > self._most:
                self._found.popitem(last=False)
        return made

    def clear(self) -> None:
        with self._lock:
            self._found.clear()
