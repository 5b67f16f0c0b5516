"""Shares, their intervals, and what they say about one asking."""

from __future__ import annotations

import numpy as np
import pytest

from regioncap.audit.intervals import Bootstrap, Share, share_of
from regioncap.audit.likeness import Wordings
from regioncap.audit.single_asking import errors_of, single_asking


def share(hits: list[int], pairs: list[int]) -> Share:
    bootstrap = Bootstrap(len(pairs), Wordings([]), seed=0)
    return share_of(np.array([hits], dtype=float), np.array([pairs], dtype=float), bootstrap)


def test_no_row_gives_no_share() -> None:
    assert share([], []) == Share(None, None, None, 0, 0)
    assert share([0, 0], [0, 0]) == Share(None, None, None, 0, 0)


@pytest.mark.parametrize("rows", [1, 5, 200])
def test_where_all_is_consistent_the_interval_still_has_a_width(rows: int) -> None:
    found = share([4] * rows, [4] * rows)
    assert (found.share, found.high, found.pairs, found.rows) == (1, 1, 4 * rows, rows)
    # As wide as for as many independent pairs as there are rows: Wilson's lower end is n / (n + z^2).
    assert found.low == pytest.approx(rows / (rows + 1.96**2), abs=0.01 if rows > 100 else 0.4)
    assert found.low != 1


def test_pairs_that_go_together_make_a_wider_interval() -> None:
    together = share([4] * 80 + [0] * 20, [4] * 100)
    apart = share([3, 3, 3, 3, 4] * 20, [4] * 100)
    assert together.share == apart.share == pytest.approx(0.8)
    assert together.low is not None
    assert apart.low is not None
    assert together.low < apart.low - 0.03
    assert together.low == pytest.approx(0.71, abs=0.01)  # Wilson's for 80 of 100


@pytest.mark.parametrize(("errors", "regions"), [(0.0, 2), (0.1, 2), (0.3, 2), (0.3, 5), (0.2, 1000)])
def test_errors_of_one_asking_are_found_from_what_two_agree_in(errors: float, regions: int) -> None:
    rng = np.random.default_rng(1)
    wrong = rng.random((2, 200_000)) < errors
    told = np.where(wrong, rng.integers(1, regions, wrong.shape), 0)
    agreement = float(np.mean(told[0] == told[1]))
    assert errors_of(agreement, 1 / (regions - 1)) == pytest.approx(errors, abs=0.01)


def test_less_agreement_than_chance_gives_the_most_errors() -> None:
    assert errors_of(0.2, 1.0) == 0.5
    found = single_asking(Share(0.2, 0.1, 0.4, 10, 5), [2] * 10, "reversed")
    assert found is not None
    assert (found.errors, found.low, found.high, found.at_least) == (0.5, 0.5, 0.5, 0.4)
