"""Reads the input as shards: which files it consists of, in which order, and which of their rows are used.

A file of rows, a folder or glob of them, or a folder or glob of images; at a path or any fsspec URL. See
`regioncap/inputs/formats.py` for the formats and `regioncap/inputs/sharding.py` for the shard borders.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import islice

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.image_ref import without_place
from regioncap.inputs.braces import expand
from regioncap.inputs.coco import CocoFile, coco_fields, looks_like_coco
from regioncap.inputs.formats import READERS, file_kind, reader_of
from regioncap.inputs.found_files import FoundInput, find_files, find_root
from regioncap.inputs.parquet import ParquetReader
from regioncap.inputs.per_box import PerBoxTable
from regioncap.inputs.sharding import Line, Lines, cut
from regioncap.inputs.streams import ReadProgress, row_text
from regioncap.inputs.tar_rows import LeftOut, TarReader
from regioncap.records import Row, Shard, loads_given
from regioncap.row_keys import MISSING, keys_in_words, paths_of, value_at
from regioncap.storage.filesystem import Filesystems, Place, path_of
from regioncap.storage.urls import is_url, public_url, without_query

COLUMN_SAMPLE_ROWS = 100
"""Rows of a table that are read to learn its columns."""

MAX_SIZE_REQUESTS = 100
"""Up to this many files in an object store are sized at the start, with a request each; beyond, all weigh the same."""


@dataclass
class InputFile:
    """A unit of input that no shard extends beyond: a data file, or all images of a folder.

    `source`: its name in the shards. `weight`: its weight when progress is estimated, in any unit. `read`: reads its
    rows.
    """

    source: str
    weight: float
    read: Callable[[ReadProgress], Lines]
    gauge: ReadProgress = field(default_factory=ReadProgress)


def read_shards(config: RegionCapConfig, files: Filesystems) -> Generator[Shard]:
    """The input's shards, in order: files sorted by name, rows in file order. One shard is held at a time.

    `limit` takes the first N rows and reads no further. `sample` takes the N rows with the smallest hash of file name
    and text, in input order, so that a larger sample contains a smaller one; it reads the input twice and holds N
    hashes. With both, the sample is drawn from the first `limit` rows. Of rows with equal text, the first win.

    Raises UsageError at once if the input is missing, empty or of an unknown format; while reading, InputDamaged,
    StorageError, and UsageError for a file that cannot be read as rows.
    """
    return shards_of(input_files_of(find_files(config, files), config), config)


def input_root(config: RegionCapConfig, files: Filesystems) -> str:
    """The folder that the input's relative image paths start from, as a path or URL.

    See `regioncap.inputs.found_files.find_root`.
    """
    return find_root(files.place(without_query(config.input))).address


def secret_addresses(config: RegionCapConfig) -> dict[str, str]:
    """The URLs of the input's files by what rows have of them, where that leaves out a signature or a password."""
    if public_url(config.input) == config.input:
        return {}
    return {public_url(address): address for address in expand(config.input)}


def shards_of(input_files: list[InputFile], config: RegionCapConfig) -> Generator[Shard]:
    """The shards of the files of an input; see `read_shards`. May be called repeatedly."""
    chosen = None if config.sample is None else _choose(input_files, config.sample, config.limit)
    reading = _Reading(input_files, config.limit if chosen is None else max(chosen, default=0))
    wanted = config.limit if chosen is None else len(chosen)
    index = taken = 0
    before = 0.0
    for input_file in input_files:
        with closing(reading.rows(input_file)) as rows:
            for lines in cut((line for place, line in rows if chosen is None or place in chosen), config.shard_size):
                taken += len(lines)
                done = max(reading.done(), taken / wanted if wanted else 0.0)
                yield Shard(index, input_file.source, lines, max(done - before, 0.0))
                index, before = index + 1, max(done, before)


