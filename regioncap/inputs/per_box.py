"""Reads tables with one row per box as rows with a list of boxes: all rows of an image, in any order, become one.

An image's rows may be spread over several files; the joined row belongs to the file that holds the first of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from regioncap.errors import RowReject, UsageError
from regioncap.image_ref import without_place
from regioncap.inputs.grouping import Groups
from regioncap.inputs.sharding import Lines
from regioncap.inputs.streams import ReadProgress, made_row, row_text
from regioncap.records import Row, loads_given
from regioncap.row_keys import MISSING, image_name_at, value_at

Read = Callable[[ReadProgress], Lines]


@dataclass
class PerBoxTable:
    """The files of one table, grouped once and readable any number of times.

    `files`: the reader of each. `image_key`: the column of the image. `box_columns`: four columns with the numbers of a
    box, or one with all four (a list, or its JSON text). `boxes_key`: the key of the list of boxes. `fields`: columns
    that become lists with one value per box; other columns keep their value, or become lists if an image's rows differ
    in it.
    """

    files: Sequence[Read]
    image_key: str
    box_columns: Sequence[str]
    boxes_key: str
    fields: Sequence[str]
    _groups: Groups | None = None
    _starts: list[int] = field(default_factory=list)
    """For every file, the number of its first row among all rows; finally the number after the last row."""

    def reader(self, place: int) -> Read:
        """The reader of file number `place`: yields (line of the image's first row, the joined row as JSON)."""

        def read(gauge: ReadProgress) -> Lines:
            if self._groups is None:
                self._groups = self._grouped(gauge)
            first, behind = self._starts[place], self._starts[place + 1]
            at = first
            gauge.done = lambda: (at - first) / max(behind - first, 1)
            for head, texts in self._groups.groups(first, behind):
                at = head[0]
                yield self._row(texts)
            gauge.done = lambda: 1.0

        return read

    def _grouped(self, gauge: ReadProgress) -> Groups:
        groups, place = Groups(), 0
        starts = []
        for read in self.files:
            starts.append(place + 1)
            for number, text in read(gauge):
                if without_place(text)[1]:
                    raise UsageError(
                        "rows: expected per_image, got per_box: each row of this input has the bytes of its image in "
                        "itself, so that nothing says which of them are one image"
                    )
                image = _image(text, self.image_key)
                # A row without an image gets a key of its own: it is rejected later, alone.
                key = b"=" + image.encode("utf-8", "surrogatepass") if image else b"#%d" % (place + 1)
                place = groups.add(key, b"%d\t%s" % (number, text))
        self._starts = [*starts, place + 1]
        groups.close_groups()
        return groups

    def _row(self, texts: list[bytes]) -> tuple[int, bytes]:
        split = [text.split(b"\t", 1) for text in texts]
        number, first = int(split[0][0]), split[0][1]

        def joined() -> bytes:
            rows = [_object(text) for _, text in split]
            return first if rows[0] is None else row_text(self._joined([row for row in rows if row is not None]))

        return number, made_row(joined, first)

    def _joined(self, rows: list[Row]) -> Row:
        boxes = [box_of(row, self.box_columns) for row in rows]
        # A row without a box only declares the image.
        boxed = [place for place, box in enumerate(boxes) if box is not None]
        taken = {self.image_key, *self.box_columns, self.boxes_key}
        others = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in taken]
        found: Row = {key: value for key in (self.image_key,) if (value := value_at(rows[0], key)) is not MISSING}
        found[self.boxes_key] = [boxes[place] for place in boxed] or None
        for name in dict.fromkeys((*self.fields, *others)):
            values = [value_at(row, name, None) for row in rows]
            if name in self.fields:
                found[name] = [values[place] for place in boxed]
            else:
                found[name] = values[0] if all(value == values[0] for value in values) else values
        return found


def box_of(row: Row, columns: Sequence[str]) -> Any:
    """A row's box, from one column or four, with numeric text converted to numbers; None if it has no box."""
    if len(columns) == 1:
        box = _number(value_at(row, columns[0], None))
        single = isinstance(box, list) and len(box) == 1 and isinstance(box[0], list)
        return (box[0] if single else box) or None
    numbers = [_number(value_at(row, name, None)) for name in columns]
    return None if all(number is None for number in numbers) else numbers


def _number(value: Any) -> Any:
    """`value`, parsed as JSON if it is text that is valid JSON, as in CSV; None for blank text."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return loads_given(value.encode("utf-8", "surrogatepass"))
    except ValueError:
        return value


def _object(text: bytes) -> Row | None:
    try:
        found = loads_given(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _image(text: bytes, image_key: str) -> str:
    with contextlib.suppress(RowReject):
        return image_name_at(_object(text) or {}, image_key)
    return ""
