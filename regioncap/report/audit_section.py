"""The section of the page on an output's audit: its figures as the template shows them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

from regioncap.records import Row
from regioncap.report.audit_findings import ARMS, Findings
from regioncap.report.cards import shown

VERDICTS = {
    "follows": ("follow their box", "good"),
    "follows_another": ("follow another box", "bad"),
    "undecided": ("undecided", "soft"),
}
GROUPINGS = {"regions": "regions in the picture", "size": "size, of the picture", "overlap": "overlap (IoU)"}
SCALE_STEP = 0.1
"""The scale of the intervals begins at a multiple of this and ends at 1."""

MAX_NAME_CHARS = 40
NO_BREAK_SPACE = "\xa0"


def audit_section(record: Mapping[str, Any], findings: Findings) -> Row | None:
    """What the section says; None where the record is not one of an audit that measured something."""
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return {
            **_share(record["consistent"]),
            "at_most": percent(record["at_most"]["share"]),
            "bar": _bar(record),
            "missing": int(record["missing"]),
            "arms": [
                {"name": name, **_share(record["arms"][arm])}
                for arm, name in ARMS.items()
                if _known(record["arms"][arm])
            ],
            "control": _share(record["control"]) if _known(record["control"]) else None,
            "single": _single(record["single_asking"]),
            "worst": list(findings.worst().values()),
            "replaced": findings.replaced,
            **_groups(record["groups"]),
        }
    return None


def percent(share: float) -> str:
    """A share in percent; 100 and 0 only if it is that.

    >>> percent(0.1234), percent(0.99999), percent(1)
    ('12.3\\xa0%', '99.9\\xa0%', '100\\xa0%')
    """
    number = f"{100 * share:.0f}" if share in (0, 1) else f"{min(99.9, max(0.1, 100 * share)):.1f}"
    return f"{number}{NO_BREAK_SPACE}%"


def _known(share: Mapping[str, Any]) -> bool:
    return share["share"] is not None


def _share(share: Mapping[str, Any]) -> Row:
    interval = f"{percent(share['low'])} to {percent(share['high'])}"
    return {
        "share": percent(share["share"]),
        "interval": interval,
        "pairs": int(share["pairs"]),
        "rows": int(share["rows"]),
    }


def _bar(record: Mapping[str, Any]) -> list[Row]:
    """The parts of a bar of length 100."""
    total = sum(int(record[verdict]) for verdict in VERDICTS)
    parts: list[Row] = []
    for verdict, (name, tone) in VERDICTS.items():
        count = int(record[verdict])
        x = sum(part["width"] for part in parts)
        part = {"name": name, "tone": tone, "count": count, "share": percent(count / total), "x": x}
        parts.append({**part, "width": 100 * count / total})
    return parts


def _single(single: Mapping[str, Any] | None) -> Row | None:
    if single is None:
        return None
    return {
        "errors": percent(single["errors"]),
        "interval": f"{percent(single['low'])} to {percent(single['high'])}",
        "at_least": percent(single["at_least"]),
        "arm": ARMS[single["arm"]],
    }


def _groups(groups: Mapping[str, Iterable[Mapping[str, Any]]]) -> Row:
    """`groups`: a table each; `scale`: where the scale of their intervals, 0..100 from there to 100 %, begins."""
    lows = [one["low"] for shares in groups.values() for one in shares if one["low"] is not None]
    start = min(1 - SCALE_STEP, math.floor(min(lows, default=0) / SCALE_STEP) * SCALE_STEP)

    def at(share: float) -> float:
        return round(100 * (share - start) / (1 - start), 2)

    def line(one: Mapping[str, Any]) -> Row:
        name = {"name": shown(one["group"], MAX_NAME_CHARS), "known": _known(one), "pairs": int(one["pairs"])}
        if not _known(one):
            return name
        return {**name, **_share(one), "at": at(one["share"]), "low": at(one["low"]), "high": at(one["high"])}

    tables = [{"title": title, "lines": [line(one) for one in groups[name]]} for name, title in GROUPINGS.items()]
    return {"groups": [table for table in tables if table["lines"]], "scale": f"{100 * start:.0f} %"}
