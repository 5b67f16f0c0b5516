"""The table of a comparison, and what it says in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from regioncap.command.compare_run import Outcome
from regioncap.output.reading import Captioned

NONE = "-"
"""Stands where a setting has no figure."""

Figures = list[tuple[str, list[str]]]
"""(name, one text for each setting)."""


def figures_of(outcomes: Sequence[Outcome]) -> Figures:
    """The rows of the table."""
    rows = [
        ("rows captioned", _rows),
        ("rows rejected", _rejects),
        ("regions captioned", lambda one: f"{one.regions:,}"),
        ("regions flagged", _flags),
        ("tokens per region, prompt + answer", _tokens),
        ("US dollars per 1,000 regions", _price),
        ("captions requested now", lambda one: f"{one.bill.captions_asked:,}"),
        ("requests now", lambda one: f"{one.bill.requests:,}"),
        ("seconds now", lambda one: f"{one.bill.wall_seconds:,.1f}"),
    ]
    return [(name, [NONE if one.stopped else text(one) for one in outcomes]) for name, text in rows]


def _rows(one: Outcome) -> str:
    return f"{len(one.rows):,} of {len(one.rows) + len(one.rejects):,}"


def _rejects(one: Outcome) -> str:
    codes = Counter(str(reject.get("code")) for reject in one.rejects.values())
    each = ", ".join(f"{code} {count:,}" for code, count in sorted(codes.items()))
    return f"{len(one.rejects):,} ({each})" if codes else "0"


def _flags(one: Outcome) -> str:
    flagged = [names for row in one.rows.values() for names in row.flags if names]
    counts = Counter(name for names in flagged for name in names)
    each = ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
    return f"{len(flagged):,} ({each})" if flagged else "0"


def tokens_per_region(rows: Sequence[Captioned]) -> tuple[float, float] | None:
    """Mean prompt and answer tokens of a region, over requests of this and earlier runs; None where none are known."""
    regions = sum(len(row.captions) for row in rows)
    prompt, answer = (
        sum(row.meta["usage"].get(name, 0) for row in rows) for name in ("prompt_tokens", "completion_tokens")
    )
    return (prompt / regions, answer / regions) if regions and (prompt or answer) else None


def _tokens(one: Outcome) -> str:
    tokens = tokens_per_region(list(one.rows.values()))
    return NONE if tokens is None else f"{tokens[0]:,.0f} + {tokens[1]:,.0f}"


def _price(one: Outcome) -> str:
    tokens, prices = tokens_per_region(list(one.rows.values())), one.setting.config.prices
    if tokens is None or prices is None:
        return NONE
    return f"{1000 * (tokens[0] * prices[0] + tokens[1] * prices[1]) / 1e6:,.4f}"


def words_of(outcomes: Sequence[Outcome]) -> list[str]:
    """What the figures say."""
    return []
