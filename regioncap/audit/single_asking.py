"""What disagreements between two askings say about one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from regioncap.audit.intervals import Share
from regioncap.audit.rows import Arm


@dataclass(frozen=True)
class SingleAsking:
    """The share of captions on another box in a single asking, 0..1, with the ends of its 95 % interval.

    `at_least`: what it is at least, whatever the errors depend on. `arm`: the one that says so.
    """

    errors: float
    low: float
    high: float
    at_least: float
    arm: Arm

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def single_asking(agreement: Share, regions: Sequence[int], arm: Arm) -> SingleAsking | None:
    """What the share of decided pairs that agree means for one asking; None where nothing was decided.

    `regions`: of each decided pair, the number of regions in its picture, 2 or more.
    """
    if agreement.share is None or agreement.low is None or agreement.high is None:
        return None
    coincidence = sum(1 / (number - 1) for number in regions) / len(regions)
    most, least = errors_of(agreement.low, coincidence), errors_of(agreement.high, coincidence)
    return SingleAsking(errors_of(agreement.share, coincidence), least, most, (1 - agreement.share) / 2, arm)


def errors_of(agreement: float, coincidence: float) -> float:
    """The share of wrong captions in one asking, 0..1, from the share of pairs that agree.

    It is assumed that both askings err as often (p), that whether one errs says nothing about the other, and that two
    wrong captions are of the same box by chance alone, `coincidence` (1 / (N - 1) among N regions). Two askings then
    agree if both are right or both are wrong in the same way: agreement = (1 - p)^2 + coincidence p^2. Of the two
    solutions the smaller is meant; agreement below the least possible gives the p of the least possible.

    >>> errors_of(0.81, 0), round(errors_of(0.58, 1), 12)
    (0.1, 0.3)
    """
    factor = 1 + coincidence
    return round((1 - math.sqrt(max(0.0, 1 - factor * (1 - agreement)))) / factor, 12)
