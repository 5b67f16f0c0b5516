"""People's corrections for the rows of an output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.rows import read_rows, write_rows


def edit_of(row: dict[str, Any], region: int = 1, action: str = "approve", caption: str = "") -> dict[str, Any]:
    """The edit of a region of an output row, as the report page saves it; without a `caption`, of the one it has."""
    meta = row["meta_info"]
    return {
        "image_sha256": meta["image_sha256"], "bbox": meta["bbox"][region - 1], "action": action,
        "caption": caption or text_of(row, region), "image": row["image"], "region": region,
        "time": "2026-01-02T03:04:05Z",
    }  # fmt: skip


def text_of(row: dict[str, Any], region: int = 1) -> str:
    """A region's caption in an output row, without its label."""
    return str(row["mdvp_record"][region - 1]).removeprefix(f"<region{region}> ")


def write_edits(path: Path, *edits: dict[str, Any]) -> str:
    """A file of edits; returns its path."""
    return str(write_rows(path, list(edits)))


def marks_in(path: Path) -> list[list[str | None] | None]:
    """`meta_info.edited` of each row of an output."""
    return [row["meta_info"].get("edited") for row in read_rows(path)]
