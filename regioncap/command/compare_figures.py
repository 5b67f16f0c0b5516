"""The table of a comparison, and what it says in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace

from regioncap.audit.figures import Audit, measure
from regioncap.audit.intervals import Share
from regioncap.audit.verdicts import Verdict
from regioncap.command.compare_run import Outcome
from regioncap.output.audited import in_percent
from regioncap.output.caption_flags import INCONSISTENT
from regioncap.output.reading import Captioned

NONE = "-"
"""Stands where a setting has no figure."""

SEED = 0
"""Of the bootstrap: equal captions give equal intervals."""

TOO_FEW = (
    "How consistent captions are is known of fewer than two settings: it needs a model, and rows with two regions or "
    "more that come through under every setting."
)
UPPER_BOUND = (
    "Consistent means that a caption follows its region when it is asked for again with other numbers and in another "
    "order: an upper bound on the share that is right."
)

Figures = list[tuple[str, list[str]]]
"""(name, one text for each setting)."""


def audits_of(outcomes: Sequence[Outcome]) -> list[Audit | None]:
    """How consistent each setting's captions are, on the rows that came through under all of them; None where nothing
    was asked again."""
    whole = [one for one in outcomes if not one.stopped]
    shared = set.intersection(*(set(one.rows) for one in whole)) if whole else set()
    return [_audit(one, shared) for one in outcomes]


def _audit(one: Outcome, shared: Set[int]) -> Audit | None:
    rows = [row for row in one.audited if row.number in shared]
    return measure(rows, seed=SEED) if rows and not one.stopped else None


def flagged_rows(one: Outcome, audit: Audit | None) -> dict[int, Captioned]:
    """The rows of a setting, with the flag `inconsistent` at the regions whose captions follow another."""
    rows = dict(one.rows)
    for number, box in {(audit.rows[pair.row].number, pair.box) for pair in audit.inconsistent} if audit else ():
        flags = [*rows[number].flags]
        flags[box] = [*flags[box], INCONSISTENT]
        rows[number] = replace(rows[number], flags=flags)
    return rows


def figures_of(outcomes: Sequence[Outcome], audits: Sequence[Audit | None]) -> Figures:
    """The rows of the table."""
    measured: Figures = [
        ("consistent", [_consistent(audit) for audit in audits]),
        ("undecided", [_part("undecided", audit) for audit in audits]),
        ("follow another region", [_part("follows_another", audit) for audit in audits]),
    ]
    rows = [
        ("rows captioned", _rows),
        ("rows rejected", _rejects),
        ("regions captioned", lambda one: f"{one.regions:,}"),
        ("regions flagged", _flags),
        ("tokens per region, prompt + answer", _tokens),
        ("US dollars per 1,000 regions", _price),
        ("seconds now, without the audit", lambda one: f"{one.seconds:,.1f}"),
        ("requests now, with the audit", lambda one: f"{one.bill.requests:,}"),
    ]
    return measured + [(name, [NONE if one.stopped else text(one) for one in outcomes]) for name, text in rows]


def _consistent(audit: Audit | None) -> str:
    return NONE if audit is None or audit.consistent.share is None else _in_words(audit.consistent)


def _part(verdict: Verdict, audit: Audit | None) -> str:
    return f"{audit.count(verdict) / len(audit.pairs):.0%}" if audit is not None and audit.pairs else NONE


def _in_words(share: Share) -> str:
    return in_percent(share.share, share.low, share.high)


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


# --- in words


def conclusions_of(outcomes: Sequence[Outcome], audits: Sequence[Audit | None]) -> list[str]:
    """Which settings are clearly more consistent, and which only seem so; and what else the figures do not tell."""
    shares = {
        one.setting.name: audit.consistent
        for one, audit in zip(outcomes, audits, strict=True)
        if audit is not None and audit.consistent.share is not None
    }
    words = [_same_answers(one.setting.name, one.setting.same_as) for one in outcomes if one.setting.same_as]
    if len(shares) < 2:
        return [*words, TOO_FEW]
    best = max(shares, key=lambda name: shares[name].share or 0.0)
    return [*words, *_against_best(best, shares), UPPER_BOUND]


def _same_answers(name: str, other: str) -> str:
    return f"“{name}” asks for the same answers as “{other}”: only rows that failed there can differ."


def _against_best(best: str, shares: Mapping[str, Share]) -> Iterator[str]:
    for name, share in shares.items():
        if name == best:
            continue
        if (share.high or 0.0) < (shares[best].low or 0.0):
            yield (
                f"“{best}” is clearly more consistent than “{name}”: {_in_words(shares[best])} against "
                f"{_in_words(share)}; the intervals do not overlap."
            )
        else:
            yield (
                f"“{best}” and “{name}”: {_in_words(shares[best])} and {_in_words(share)}; the intervals overlap, so "
                "neither is clearly more consistent. More --rows would narrow them."
            )
