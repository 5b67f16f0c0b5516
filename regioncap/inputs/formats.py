"""Reads data files as rows: JSON Lines, JSON arrays and CSV, with one function per format, chosen by file name.

Each yields (line number from 1, JSON text of the row) in file order. Judging a row's text is up to `load`: text that
is not JSON is passed on unchanged. Only a broken container stops reading, with `InputDamaged`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath

from regioncap.errors import UsageError
from regioncap.inputs.csv_rows import read_csv
from regioncap.inputs.json_array import split_array
from regioncap.inputs.lines import BOM, damage_at, lines_of
from regioncap.inputs.parquet import read_parquet
from regioncap.inputs.sharding import MAX_BYTES, Lines
from regioncap.inputs.streams import ReadProgress, compression, open_stream
from regioncap.records import loads
from regioncap.storage.filesystem import Place

Reader = Callable[[Place, ReadProgress], Lines]


def file_kind(name: str) -> str:
    """The extension that tells a file's format, in lower case, without that of its compression.

    >>> file_kind("photos.JSONL.gz")
    '.jsonl'
    """
    return PurePosixPath(name.lower().removesuffix(compression(name))).suffix


def read_json_lines(place: Place, gauge: ReadProgress) -> Lines:
    """JSON Lines: one row per line, split at b"\\n" alone, since JSON text may hold U+2028. Blank lines are skipped.

    Raises InputDamaged if compressed data is broken; StorageError.
    """
    with open_stream(place, gauge) as stream:
        for number, line in lines_of(place, stream):
            text = line.rstrip(b"\r\n")
            if text.strip():
                yield number, text


def read_json(place: Place, gauge: ReadProgress) -> Lines:
    """A `.json` file: an array of rows if it begins with `[` (numbered by element), else JSON Lines.

    Raises InputDamaged if the array or compressed data is broken; UsageError for one object over many lines.
    """
    with open_stream(place, gauge) as stream:
        with damage_at(place, lambda: "line 1"):
            head = stream.peek().removeprefix(BOM).lstrip()
        if head.startswith(b"["):
            # The splitter raises InputDamaged itself, with the element's position.
            yield from split_array(place, stream, MAX_BYTES)
            return
        if head.startswith(b"{"):
            _refuse_one_object(place, head)
    yield from read_json_lines(place, gauge)


def _refuse_one_object(place: Place, head: bytes) -> None:
    """Raise UsageError if the file is one object over many lines, as pretty printers write it."""
    first, end, rest = head.partition(b"\n")
    if not end or not rest.strip() or not first.rstrip().endswith((b"{", b"[", b",")):
        return
    try:
        loads(first)
    except ValueError:
        raise UsageError(
            f"input: {place.url} is one JSON object over many lines; expected an array of rows ([…]) or JSON Lines "
            "(one row per line). To extract the rows: jq -c '.[\"images\"][]' FILE > rows.jsonl"
        ) from None


READERS: dict[str, Reader] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": partial(read_csv, preferred="\t"),
    ".parquet": read_parquet,
}
"""Readers of data files by extension."""

IMAGES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Extensions of image files."""
