"""What a run says of itself: `Summary`, the content of `out.summary.json`, and a line of `out.runs.jsonl`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Bill(BaseModel):
    """What one run asked for and spent; added to `out.runs.jsonl` by every run, stopped ones too."""

    model_config = ConfigDict(extra="ignore")

    captions_asked: int = 0
    """Regions that were sent to the captioner in this run."""
    captions_new: int = 0
    """Of those, the ones that came back with a caption."""
    captions_repaired: int = 0
    """Of the new ones, those that came only when asked for again."""
    requests: int = 0
    """Requests sent to model servers, those that failed and those that tried a server out among them."""
    requests_retried: int = 0
    """Requests that had to be sent again, because the server failed or was overloaded."""
    finish_reasons: dict[str, int] = Field(default_factory=dict)
    """How answers ended, as the server says: `stop`, `length`, …"""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None
    """What the tokens cost, where the config has prices."""
    step_seconds: dict[str, float] = Field(default_factory=dict)
    """Wall seconds inside each step's body, added over shards; steps that were reused took none."""
    wall_seconds: float = 0.0
    started_at: str = ""
    finished_at: str = ""


class Summary(Bill):
    """What came of a run. Counts are rows, or boxes and regions where the name says so."""

    schema_version: int = 1
    complete: bool
    """Whether the output was put in its place; else it lies beside, as `….incomplete.jsonl`."""
    problem: str = ""
    """Why the run is not a success, in words for people; "" when it is one."""
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
    """Regions whose caption was there before this run."""
    keys_replaced: dict[str, int]
    """Keys of input rows that the output's own keys took the place of."""
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
