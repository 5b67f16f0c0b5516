"""Rows of JSON Lines files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BOX = [12, 16, 36, 40]


def write_rows(path: Path, rows: list[Any]) -> Path:
    """Rows as JSON Lines; a string is written as it is."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
