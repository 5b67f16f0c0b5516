"""The content of a run's page in Prefect's UI: Markdown and tables, made from its summary and rows, without Prefect.

Prefect stores the result in its database; only the run's page reads it.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from regioncap.errors import RegionCapError, RunStopped, UsageError
from regioncap.image_ref import ref_of
from regioncap.output.join import ShardSteps, joined
from regioncap.output.summary import Summary
from regioncap.records import Row
from regioncap.run.context import RunContext
from regioncap.run.kept import KeptCaptions
from regioncap.storage.row_images import readable_name
from regioncap.vision.images import decode, encode_jpeg

PICTURE_PIXELS = 160_000
"""Maximum size of a picture on the page: about 20 KB in Prefect's database."""

PICTURE_QUALITY = 75
MAX_IMAGE_PIXELS = 100_000_000
MAX_CHARS_SHOWN = 300
"""Maximum length of a caption or message on the page."""

MAX_SHARDS_SEARCHED = 50
"""Maximum number of shards searched for pictures, and for an example of each reject code."""

REJECT_ADVICE = {
    "bad_json": "fix the line, or write the file with a JSON library",
    "bad_row": "give each row an image; image_key sets the key",
    "bad_bbox": "give four numbers per box; see bbox_format and bbox_unit",
    "no_boxes": "nothing, if [] means that there are no regions; else set empty_bbox=find",
    "no_valid_boxes": "check bbox_format and bbox_unit: every box is outside the picture or has no area",
    "no_regions": "give boxes, or try another extractor or a lower min_score",
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


def summary_page(
    summary: Summary, pictures: Sequence[tuple[Row, bytes]], links: Mapping[str, str] | None = None
) -> str:
    """Markdown: how the run ended, its numbers, where its files are, and its first `pictures` (see `first_pictures`).

    `links`: URLs of related pages by their text.
    """
    head = f"{summary.rows_out:,} of {summary.rows_in:,} rows captioned, {summary.regions:,} regions"
    parts = [f"## {head}"]
    if summary.problem:
        aside = "" if summary.complete else " An earlier output was left unchanged."
        parts.append(f"**{escape_markdown(summary.problem)}.**{aside}")
    parts.append(_numbers(summary))
    files = [("output", summary.output), ("rejects", summary.rejects_file)]
    parts.append("\n".join(f"- {name}: {_address(url)}" for name, url in files))
    if links:
        parts.append(" · ".join(f"[{text}]({url})" for text, url in links.items()))
    if pictures:
        parts.append("### The first pictures, as the captioner saw them")
        parts += [_picture(row, jpeg) for row, jpeg in pictures]
    return "\n\n".join(parts) + "\n"


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
        ("captions repaired", summary.captions_repaired),
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
    return "\n".join(["| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)])


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
                "first": _cut(where),
                "what to do": REJECT_ADVICE.get(code, ""),
                "message": _cut(str(reject.get("message", ""))),
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


def failure_page(error: BaseException, context: RunContext, how_to_resume: str) -> str:
    """Markdown: why the run stopped, what is kept, and what to do. `how_to_resume`: how to rerun it, in Markdown."""
    done, expected = context.progress.counts.rows, context.progress.rows_expected()
    wrong = isinstance(error, UsageError)
    parts = [f"## {'Nothing was run: the settings are wrong' if wrong else 'The run stopped before its end'}"]
    text = str(error) or type(error).__name__
    if not isinstance(error, Exception):
        text = "It was cancelled or interrupted, or its worker was terminated."
    elif not isinstance(error, RegionCapError):
        text = f"{type(error).__name__}: {text}"
    parts.append("\n".join(f"> {escape_markdown(line, most=2000)}" for line in text.splitlines()))
    if wrong:
        parts.append(f"**What to do:** correct this setting, then {how_to_resume}.")
    else:
        reached = f"{done:,} of about {expected:,} rows were done. " if expected else ""
        parts.append(
            f"{reached}{context.kept or KeptCaptions(0, exact=False)} An earlier output was left unchanged.\n\n"
            f"- output: {_address(context.output.url)}"
        )
        bug = "report this bug (the log has its traceback), then "
        first = "fix this, then " if isinstance(error, RunStopped) else bug if isinstance(error, Exception) else ""
        parts.append(
            f"**What to do:** {first}{how_to_resume}: with the same settings it resumes where it stopped "
            "and requests nothing twice."
        )
    bill = context.progress.bill()
    if bill.requests:
        cost = f", {bill.usd:,.4f} US dollars" if bill.usd is not None else ""
        parts.append(f"{bill.requests:,} requests were sent and {bill.captions_new:,} captions received{cost}.")
    return "\n\n".join(parts) + "\n"


def progress_text(context: RunContext, seconds: float) -> tuple[float, str]:
    """The progress of a run that has taken `seconds` so far: percent 0..100, and a line of text."""
    progress = context.progress
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


def _cut(text: str, most: int = MAX_CHARS_SHOWN) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def escape_markdown(text: str, most: int = MAX_CHARS_SHOWN) -> str:
    """`text` with Markdown and HTML escaped: captions and names are untrusted."""
    line = " ".join(_cut(text, most).split())
    return re.sub(r"([\\`*_{}\[\]<>()#!|~&])", r"\\\1", line).replace("\\<", "&lt;").replace("\\>", "&gt;")


def _address(url: str) -> str:
    if url.startswith(("http://", "https://")):
        return f"<{url}>"
    return "`" + url.replace("`", "") + "`"
