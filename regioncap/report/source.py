"""What a report is made from: rows and rejects, of an output or of an unfinished run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef, ref_in_output
from regioncap.output.pictures import Pictures
from regioncap.output.reading import Captioned
from regioncap.output.summary import Summary
from regioncap.output.where import Condition, chosen
from regioncap.records import Row
from regioncap.row_keys import image_name_at

NOT_YET = "not_yet"
"""In the place of a reject's code: a row of an unfinished run, neither captioned nor rejected."""


class Source(Protocol):
    """Rows and rejects, one at a time; each call starts from the beginning."""

    def rows(self) -> Iterator[Captioned]:
        """The captioned rows, in order."""

    def rejects(self) -> Iterator[Row]:
        """The lines of the rejects file, in order; of an unfinished run also rows that are `NOT_YET` done."""


@dataclass(frozen=True)
class ChosenRows:
    """The captioned rows and regions of `source` that meet all conditions of `where`; no rejects, which have none.

    `rows` raises UsageError as `chosen` does.
    """

    source: Source
    where: tuple[str, ...]

    def rows(self) -> Iterator[Captioned]:
        """The rows that are left, in order, with the numbers that they have in `source`."""
        return chosen(self.source.rows(), [Condition.of(text) for text in self.where])

    def rejects(self) -> Iterator[Row]:
        """None."""
        return iter(())


@dataclass(frozen=True)
class ReportOptions:
    """What a page is made from besides its rows.

    `pictures`: reads its images. `where`: conditions that its rows and regions meet. `against`: another run to compare
    with. `note`: a remark on an unfinished run. `not_begun`: number of its rows that it has not started. `audit`:
    what the file of the output's audit holds, if there is one. `key`: identifies the content of the page; "" if
    unknown.
    """

    title: str
    config: RegionCapConfig
    pictures: Pictures
    where: tuple[str, ...] = ()
    summary: Summary | None = None
    against: Source | None = None
    against_title: str = ""
    note: str = ""
    not_begun: int = 0
    audit: Row | None = None
    key: str = ""


def reject_image(reject: Row, image_key: str) -> ImageRef | None:
    """The image that a rejected row names; None where it names none."""
    row: Any = reject.get("row")
    with contextlib.suppress(RowReject):
        return ref_in_output(image_name_at(row, image_key), reject, image_key) if isinstance(row, dict) else None
    return None
