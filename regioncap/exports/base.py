"""The contract of an export: rows of an output in, files of another format out.

`regioncap/registry.py` lists ours; for a user's own see `regioncap/plugins.py`.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Literal, Protocol, TypeVar

from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef
from regioncap.output.reading import Captioned
from regioncap.records import Row
from regioncap.row_work import row_work
from regioncap.storage.filesystem import Place

T = TypeVar("T")

Direction = Literal["box2text", "text2box"]
Coords = Literal["0-1", "0-1000", "px"]
Rows = Callable[[], Iterator[Captioned]]
"""Returns the rows from the start; an export may make several passes."""


@dataclass(frozen=True)
class ExportOptions:
    """The options of an export. `read_image`: returns an image's bytes; raises RowReject. `categories`:
    those of the COCO file that the run read, as COCO has them. `direction`, `coords`: for conversations."""

    read_image: Callable[[ImageRef], bytes]
    categories: Sequence[Row] = ()
    direction: Direction = "box2text"
    coords: Coords = "0-1"


@dataclass
class ExportResult:
    """What was written. `left_out`: numbers of rows that could not be exported, by reason."""

    files: list[str] = field(default_factory=list)
    rows: int = 0
    regions: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def count(self, row: Captioned) -> None:
        """Count a row that was written."""
        self.rows += 1
        self.regions += len(row.bbox)

    def made(self, row: Captioned, make: Callable[[], T]) -> T | None:
        """What `make` makes of `row`, before anything of it is written; None, and the row is left out, if it fails."""
        try:
            with row_work("export", row.image):
                return make()
        except RowReject as reject:
            self.left_out[reject.code] += 1
            return None


def rows_seen(rows: Rows, look: Callable[[Captioned], None]) -> None:
    """Have `look` see all rows before the export; rows that it fails for are left out later."""
    for row in rows():
        with contextlib.suppress(RowReject), row_work("export", row.image):
            look(row)


class Export(Protocol):
    """Writes `rows` to `out`, all or nothing, in memory independent of their number. Raises StorageError."""

    def __call__(self, rows: Rows, out: Place, setting: ExportOptions) -> ExportResult:
        """Write the export."""


class Array:
    """A JSON array that is written element by element."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._between = b"[\n"

    def add(self, element: bytes) -> None:
        """Write one more element, given as JSON."""
        self._out.write(self._between + element)
        self._between = b",\n"

    def close(self) -> None:
        """Write the closing bracket."""
        self._out.write(b"[]" if self._between == b"[\n" else b"\n]")
