"""`Summary`: the result of a run, the content of `out.summary.json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field, PrivateAttr

from regioncap.output.audited import AuditFigures
from regioncap.output.summary_html import summary_html
from regioncap.records import Row
from regioncap.run.progress import Bill


class Summary(Bill):
    """Run summary. Counts are rows unless the name says boxes or regions."""

    schema_version: int = 1
    complete: bool
    """Whether the output was replaced; otherwise the rows are in `….incomplete.jsonl` beside it."""
    problem: str = ""
    """Why the run did not succeed, for people to read; "" when it did."""
    input: str
    output: str
    rejects_file: str
    rows_in: int
    rows_out: int
    rejects: int
    rejects_by_code: dict[str, int]
    regions: int
    """Regions with a caption in the output."""
    boxes_in: int
    """Boxes of the captioned rows: `regions` plus those dropped."""
    boxes_dropped: dict[str, int]
    flags: dict[str, int] = Field(default_factory=dict)
    """Regions by flag; a region may have several. See `regioncap.output.caption_flags`."""
    audit: AuditFigures | None = None
    """What was found where the run audited itself (`audit_rows`)."""
    edits: dict[str, int] = Field(default_factory=dict)
    """Of people's corrections: regions of the output by mark (`approved`, `edited`, `rejected`), `rows` that have any,
    and `unused`, edits that fit no row. Empty for a run without edits."""
    unused_edits_file: str = ""
    """Where the edits are listed that fit no row; "" if there are none."""
    captions_reused: int = 0
    """Regions whose caption existed before this run."""
    files_left_out: dict[str, int] = Field(default_factory=dict)
    """Files of an input folder or glob that were not read, by kind: an extension, or words (`hidden`)."""
    keys_replaced: dict[str, int]
    """Keys of input rows that were replaced by the output's own keys."""
    captioner: str
    model: str
    config: dict[str, Any]
    versions: dict[str, str]
    write_key: str
    output_bytes: int
    rejects_bytes: int

    _pictures: list[tuple[Row, bytes]] = PrivateAttr(default_factory=list)

    def with_pictures(self, pictures: list[tuple[Row, bytes]]) -> Summary:
        """This summary, to be shown with the run's first pictures: rows with `line`, `image` and `captions`, and small
        JPEGs."""
        self._pictures = pictures
        return self

    @property
    def unused_edits(self) -> str:
        """In words, how many edits fit no row; "" if all of them do."""
        count = self.edits.get("unused", 0)
        return f"{count:,} {'edit fits' if count == 1 else 'edits fit'} no row" if count else ""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What a prompt shows: not the settings, which are the larger part."""
        for name in ("complete", "problem", "rows_in", "rows_out", "rejects", "regions", "output", "wall_seconds"):
            yield name, getattr(self, name)

    def _repr_html_(self) -> str:
        """What a notebook shows; see https://ipython.readthedocs.io/en/stable/config/integrating.html."""
        return summary_html(self, self._pictures)

    @property
    def ok(self) -> bool:
        """Whether the run ends with exit code 0."""
        return not self.problem
