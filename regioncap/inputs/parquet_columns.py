"""Which columns of a Parquet file become part of rows, and what stands for the images whose bytes lie in it.

The bytes of images are never part of a row: the row names the file, and its image is read when it is needed. Nor are
those of other images (Hugging Face's `{"bytes", "path"}`), nor large ones of any kind: they would fill every step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from regioncap.records import Row
from regioncap.storage.parquet_schema import ANY, BYTES, MAP, PATH, ImageColumn, Step, image_column, leaves

LARGE_BYTES = 1_000
"""Columns of bytes that hold more than this in a row, on average, are left out."""


class Columns:
    """The columns of an open Parquet file. `image_key`: the key of the rows' images.

    `names`: paths of the columns that are read. `image`: the column with the images' bytes; None if there is none.
    `left_out`: paths of other columns of bytes that are not read.
    """

    def __init__(self, file: Any, image_key: str) -> None:
        self._file = file
        self.image = image_column(file.schema_arrow, image_key)
        self.names: list[str] = []
        self.left_out: list[str] = []
        ways = list(leaves(file.schema_arrow))
        for leaf, way in enumerate(ways):
            name = file.metadata.schema.column(leaf).path
            if self.image is not None and leaf == self.image.leaf:
                continue
            if self._is_bytes(leaf) and MAP not in way and (_of_image(way, ways) or self._is_large(leaf)):
                self.left_out.append(name)
            else:
                self.names.append(name)

    def _is_bytes(self, leaf: int) -> bool:
        column = self._file.metadata.schema.column(leaf)
        return column.physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY") and column.logical_type.type == "NONE"

    def _is_large(self, leaf: int) -> bool:
        about = self._file.metadata
        size = sum(about.row_group(group).column(leaf).total_uncompressed_size for group in range(about.num_row_groups))
        return bool(size > LARGE_BYTES * about.num_rows)

    def with_images(self, group: int) -> Sequence[bool] | None:
        """Whether each row of a row group has an image in it; None where all have, or the file does not say.

        Only for a row group with some images and some nulls their bytes are read: nothing else tells which is which.
        """
        if self.image is None:
            return None
        about = self._file.metadata.row_group(group)
        column = about.column(self.image.leaf)
        if column.statistics is None or not column.statistics.has_null_count:
            return list(self._looked_up(self.image, group)) if self.image.in_struct else None
        nulls = column.statistics.null_count
        if not nulls:
            return None
        return [False] * about.num_rows if nulls == column.num_values else list(self._looked_up(self.image, group))

    def _looked_up(self, image: ImageColumn, group: int) -> Iterator[bool]:
        name, rows, seen = self._file.metadata.schema.column(image.leaf).path, 0, 0
        rows = self._file.metadata.row_group(group).num_rows
        with suppress(ValueError, OSError):  # damage: reading the images meets it again, and there it belongs to rows
            for batch in self._file.iter_batches(16, row_groups=[group], columns=[name]):
                for value in batch.column(0):
                    seen += 1
                    yield _is_there(image, value)
        yield from [True] * (rows - seen)


def _is_there(image: ImageColumn, value: Any) -> bool:
    try:
        return image.cell(value) is not None
    except LookupError:
        return True


def _of_image(way: tuple[Step, ...], ways: Sequence[tuple[Step, ...]]) -> bool:
    return way[-1] == BYTES and (*way[:-1], PATH) in ways


def place_image(row: Row, image: ImageColumn, name: str | None) -> bool:
    """Put what names a row's image in its place, and beside it the path that came with its bytes, as `image_path`.

    `name`: that of the file with the bytes; None: the path is the image's name. Returns False, and leaves the row as
    it is, for a list of none or several images.
    """
    value: Any = row
    for step in image.steps:
        if step == ANY and isinstance(value, list) and len(value) != 1:
            return False
        value = _member(value, step)
    path = value.get(PATH) if isinstance(value, dict) else None
    row |= _put(row, image.steps, path if name is None else name)
    *parents, last = [step for step in image.steps if step != ANY]
    if name is not None and path is not None and isinstance(last, str):
        parent: Any = row
        for step in parents:
            parent = _member(parent, step)
        parent.setdefault(f"{last}_path", path)
    return True


def _member(value: Any, step: Step) -> Any:
    if isinstance(step, str):
        return value.get(step) if isinstance(value, dict) else None
    return value[max(step, 0)] if isinstance(value, list) and len(value) > max(step, 0) else None


def _put(value: Any, steps: Sequence[Step], name: str | None) -> Any:
    """`value` with `name` at the end of the way, which is made where it is missing; in place of a list of one."""
    if not steps:
        return name
    head, rest = steps[0], steps[1:]
    inner = _put(_member(value, head), rest, name)
    if isinstance(head, str):
        return {**(value or {}), head: inner}
    if head == ANY:
        return inner
    items = list(value or [])
    items += [None] * (head + 1 - len(items))
    items[head] = inner
    return items