class _Reading:
    """One pass over the input's files, over at most `limit` rows (None: all)."""

    def __init__(self, input_files: list[InputFile], limit: int | None) -> None:
        self._limit = limit
        self._total = sum(input_file.weight for input_file in input_files)
        self._rows = 0
        self._behind = 0.0  # weight of the files before this one
        self._file: InputFile | None = None

    def rows(self, input_file: InputFile) -> Generator[tuple[int, Line], None, None]:
        """(position among all rows, from 1; line) of the rows of a file. Call it for each file in turn."""
        self._behind += self._file.weight if self._file else 0.0
        self._file = input_file
        with closing(input_file.read(input_file.gauge)) as lines:
            # The limit is checked before the next row is read: whatever follows it may be damaged.
            while self._rows != self._limit and (line := next(lines, None)) is not None:
                self._rows += 1
                yield self._rows, line

    def done(self) -> float:
        """Share of the input that has been read, 0..1."""
        here = self._file.weight * self._file.gauge.done() if self._file else 0.0
        return min((self._behind + here) / self._total, 1.0)


def _choose(input_files: list[InputFile], sample: int, limit: int | None) -> set[int]:
    """Positions of the `sample` rows with the smallest hashes among the first `limit` rows."""
    reading = _Reading(input_files, limit)
    heap: list[tuple[int, int]] = []  # negated, so that the largest hash is replaced first
    for input_file in input_files:
        key = hashlib.blake2b(input_file.source.encode("utf-8", "surrogateescape")).digest()
        with closing(reading.rows(input_file)) as rows:
            for place, (_, text) in rows:
                digest = hashlib.blake2b(text, digest_size=8, key=key).digest()
                item = (-int.from_bytes(digest), -place)
                if len(heap) < sample:
                    heapq.heappush(heap, item)
                elif item > heap[0]:
                    heapq.heapreplace(heap, item)
    return {-place for _, place in heap}


def input_files_of(found: FoundInput, config: RegionCapConfig) -> list[InputFile]:
    """The units of an input that consists of the files `found`."""
    if not found.data:
        return [InputFile("", 1, lambda gauge: _image_rows(found.images, config.image_key, gauge))]
    named = len(found.data) > 1
    sized = len(found.data) <= MAX_SIZE_REQUESTS or not is_url(config.input)
    readers = _readers(found, config)
    return [
        InputFile(file.relative_to(found.root.address) if named else "", (file.size() or 1) if sized else 1, read)
        for file, read in zip(found.data, readers, strict=True)
    ]


def region_fields_of(config: RegionCapConfig, files: Filesystems) -> tuple[str, ...]:
    """The region fields of a run: those named in the config, and those that come with the input's format.

    COCO adds `regioncap.inputs.coco.REGION_FIELDS`. A table with one row per box adds, if the config names none, all
    columns but the image and the box. Raises UsageError as `read_shards` does, and for a table without the columns
    of its boxes.
    """
    if config.rows == "per_image" and file_kind(without_query(config.input)) in READERS.keys() - {".json"}:
        return config.region_fields  # decided by the name alone: nothing has to be listed
    data = find_files(config, files).data
    if not data:
        return config.region_fields
    if config.rows == "per_box":
        columns = _columns(data[0], config)
        taken = {config.image_key, *(config.box_columns or (config.bbox_key,)), config.boxes_key}
        return config.region_fields or tuple(name for name in columns if name not in taken)
    if file_kind(data[0].file_name) == ".json" and looks_like_coco(data[0]):
        return coco_fields(config.region_fields)
    return config.region_fields


