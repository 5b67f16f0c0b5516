"""Reads WebDataset tars as rows: one for each sample, with the place of its image; the images are not read here.

The first pass over a tar reads its headers and the small members that become fields, and keeps the rows as an index in
the cache; while the tar stays as it is, later passes read that alone.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial

from regioncap.errors import InputDamaged
from regioncap.inputs.sharding import Lines
from regioncap.inputs.streams import RawFile, ReadProgress, made_row
from regioncap.inputs.tar_index import TarIndex
from regioncap.inputs.tar_samples import is_read, samples_of, text_of
from regioncap.records import cut_text
from regioncap.storage.compression import DECOMPRESSION_ERRORS, MAGIC_BYTES, compression_in
from regioncap.storage.filesystem import Place, path_of
from regioncap.storage.tar_headers import TarDamaged, TarStream, members_of
from regioncap.storage.tar_streams import TarFile

READER_VERSION = 1
"""Raise it when a tar gives other rows than before."""

logger = logging.getLogger("regioncap")


LeftOut = dict[str, Counter[str]]
"""What tars hold and no row has: for each tar the count of every kind of member."""


@dataclass(frozen=True)
class TarReader:
    """Reads one tar. `container`: its path or URL, as rows give it. `image_key`: the rows' key for their images.
    `cache`: folder of the indexes, or None. `left_out`: counts of members that are not read, of all tars of the input.
    `is_last`: whether this is the input's last tar, after which these counts are logged.
    """

    place: Place
    container: str
    image_key: str
    cache: Place | None
    left_out: LeftOut
    is_last: bool = True

    def read(self, gauge: ReadProgress) -> Lines:
        """Yield (number of the sample from 1, text of its row). Raises InputDamaged, with the byte of the decompressed
        tar, StorageError, and UsageError where a decompressor is not installed."""
        index = self._index()
        kept = index.rows(gauge) if index is not None else None
        if kept is not None:
            self.left_out[self.container], lines = kept
        else:
            counts = self.left_out[self.container] = Counter()
            lines = self._rows(gauge, counts)
            lines = lines if index is None else index.keeping(lines, counts)
        with closing(lines):
            yield from lines
        if self.is_last:
            self._tell_left_out()

    @property
    def index_name(self) -> str:
        """The name, without its ending, of the file that the tar's rows are kept in; "" if they are not kept."""
        index = self._index()
        return index.name if index is not None else ""

    def _index(self) -> TarIndex | None:
        """Where the rows of the tar as it is now are kept; None where nothing would tell that it was changed."""
        version = self.place.version()
        if self.cache is None or version is None or (version[1] is None and not isinstance(version[0], str)):
            return None
        where = path_of(self.place) if self.place.is_local else self.place.url
        return TarIndex(self.cache, [READER_VERSION, where, version, self.container, self.image_key])

    def _rows(self, gauge: ReadProgress, left_out: Counter[str]) -> Lines:
        with self._stream(gauge) as stream, self._damage_named():
            for number, sample in enumerate(samples_of(members_of(stream, is_read), left_out), 1):
                yield number, made_row(partial(text_of, sample, self.container, self.image_key))

    @contextmanager
    def _stream(self, gauge: ReadProgress) -> Iterator[TarStream]:
        size = self.place.size()
        compression = compression_in(self.place.read_range(0, MAGIC_BYTES)) if size else ""
        file = TarFile(partial(RawFile, self.place), self.place.read_range, size, not self.place.is_local, compression)
        with file.stream() as (stream, taken):
            gauge.done = lambda: min(taken() / size, 1.0) if size else 0.0
            try:
                yield stream
            finally:
                gauge.done = lambda: 1.0

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except TarDamaged as error:
            raise InputDamaged(self.place.url, f"byte {error.at:,}", error.reason) from error
        except DECOMPRESSION_ERRORS as error:
            raise InputDamaged(self.place.url, "its compressed data", str(error) or type(error).__name__) from error

    def _tell_left_out(self) -> None:
        counts = sum(self.left_out.values(), Counter[str]())
        if counts:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
            logger.info("members of tars that are not read: %s", cut_text(kinds))


def read_tar(place: Place, gauge: ReadProgress) -> Lines:
    """The rows of a tar by itself; see `TarReader`. Nothing is kept."""
    return TarReader(place, place.url, "image", None, {}).read(gauge)
