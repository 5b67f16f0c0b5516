"""The texts of a page: title, numbers at the top, which rows are shown, run settings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from regioncap.config.checks import absolute
from regioncap.output.summary import Summary
from regioncap.records import Row
from regioncap.report.compare import Comparison
from regioncap.report.page import Page, share, tile
from regioncap.report.selection import Overview, Picked
from regioncap.report.source import ReportOptions
from regioncap.storage.steps import digest
from regioncap.storage.urls import redact_url

OUTPUT_CHARS = 16
"""Hex digits by which a page tells its output from others in the browser's storage."""


def page_of(
    overview: Overview,
    count: int,
    picked: Picked,
    versus: Comparison | None,
    setting: ReportOptions,
    meanings: dict[str, str],
) -> Page:
    """The texts of a page with `count` pictures. `meanings`: explanations of the flags."""
    made = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    sides = f"A: {setting.title} · B: {setting.against_title} · " if versus is not None else ""
    good = setting.summary is not None and setting.summary.ok and not setting.note
    return Page(
        title=_name(setting.title) + (f" against {_name(setting.against_title)}" if versus is not None else ""),
        made=f"{sides}created {made}",
        sample=_selection(setting.where) + _sample(overview, count, picked),
        key=setting.key,
        output=digest(absolute(setting.title))[:OUTPUT_CHARS],
        run=setting.summary.write_key if setting.summary is not None else "",
        edits_file=_edits_file(setting) if versus is None else "",
        status=setting.note or ("complete" if good else setting.summary.problem if setting.summary else ""),
        tone="good" if good else "bad" if setting.summary is not None and not setting.note else "",
        facts=_facts(setting),
        tiles=_tiles(overview, versus, setting.summary, bool(setting.where)),
        meanings=meanings,
    )


def _edits_file(setting: ReportOptions) -> str:
    return f"{_name(setting.title).removesuffix('.jsonl')}.edits.jsonl"


def _name(address: str) -> str:
    return address.rstrip("/").rpartition("/")[2]


def _selection(where: Sequence[str]) -> str:
    return f"Only rows and regions with {' and '.join(where)}. " if where else ""


def _sample(overview: Overview, count: int, picked: Picked) -> str:
    if picked.everything:
        if overview.not_begun:
            return f"All rows are shown but {overview.not_begun:,}, whose pictures are not drawn yet."
        return "All rows are shown; rejected ones come last." if overview.rejects else "All rows are shown."
    return (
        f"{count:,} of {overview.all:,} rows are shown: examples of every reject code and every flag, the extremes "
        "(most regions, longest and shortest captions, smallest regions), and an even sample of the rest. Counts are "
        "over all rows; rejected rows come last."
    )


def _tiles(overview: Overview, versus: Comparison | None, summary: Summary | None, selected: bool) -> list[Row]:
    per_row = f"{overview.regions / overview.rows:.1f} per picture" if overview.rows else ""
    per_caption = f"{overview.words / overview.regions:.0f} words per caption" if overview.regions else ""
    dropped = sum(overview.dropped.values())
    tiles = [
        *_row_tiles(overview, selected),
        tile("regions", overview.regions, ", ".join(filter(None, (per_row, per_caption)))),
        tile(
            "flagged regions" + (" of A" if versus else ""),
            overview.flagged,
            share(overview.flagged, overview.regions),
            _warn(overview.flagged),
        ),
    ]
    if waiting := overview.waiting + overview.not_begun:
        tiles.append(tile("not yet", waiting, share(waiting, overview.all)))
    if dropped:
        tiles.append(tile("boxes dropped", dropped, ", ".join(overview.dropped)))
    if versus is not None:
        captions = versus.captions_same + versus.captions_changed
        tiles += [
            tile("flagged regions of B", versus.flagged_before, tone=_warn(versus.flagged_before)),
            tile("captions changed", versus.captions_changed, share(versus.captions_changed, captions)),
            tile("rejects gained", versus.changes["reject_gained"], tone=_warn(versus.changes["reject_gained"])),
            tile("rejects lost", versus.changes["reject_lost"]),
            tile("rows only in B", versus.only_there),
        ]
    elif summary is not None and summary.prompt_tokens:
        in_out = f"{summary.prompt_tokens:,} in, {summary.completion_tokens:,} out"
        tiles.append(tile("tokens", summary.prompt_tokens + summary.completion_tokens, in_out))
    if versus is None and summary is not None and summary.usd is not None:
        tiles.append(tile("US dollars", f"{summary.usd:,.2f}"))
    return tiles


def _row_tiles(overview: Overview, selected: bool) -> list[Row]:
    if selected:
        return [tile("rows selected", overview.rows)]
    return [
        tile("rows in", overview.all),
        tile("captioned", overview.rows, share(overview.rows, overview.all)),
        tile("rejected", overview.rejects, share(overview.rejects, overview.all), "bad" if overview.rejects else ""),
    ]


def _warn(count: int) -> str:
    return "warn" if count else ""


FACTS = ("prompt_mode", "prompt", "focal_prompt", "region_prompt", "system_prompt", "temperature", "max_boxes",
         "extractor", "region_fields", "repair_flags")  # fmt: skip


def _facts(setting: ReportOptions) -> Sequence[tuple[str, Any]]:
    config, summary = setting.config, setting.summary
    named = [("input", redact_url(config.input)), ("output", setting.title)]
    if summary is not None:
        named += [("captioner", summary.captioner), ("model", summary.model), ("finished", summary.finished_at)]
    settings = [(name.replace("_", " "), config.templates.get(name, getattr(config, name))) for name in FACTS]
    if config.box_coordinates is not None:
        settings.append(("boxes in prompts", config.box_coordinates.form))
    if summary is not None and summary.captioner == "pixels":
        settings = [(name, value) for name, value in settings if "prompt" not in name and name != "temperature"]
    return [(name, value) for name, value in (*named, *settings) if value not in (None, "", (), [])]
