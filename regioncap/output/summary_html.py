"""A run's summary as a notebook shows it: the counts and the first pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from regioncap.printable import printable
from regioncap.records import Row, cut_text

if TYPE_CHECKING:
    from regioncap.output.summary import Summary

MAX_NAME_CHARS = 120
PICTURE_WIDTH = 320
"""Maximum width of a picture, in pixels of the notebook."""


def summary_html(summary: Summary, pictures: Sequence[tuple[Row, bytes]]) -> str:
    """The summary as HTML that stands alone. `pictures`: rows with `line`, `image` and `captions`, and their JPEGs."""
    problem = f"<p><b>{_text(summary.problem)}</b></p>" if summary.problem else ""
    rows = "".join(
        f"<tr><td>{name}</td><td style='text-align:right'>{count}</td></tr>" for name, count in _counts(summary)
    )
    files = f"<p>{_text(summary.output)}<br>{_text(summary.rejects_file)}</p>"
    shown = "".join(_picture(row, jpeg) for row, jpeg in pictures)
    return (
        f"<div>{problem}<table>{rows}</table>{files}"
        f"<div style='display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start'>{shown}</div></div>"
    )


def _counts(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "rows in", f"{summary.rows_in:,}"
    yield "rows captioned", f"{summary.rows_out:,}"
    yield "rows rejected", f"{summary.rejects:,}"
    for code, count in summary.rejects_by_code.items():
        yield f"&emsp;{_text(code)}", f"{count:,}"
    yield "regions captioned", f"{summary.regions:,}"
    for flag, count in summary.flags.items():
        yield f"flagged: {_text(flag)}", f"{count:,}"
    if summary.audit is not None:
        yield "captions asked for again", _text(str(summary.audit))
    for name, count in summary.edits.items():
        yield f"edits: {_text(name)}", f"{count:,}"
    if summary.requests:
        yield "requests", f"{summary.requests:,}"
    if summary.usd is not None:
        yield "US dollars", f"{summary.usd:,.4f}"
    yield "seconds", f"{summary.wall_seconds:,.1f}"


def _picture(row: Row, jpeg: bytes) -> str:
    items = "".join(f"<li>{_text(caption)}</li>" for caption in row["captions"])
    data = base64.b64encode(jpeg).decode("ascii")
    name = _text(cut_text(str(row["image"]), MAX_NAME_CHARS))
    return (
        f"<figure style='margin:0;max-width:{PICTURE_WIDTH}px'>"
        f"<img style='max-width:100%' alt='marked picture' src='data:image/jpeg;base64,{data}'>"
        f"<figcaption style='overflow-wrap:anywhere'>{name} (line {row['line']})<ol>{items}</ol></figcaption></figure>"
    )


def _text(text: str) -> str:
    return escape(printable(text))
