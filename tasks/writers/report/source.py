"""What a report is made of: rows and rejects, of an output or of a run that goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from tasks.records import Row
from tasks.writers.reading import Captioned


class Source(Protocol):
    """Rows and rejects, from the start with each call, one at a time."""

    def rows(self) -> Iterator[Captioned]:
        """The captioned rows, in order."""

    def rejects(self) -> Iterator[Row]:
        """The lines of the rejects file, in order."""


def reject_image(reject: Row, image_key: str) -> str:
    """The image that a rejected row names; "" where it names none."""
    row: Any = reject.get("row")
    image = row.get(image_key) if isinstance(row, dict) else None
    return image if isinstance(image, str) else ""