def _columns(file: Place, config: RegionCapConfig) -> list[str]:
    """The columns of a table, learned from its first rows. Raises UsageError if those of its boxes are missing."""
    rows: list[Row] = []
    read = _reader(file, config, ParquetReader(config.image_key, lambda place: place.url))
    with closing(read(ReadProgress())) as lines:
        for _, text in islice(lines, COLUMN_SAMPLE_ROWS):
            with suppress(ValueError):
                row = loads_given(without_place(text)[0])
                rows += [row] if isinstance(row, dict) else []
    boxes = dict.fromkeys(config.box_columns or (config.bbox_key,), "bbox_key")
    needed = dict.fromkeys(config.region_fields, "region_fields") | boxes | {config.image_key: "image_key"}
    for name in (config.image_key, *boxes, *config.region_fields):
        if rows and all(value_at(row, name) is MISSING for row in rows):
            setting = needed[name]
            hint = "; for a box in four columns give their names as a,b,c,d" if setting == "bbox_key" else ""
            known = keys_in_words(name, dict.fromkeys(path for row in rows for path in paths_of(row)))
            raise UsageError(f"{setting}: {file.url} has no column {name!r}; {known}{hint}")
    return list(dict.fromkeys(name for row in rows for name in row))


def _readers(found: FoundInput, config: RegionCapConfig) -> list[Callable[[ReadProgress], Lines]]:
    tars = _tar_readers(found, config)
    parquet = ParquetReader(config.image_key, lambda file: _container(file, found.root, config))
    readers = [tars[file].read if file in tars else _reader(file, config, parquet) for file in found.data]
    if config.rows == "per_image":
        return readers
    columns = config.box_columns or (config.bbox_key,)
    table = PerBoxTable(readers, config.image_key, columns, config.boxes_key, config.region_fields)
    return [table.reader(place) for place in range(len(readers))]


def _tar_readers(found: FoundInput, config: RegionCapConfig) -> dict[Place, TarReader]:
    tars = [file for file in found.data if file_kind(file.file_name) == ".tar"]
    if tars and config.rows == "per_box":
        raise UsageError(f"rows: {tars[0].url} is a tar, with one row per image; per_box is for tables")
    left_out: LeftOut = {}
    return {
        file: TarReader(
            file,
            _container(file, found.root, config),
            config.image_key,
            file.files.place(config.cache_path).child("tars"),
            left_out,
            is_last=file is tars[-1],
        )
        for file in tars
    }


def tar_index_names(config: RegionCapConfig, files: Filesystems) -> list[str]:
    """Names, in the cache, of the indexes of an input's tars as they are now. Raises UsageError, StorageError."""
    found = find_files(config, files)
    return [name for reader in _tar_readers(found, config).values() if (name := reader.index_name)]


def _container(file: Place, root: Place, config: RegionCapConfig) -> str:
    """How rows name the file that holds their images: on disk by its path below the folder that images are sought in,
    so that it may be moved; elsewhere by its URL, without secrets."""
    if not file.is_local:
        return public_url(file.address)
    return file.relative_to(root.address) if config.image_root is None else path_of(file)


def _reader(file: Place, config: RegionCapConfig, parquet: ParquetReader) -> Callable[[ReadProgress], Lines]:
    if file_kind(file.file_name) == ".parquet":
        return partial(parquet.read, file)
    read = reader_of(file.file_name, config.csv_encoding)
    if file_kind(file.file_name) != ".json" or config.rows == "per_box":
        return lambda gauge: read(file, gauge)
    coco = CocoFile(
        file,
        config.image_key,
        config.boxes_key,
        coco_fields(config.region_fields),
        own_image_key=config.image_key != type(config).model_fields["image_key"].default,
        box_format=config.bbox_format if config.bbox_unit == "px" else None,
    )
    # Every pass reads the file again; whether it is COCO is checked once.
    is_coco = cache(lambda: looks_like_coco(file))
    return lambda gauge: coco.read(gauge) if is_coco() else read(file, gauge)


def _image_rows(names: list[str], image_key: str, gauge: ReadProgress) -> Lines:
    number = 0
    gauge.done = lambda: number / len(names)
    for number, name in enumerate(names, 1):
        yield number, row_text({image_key: name})
