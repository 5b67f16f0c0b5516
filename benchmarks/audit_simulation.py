"""Simulates audits without a server: does the interval hold what it estimates, and do the verdicts say what is true?

    python benchmarks/audit_simulation.py --seeds 500 --rows 60

One line for every number of regions, kind of mix-up and share of askings with one. `true`: share of pairs in which both
askings described the same thing. `found`: what the audits find on average. `holds`: share of seeds in which the
interval holds what it estimates, the share that audits find on average.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from audit_model import Model

from regioncap.audit.figures import Audit, measure
from regioncap.audit.verdicts import VERDICTS, Verdict


@dataclass(frozen=True)
class Simulated:
    """An audit, and the share of its pairs that are consistent in truth."""

    audit: Audit
    true: float


def simulated(model: Model, rows: int, regions: int, seed: int) -> Simulated:
    """An audit of `rows` pictures with so many regions."""
    rng = random.Random(seed)
    audited, same = zip(*(model.audited(number, regions, rng) for number in range(1, rows + 1)), strict=True)
    return Simulated(measure(audited, seed=seed), sum(same) / (2 * regions * rows))


@dataclass(frozen=True)
class Coverage:
    """What came of many simulated audits of one model. All are shares, 0..1."""

    true: float
    verdicts: dict[Verdict, float]
    holds: float
    """Share of audits whose interval holds the average share found to follow."""
    holds_true: float
    """Share of audits in which the truth lies between the interval's lower end and the upper end with the undecided."""


def coverage(model: Model, rows: int, regions: int, seeds: int) -> Coverage:
    """Simulate audits with `seeds` seeds."""
    runs = [simulated(model, rows, regions, seed) for seed in range(seeds)]
    counts = Counter(pair.verdict for run in runs for pair in run.audit.pairs)
    verdicts = {verdict: counts[verdict] / counts.total() for verdict in VERDICTS}
    true = sum(run.true for run in runs) / seeds
    found = [(run.audit.consistent, run.audit.at_most) for run in runs]
    holds = sum(within(share.low, verdicts["follows"], share.high) for share, _ in found) / seeds
    holds_true = sum(within(share.low, true, at_most.high) for share, at_most in found) / seeds
    return Coverage(true, verdicts, holds, holds_true)


def within(low: float | None, value: float, high: float | None) -> bool:
    """Whether the value is between two ends, give or take rounding."""
    return low is not None and high is not None and bool(low - 1e-9 <= value <= high + 1e-9)


def models(keep: float) -> Iterator[Model]:
    """Those of the table."""
    yield Model("number", 0, keep)
    for share in (0.1, 0.3):
        for mix_up in ("number", "order"):
            yield Model(mix_up, share, keep)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--rows", type=int, default=60, help="rows of an audit")
    parser.add_argument("--regions", type=int, nargs="+", default=[2, 5, 10])
    parser.add_argument("--keep", type=float, default=0.8, help="how steady the words are, 0..1")
    options = parser.parse_args()
    print("regions  mix-up   share   true  follows  another  undecided  holds  holds true")
    for regions in options.regions:
        for model in models(options.keep):
            found = coverage(model, options.rows, regions, options.seeds)
            follows, another, undecided = (found.verdicts[verdict] for verdict in VERDICTS)
            print(
                f"{regions:7}  {model.mix_up:7}  {model.share:5.0%}  {found.true:5.3f}  {follows:7.3f}  {another:7.3f}"
                f"  {undecided:9.3f}  {found.holds:5.3f}  {found.holds_true:5.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
