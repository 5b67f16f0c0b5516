"""Simulated audits, whose truth is known; `benchmarks/audit_simulation.py --seeds 500` prints the whole table."""

from __future__ import annotations

import os
from types import ModuleType

import pytest

SEEDS = int(os.environ.get("REGIONCAP_AUDIT_SEEDS", "60"))
ROWS = 25
# Of 60 intervals that hold with a chance of 0.92 to 0.98, 49 hold in all but a few of a thousand tries.
FEWEST = 49 / 60


@pytest.mark.parametrize(
    ("regions", "mix_up", "share"), [(2, "number", 0.1), (2, "order", 0.3), (5, "number", 0.0), (5, "order", 0.1)]
)
def test_intervals_hold_what_they_estimate(simulation: ModuleType, regions: int, mix_up: str, share: float) -> None:
    found = simulation.coverage(simulation.Model(mix_up, share), ROWS, regions, SEEDS)
    assert found.holds >= FEWEST
    assert found.verdicts["follows"] <= found.true + 0.01
    assert found.true <= found.verdicts["follows"] + found.verdicts["undecided"] + 0.01


def test_few_pairs_of_a_model_that_mixes_nothing_up_are_said_to_follow_another(simulation: ModuleType) -> None:
    found = simulation.coverage(simulation.Model("number", 0.0), ROWS, 10, 4)
    assert found.verdicts["follows_another"] < 0.01
    assert found.verdicts["follows"] > 0.75


def test_mix_ups_by_number_show_with_other_numbers_only(simulation: ModuleType) -> None:
    audit = simulation.simulated(simulation.Model("number", 0.3), 100, 2, seed=1).audit
    assert audit.count("follows_another", "permuted") > 30
    assert audit.count("follows_another", "reversed") == 0
    assert audit.single_asking.arm == "permuted"
    assert audit.single_asking.low < 0.3 < audit.single_asking.high


def test_neighbours_mixed_up_by_place_in_every_asking_are_not_seen(simulation: ModuleType) -> None:
    audit = simulation.simulated(simulation.Model("place", 1.0), 40, 5, seed=1).audit
    assert audit.count("follows_another") <= 2
    assert audit.consistent.share > 0.85


def test_things_that_are_alike_are_undecided_in_whatever_words(simulation: ModuleType) -> None:
    audit = simulation.simulated(simulation.Model("order", 0.3, alike=1.0), 60, 5, seed=1).audit
    assert audit.count("undecided") > 0.8 * len(audit.pairs)


def test_a_model_that_does_not_sample_is_judged_by_the_words_of_the_arms(simulation: ModuleType) -> None:
    found = simulation.coverage(simulation.Model("order", 0.3, samples=False), ROWS, 2, 8)
    assert abs(found.true - found.verdicts["follows"]) < 0.1
    assert found.verdicts["undecided"] < 0.1
