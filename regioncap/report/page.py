"""The page around the pictures: its texts and numbers, and the template that renders them.

A single self-contained file that opens from disk: style, script and pictures are embedded, and a content security
policy forbids everything else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import regioncap
from regioncap.inputs.edits import MAX_CAPTION_CHARS
from regioncap.records import Row
from regioncap.report.cards import shown
from regioncap.report.compare import CHANGES, Comparison
from regioncap.report.editable import edit_content
from regioncap.report.selection import Overview
from regioncap.report.source import NOT_YET

HERE = Path(__file__).parent
SCRIPTS = ("report.js", "drafts.js", "regions.js", "caption_editor.js", "editing.js")
BARS = 24
"""Columns of the histogram; the last one counts everything above."""

WIDTH, HEIGHT = 240, 74
MAX_FACT_CHARS = 1_200

KINDS = {"with_bbox": "boxes given in the input", "without_bbox": "regions found by RegionCap"}
LABELS = {"with_bbox": "boxes given", "without_bbox": "boxes found"}


@dataclass
class Page:
    """What a page says besides its pictures. `tone` of `status`: good, bad or "". `key`: identifies its content.

    For the editing mode, whose drafts the browser keeps by them: `output` and `run` identify the output and the run
    that wrote it ("": known by its content only); `edits_file`: name of the file that it saves, "" for no such mode.
    """

    title: str
    made: str
    sample: str
    key: str
    output: str = ""
    run: str = ""
    edits_file: str = ""
    status: str = ""
    tone: str = ""
    facts: Sequence[tuple[str, Any]] = ()
    tiles: list[Row] = field(default_factory=list)
    meanings: dict[str, str] = field(default_factory=dict)
    audit: Row | None = None


@cache
def environment() -> jinja2.Environment:
    """The templates of this folder; whatever is filled into them is escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def embedded(*names: str) -> tuple[Markup, str]:
    """Our own files of these names as one, as embedded in a page, and its hash for the policy."""
    text = "".join((HERE / name).read_text(encoding="utf-8") for name in names)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return Markup(text), f"'sha256-{digest}'"


def policy_of(style_hash: str, script_hash: str = "'none'") -> str:
    """The content security policy of a page with this style and script: nothing else is loaded or run."""
    return (
        f"default-src 'none'; img-src data:; style-src {style_hash}; script-src {script_hash}; "
        "base-uri 'none'; form-action 'none'"
    )


def render(
    page: Page, overview: Overview, shown_count: int, cards: Iterable[Row], versus: Comparison | None
) -> Iterator[str]:
    """The page, piece by piece; `cards` are consumed as they are written."""
    style, style_hash = embedded("report.css", "editing.css", "audit.css")
    script, script_hash = embedded(*SCRIPTS)
    card = environment().get_template("card.html.j2")
    yield (
        environment()
        .get_template("page.html.j2")
        .render(
            vars(page)
            | {
                "facts": [{"name": name, "value": shown(value, MAX_FACT_CHARS)} for name, value in page.facts],
                "policy": policy_of(style_hash, script_hash),
                "style": style,
                "version": regioncap.__version__,
                "groups": groups(overview, page.meanings, versus),
                "bars": bars(overview),
                "shown": f"{shown_count:,} picture{'s' if shown_count != 1 else ''}",
                "compared": versus is not None,
            }
        )
    )
    content = hashlib.sha256()
    for one in cards:
        content.update(edit_content(one))
        yield card.render(card={"code_before": "", "message_before": "", **one})
        yield "\n"
    known_by = {"output": page.output, "run": page.run or content.hexdigest()}
    editing = {**known_by, "file": page.edits_file, "max_chars": MAX_CAPTION_CHARS}
    yield environment().get_template("page_end.html.j2").render(script=script, editing=editing)


def groups(overview: Overview, meanings: dict[str, str], versus: Comparison | None) -> list[Row]:
    """The filters, with counts over all rows."""
    found: list[Row] = []
    if versus is not None:
        tones = {"reject_gained": "bad", "reject_lost": "good", "changed": "warn"}
        found.append(_group("change", "Against B", versus.changes, tones, {str(k): v for k, v in CHANGES.items()}))
    tones = dict.fromkeys(overview.codes, "bad")
    found.append(_group("code", "Rejected", overview.codes, tones, meanings))
    if overview.waiting:
        found.append(_group("code", "Unfinished run", {NOT_YET: overview.waiting}, {}, {}))
    title = "Flagged regions" if versus is None else "Flagged regions of A"
    found.append(_group("flags", title, overview.flags, dict.fromkeys(overview.flags, "warn"), meanings))
    if versus is not None:
        tones = dict.fromkeys(versus.flags_before, "warn")
        found.append(_group("flagsBefore", "Flagged regions of B", versus.flags_before, tones, meanings))
    found.append(_group("type", "Pictures with", overview.kinds, {}, KINDS))
    return found


def _group(name: str, title: str, counts: dict[str, int], tones: dict[str, str], help_: dict[str, str]) -> Row:
    entries = [
        {
            "value": value,
            "label": LABELS.get(value, value.replace("_", " ")),
            "count": count,
            "tone": tones.get(value, ""),
            "help": help_.get(value, ""),
        }
        for value, count in sorted(counts.items(), key=lambda item: -item[1])
        if value
    ]
    return {"name": name, "title": title, "entries": entries}


def bars(overview: Overview) -> list[Row]:
    """The histogram's columns, with their positions in the drawing."""
    if not overview.histogram:
        return []
    last = max(1, min(max(overview.histogram), BARS))
    counts = {number: overview.histogram[number] for number in range(1, last + 1)}
    above = sum(count for number, count in overview.histogram.items() if number > last)
    counts[last] += above
    highest, step = max(1, max(counts.values())), WIDTH / last
    found = []
    for number, count in counts.items():
        value = f"{number}+" if above and number == last else str(number)
        h = max(1.5, HEIGHT * count / highest) if count else 0
        w = min(step * 0.82, 28)
        x = (number - 0.5) * step - w / 2
        label = f"{count:,} picture{'s' if count != 1 else ''} with {value} region{'s' if value != '1' else ''}"
        text = value if last <= 12 or number % 4 == 0 or number == 1 or number == last else ""
        place = {"x": x, "y": HEIGHT + 2 - h, "w": w, "h": h, "mid": (number - 0.5) * step}
        found.append({"value": value, "label": label, "text": text, **{k: round(v, 1) for k, v in place.items()}})
    return found


def tile(name: str, value: Any, more: str = "", tone: str = "") -> Row:
    """One number in the strip at the top."""
    return {"name": name, "value": f"{value:,}" if isinstance(value, int) else value, "more": more, "tone": tone}


def share(part: int, whole: int) -> str:
    """A share in percent, rounded for reading.

    >>> share(1, 3), share(1, 5000), share(0, 0)
    ('33 %', '0.02 %', '')
    """
    if not whole:
        return ""
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 10 or part == 0 else f"{percent:.2g} %"
