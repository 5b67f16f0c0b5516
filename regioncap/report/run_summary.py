"""The content of a run's page in Prefect's UI: Markdown and tables, made from its summary and rows, without Prefect.

Prefect stores the result in its database; only the run's page reads it.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from regioncap.config.setting_names import by_setting_names
from regioncap.image_ref import ref_of
from regioncap.output.join import ShardSteps, joined
from regioncap.output.summary import Summary
from regioncap.records import Row
from regioncap.report.markdown import address, cut, escape_markdown
from regioncap.run.context import RunContext
from regioncap.run.progress import Bill
from regioncap.storage.row_images import readable_name
from regioncap.vision.images import decode, encode_jpeg

PICTURE_PIXELS = 160_000
"""Maximum size of a picture on the page: about 20 KB in Prefect's database."""

PICTURE_QUALITY = 75
MAX_IMAGE_PIXELS = 100_000_000
MAX_SHARDS_SEARCHED = 50
"""Maximum number of shards searched for pictures, and for an example of each reject code."""

REJECT_ADVICE = {
    "bad_json": "fix the line, or write the file with a JSON library",
    "bad_row": "give each row an image; image_key sets the key",
    "bad_bbox": "give four numbers per box; see bbox_format and bbox_unit",
    "no_boxes": "nothing, if [] means that there are no regions; else set empty_bbox=find",
    "no_valid_boxes": "check bbox_format and bbox_unit: every box is outside the picture or has no area",
    "no_regions": "give boxes, or try another extractor, a lower min_score, or find_fallback=edges",
    "image_missing": "check the path and image_root",
    "image_unreadable": "replace the file: it is truncated or not an image",
    "image_too_large": "reduce the image, or raise max_image_pixels or max_image_bytes, as the message says",
    "image_refused": "fix the row, or add what it names to allowed_images if rows may read it",
    "image_unavailable": "run again: these rows are retried",
    "caption_failed": "run again: these rows are requested again",
    "captions_incomplete": "run again: only the missing captions are requested",
    "internal_error": "please report this bug; the log has its traceback",
}
"""What the user can do about rejects, by code."""


def slug_of(output: str) -> str:
    """An output's name as part of an artifact's key: lower case letters, digits and dashes."""
    name = output.rstrip("/").rpartition("/")[2].removesuffix(".jsonl")
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "output"


def outcome(summary: Summary) -> str:
    """How a run ended, in one line: what is wrong, if anything, and its headline."""
    return f"{summary.problem}. {headline(summary)}" if summary.problem else headline(summary)


def headline(summary: Summary) -> str:
    """A run in one line: rows, captions, flags, rejects, cost."""
    flags = sum(summary.flags.values())
    words = [f"{summary.rows_out:,} of {summary.rows_in:,} rows captioned", f"{summary.regions:,} captions"]
    words += [f"{count:,} {name}" for count, name in ((flags, "flagged"), (summary.rejects, "rejected")) if count]
    if summary.usd is not None:
        words.append(f"{summary.usd:,.2f} US dollars")
    return ", ".join(words)


def summary_page(
    summary: Summary, pictures: Sequence[tuple[Row, bytes]], links: Mapping[str, str] | None = None, report: str = ""
) -> str:
    """Markdown: the outcome, where the results are, the first `pictures` (see `first_pictures`), the numbers.

    `links`: URLs of related pages by their text. `report`: where the report is; "" if there is none.
    """
    parts = [f"## {headline(summary)}"]
    if summary.problem:
        aside = "" if summary.complete else " An earlier output was left unchanged."
        parts.append(f"**{escape_markdown(summary.problem)}.**{aside}")
    parts.append("\n".join(f"- **{name}**: {text}" for name, text in _first_lines(summary, report)))
    if links:
        parts.append(" · ".join(f"[{text}]({url})" for text, url in links.items()))
    if pictures:
        parts.append("### The first pictures, as the captioner saw them")
        parts += [_picture(row, jpeg) for row, jpeg in pictures]
    return "\n\n".join([*parts, "### All numbers", _numbers(summary)]) + "\n"


def _first_lines(summary: Summary, report: str) -> Iterator[tuple[str, str]]:
    rejects = f"{summary.rejects:,} rejected{_by_name(summary.rejects_by_code)}" if summary.rejects else "none rejected"
    yield "rows", f"{summary.rows_out:,} captioned, {rejects}"
    yield "captions", f"{summary.regions:,}, of which {summary.captions_reused:,} from earlier runs"
    yield "flags", f"{sum(summary.flags.values()):,}{_by_name(summary.flags)}" if summary.flags else "none"
    if summary.edits:
        yield "edits", edits_of(summary)
    if summary.audit is not None:
        yield "audit", f"{summary.audit} in {summary.audit.rows:,} rows that were asked about again"
    yield "cost", cost_of(summary)
    yield "report", address(report) if report else "none; the setting Report, or `regioncap report`, writes one"
    yield "output", address(summary.output)
    if summary.rejects:
        yield "rejects", address(summary.rejects_file)


def edits_of(summary: Summary) -> str:
    """What came of people's corrections."""
    marks = ", ".join(f"{count:,} {name}" for name, count in summary.edits.items() if name not in ("rows", "unused"))
    text = f"{marks} in {summary.edits['rows']:,} rows"
    if summary.unused_edits:
        text += f"; {summary.unused_edits}, see {address(summary.unused_edits_file)}"
    return text


