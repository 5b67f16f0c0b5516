"""`Summary`: the result of a run, the content of `out.summary.json`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

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
    captions_reused: int = 0
    """Regions whose caption existed before this run."""
    keys_replaced: dict[str, int]
    """Keys of input rows that were replaced by the output's own keys."""
    captioner: str
    model: str
    config: dict[str, Any]
    versions: dict[str, str]
    write_key: str
    output_bytes: int
    rejects_bytes: int

    @property
    def ok(self) -> bool:
        """Whether the run ends with exit code 0."""
        return not self.problem
