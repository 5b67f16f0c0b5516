"""What a report is made of: rows and rejects, of an output or of a run that goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from regioncap.config.model import RegionCapConfig
from regioncap.output.pictures import Pictures
from regioncap.output.reading import Captioned
from regioncap.output.summary import Summary
from regioncap.records import Row


class Source(Protocol):
    """Rows and rejects, from the start with each call, one at a time."""

    def rows(self) -> Iterator[Captioned]:
        """The captioned rows, in order."""

    def rejects(self) -> Iterator[Row]:
        """The lines of the rejects file, in order."""


@dataclass(frozen=True)
class ReportSetting:
    """What a page is made of besides its rows.

    `pictures`: where its images are. `against`: another run to compare with. `note`: what is to be said of an
    unfinished run. `key`: names what the page is made of; "" where that is not known.
    """

    title: str
    config: RegionCapConfig
    pictures: Pictures
    summary: Summary | None = None
    against: Source | None = None
    against_title: str = ""
    note: str = ""
    key: str = ""


def reject_image(reject: Row, image_key: str) -> str:
    """The image that a rejected row names; "" where it names none."""
    row: Any = reject.get("row")
    image = row.get(image_key) if isinstance(row, dict) else None
    return image if isinstance(image, str) else ""