def _by_name(counts: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{name} {count:,}' for name, count in counts.items())})"


def cost_of(bill: Bill) -> str:
    """What a run requested, and its price where the config has prices."""
    if not bill.requests:
        return "no requests"
    requests = "1 request" if bill.requests == 1 else f"{bill.requests:,} requests"
    tokens = f"{requests}, {bill.prompt_tokens:,} prompt and {bill.completion_tokens:,} completion tokens"
    return f"{bill.usd:,.4f} US dollars ({tokens})" if bill.usd is not None else tokens


def _numbers(summary: Summary) -> str:
    rows = [
        ("rows in", f"{summary.rows_in:,}"),
        ("rows captioned", f"{summary.rows_out:,}"),
        ("rows rejected", f"{summary.rejects:,}"),
        ("regions captioned", f"{summary.regions:,}"),
        *((f"boxes dropped: {reason}", f"{count:,}") for reason, count in summary.boxes_dropped.items()),
        ("captions requested", f"{summary.captions_asked:,}"),
        ("captions reused", f"{summary.captions_reused:,}"),
    ]
    more = (
        ("pictures asked for their regions", summary.regions_asked),
        ("captions repaired", summary.captions_repaired),
        ("captions audited", summary.captions_audited),
        ("requests", summary.requests),
        ("requests retried", summary.requests_retried),
        ("prompt tokens", summary.prompt_tokens),
        ("completion tokens", summary.completion_tokens),
    )
    rows += [(name, f"{count:,}") for name, count in more if count]
    if summary.usd is not None:
        rows.append(("US dollars", f"{summary.usd:,.4f}"))
    rows.append(("seconds", f"{summary.wall_seconds:,.1f}"))
    model = f" ({summary.model})" if summary.captioner != "pixels" else ""
    rows.append(("captioner", escape_markdown(f"{summary.captioner}{model}")))
    first, *others = (f"| {name} | {value} |" for name, value in rows)
    return "\n".join([first, "|---|---:|", *others])


def _picture(row: Row, jpeg: bytes) -> str:
    captions = "\n".join(f"{number}. {escape_markdown(text)}" for number, text in enumerate(row["captions"], 1))
    data = base64.b64encode(jpeg).decode("ascii")
    title = f"**{escape_markdown(readable_name(row['image']))}** (line {row['line']})"
    return f"{title}\n\n![marked picture](data:image/jpeg;base64,{data})\n\n{captions}"


def first_pictures(shards: Sequence[ShardSteps], context: RunContext, most: int) -> list[tuple[Row, bytes]]:
    """The first `most` captioned rows whose marked picture is stored: each a dict with `line`, `image` and `captions`,
    and the picture as a small JPEG. Raises StepDamaged, StorageError."""
    found: list[tuple[Row, bytes]] = []
    if not most or not context.config.draw_visualization:
        return found
    for steps in shards:
        for loaded, drawn, result in joined(context, steps):
            jpeg = context.marks.get(drawn["marked"]["sha256"]) if "captions" in result else None
            if jpeg is not None:
                row = {"line": loaded["line"], "image": str(ref_of(loaded)), "captions": result["captions"]}
                found.append((row, _small(jpeg)))
            if len(found) == most:
                return found
        if found or steps[0].shard >= MAX_SHARDS_SEARCHED:
            break
    return found


def _small(jpeg: bytes) -> bytes:
    image = decode(jpeg, max_image_pixels=MAX_IMAGE_PIXELS, max_pixels=PICTURE_PIXELS)
    return encode_jpeg(image, PICTURE_QUALITY)


def rejects_table(summary: Summary, shards: Sequence[ShardSteps], context: RunContext) -> list[dict[str, Any]]:
    """One table row per reject code, most frequent first: the count, the first example and its message, what to do.

    Raises StepDamaged, StorageError.
    """
    examples = _first_of_each(summary, shards, context)
    table = []
    for code, count in sorted(summary.rejects_by_code.items(), key=lambda item: -item[1]):
        loaded, reject = examples.get(code, ({}, {}))
        where = " ".join(filter(None, [f"line {loaded['line']}" if loaded else "", str(loaded.get("image", ""))]))
        table.append(
            {
                "code": code,
                "rows": count,
                "first": cut(where),
                "what to do": REJECT_ADVICE.get(code, ""),
                "message": cut(by_setting_names(str(reject.get("message", "")))),
            }
        )
    return table


def _first_of_each(summary: Summary, shards: Sequence[ShardSteps], context: RunContext) -> dict[str, tuple[Row, Row]]:
    """The first row of each reject code: the row as `load` wrote it, and its reject."""
    found: dict[str, tuple[Row, Row]] = {}
    for steps in [steps for steps in shards if steps[-1].rejects][:MAX_SHARDS_SEARCHED]:
        for loaded, _, result in _rejected(steps, context):
            found.setdefault(result["reject"]["code"], (loaded, result["reject"]))
        if len(found) == len(summary.rejects_by_code):
            break
    return found


def _rejected(steps: ShardSteps, context: RunContext) -> Iterator[tuple[Row, Row, Row]]:
    return (rows for rows in joined(context, steps) if "reject" in rows[2])


def progress_text(context: RunContext, seconds: float) -> tuple[float, str]:
    """The progress of a run that has taken `seconds` so far: percent 0..100, and a line of text."""
    progress = context.progress
    if progress.waiting_for is not None:
        return progress.waiting_for
    done, expected, rejects = progress.counts.rows, progress.rows_expected(), progress.counts.rejects
    if not expected:
        return 0.0, "starting"
    # 100 is reserved for the finished output.
    percent = min(99.0, 100 * done / max(done, expected))
    speed = (done - progress.counts.rows_reused) / seconds if seconds else 0.0
    words = [f"{done:,} of about {max(done, expected):,} rows", f"{rejects:,} rejected", f"{speed:,.1f} rows/s"]
    with contextlib.suppress(ZeroDivisionError):
        words.append(f"about {duration((expected - done) / speed)} left" if expected > done else "writing")
    return round(percent, 1), ", ".join(words)


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    >>> duration(42.3), duration(600), duration(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
