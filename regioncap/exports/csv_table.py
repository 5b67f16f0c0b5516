"""CSV (RFC 4180, UTF-8) with one line per region.

Spreadsheets run a cell that begins like a formula, whoever wrote it: a model, a data set, a file's name. Such text gets
a `'` in front, as OWASP advises (https://owasp.org/www-community/attacks/CSV_Injection); numbers stay as they are.
`unescaped` gives the text back.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from functools import partial

from regioncap.exports.base import ExportOptions, ExportResult, Rows
from regioncap.exports.columns import Columns, cell, unused_name
from regioncap.output.reading import Captioned
from regioncap.storage.filesystem import Place

COLUMNS = ("image", "width", "height", "type", "region", "x", "y", "w", "h", "caption", "flags")
"""The first columns. Region fields and the row's own keys follow under their names, prefixed with `field_` or `row_`
if the name is taken."""

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]")
"""How a cell begins that may be run. The last four are full-width forms, which some spreadsheets accept, too."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def escaped(text: str) -> str:
    """`text` as a cell that no spreadsheet runs.

    >>> escaped("=1+1"), escaped("- a dog"), escaped("-1.5"), escaped("'Tis a dog")
    ("'=1+1", "'- a dog", '-1.5', "'Tis a dog")
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def unescaped(text: str) -> str:
    """The text of a cell that `escaped` made.

    >>> unescaped("'=1+1"), unescaped("'Tis a dog")
    ('=1+1', "'Tis a dog")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def write_csv(rows: Rows, out: Place, setting: ExportOptions) -> ExportResult:
    """Write one file. `x`, `y`, `w`, `h` in pixels; `flags` separated by `;`; lists and objects as JSON text; text that
    begins like a formula `escaped`."""
    done = ExportResult(files=[out.url])
    columns = Columns.of(rows)
    names = {name: unused_name(name, COLUMNS, "field_") for name in columns.regions}
    taken = (*COLUMNS, *names.values())
    own = {name: unused_name(name, taken, "row_") for name in columns.rows}
    with out.writer() as file:
        file.write(_lines([[*COLUMNS, *names.values(), *own.values()]]))
        for row in rows():
            lines = done.made(row, partial(_lines_of, row, names, own))
            if lines is not None:
                file.write(lines)
                done.count(row)
    return done


def _lines_of(row: Captioned, names: Iterable[str], own: Iterable[str]) -> bytes:
    carried = [_cell(row.row.get(name)) for name in own]
    lines = []
    for place in range(len(row.bbox)):
        fields = [_cell(row.fields[name][place] if name in row.fields else None) for name in names]
        lines.append([*_region(row, place), *fields, *carried])
    return _lines(lines)


def _lines(lines: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    safe = ([escaped(value) if isinstance(value, str) else value for value in line] for line in lines)
    csv.writer(text).writerows(safe)  # ends lines with \r\n, so that cells with either character are quoted
    return text.getvalue().encode()


def _region(row: Captioned, place: int) -> list[object]:
    values = (row.image, row.width, row.height, row.kind, row.regions[place], *row.bbox[place])
    return [*map(_cell, values), _cell(row.captions[place]), ";".join(row.flags[place])]


def _cell(value: object) -> object:
    found = cell(value, "text") if isinstance(value, dict | list | str) else value
    # Many CSV readers take a zero byte for the end of the text.
    return found.replace("\0", "\ufffd") if isinstance(found, str) else found
