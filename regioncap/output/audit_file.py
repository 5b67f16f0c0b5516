"""The file of an output's audit, `out.audit.json`: read for the report and for `--where`, written by the audit."""

from __future__ import annotations

import contextlib

from regioncap.output.outputs import outputs_at
from regioncap.records import Row, dumps, loads
from regioncap.storage.filesystem import Place

SCHEMA = 1
"""Of the file: raised when a reader of the old one would misread the new one."""


def read_audit(output: Place) -> Row | None:
    """The audit of the output at `output`; None when there is none, or the file is damaged or of another kind."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        found = loads(outputs_at(output).audit.read())
        if isinstance(found, dict) and found.get("schema") == SCHEMA:
            return found
    return None


def write_audit(output: Place, audit: Row) -> Place:
    """Write the audit beside the output; where it is."""
    place = outputs_at(output).audit
    place.write(dumps({"schema": SCHEMA, **audit}) + b"\n")
    return place
