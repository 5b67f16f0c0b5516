"""What `audit` and `compare` say in words is no more than their figures tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from regioncap.audit.auditing import Audited
from regioncap.audit.figures import Audit, measure
from regioncap.audit.rows import AuditedRow
from regioncap.audit.sampling import Sample
from regioncap.command.audit import audit_lines
from regioncap.command.compare_figures import conclusions_of
from regioncap.command.compare_run import Outcome
from regioncap.command.compare_settings import Setting
from regioncap.config.model import RegionCapConfig
from regioncap.run.progress import Bill
from regioncap.storage.filesystem import Place

BUS, DOG = "a red double-decker bus", "a brown dog with a collar"
ROWS = 40
Captions = Sequence[str | None]


def measured(first: Captions, again: Captions) -> Audit:
    """An audit of rows with two boxes that all have these captions."""
    boxes = [[0.0, 0.0, 9.0, 9.0], [20.0, 0.0, 9.0, 9.0]]
    rows = [
        AuditedRow(number, "a.jpg", 64, 48, boxes, first, again, again, first, image_sha256=f"{number:064}")
        for number in range(1, ROWS + 1)
    ]
    return measure(rows, seed=0)


FOLLOWING = ([BUS, DOG], [BUS, DOG])
MIXED_UP = ([BUS, DOG], [DOG, BUS])
ALIKE = ([BUS, BUS], [BUS, BUS])


@pytest.mark.parametrize(
    ("captions", "said"),
    [
        (MIXED_UP, ["“best” is clearly more consistent than “other”"]),
        (FOLLOWING, ["neither is clearly more consistent"]),
        (ALIKE, ["“best” was seen to be consistent more often", "100% of “other” are undecided"]),
    ],
)
def test_a_setting_is_not_clearly_better_than_one_that_is_undecided(
    captions: tuple[Captions, Captions], said: list[str]
) -> None:
    config = RegionCapConfig(input="a.jsonl", endpoint=("http://h/v1",), model="m")
    outcomes = [Outcome(Setting(name, "", config)) for name in ("best", "other")]
    about_other = conclusions_of(outcomes, [measured(*FOLLOWING), measured(*captions)])[0]
    assert all(text in about_other for text in said)
    assert ("is clearly more consistent than" in about_other) == (captions is MIXED_UP)


@pytest.fixture
def lines(tmp_path: Path) -> Callable[[Audit], dict[str, str]]:
    place = Place(str(tmp_path / "out.audit.json"))
    return lambda audit: dict(audit_lines(Audited(audit, Sample([], ROWS, 0), {}, True, Bill(), place)))


def test_what_is_undecided_or_missing_is_told(lines: Callable[[Audit], dict[str, str]]) -> None:
    undecided = lines(measured(*ALIKE))
    assert undecided["consistent"].startswith("0.0 % of 160 pairs")
    assert undecided["undecided"].startswith("160: ")
    assert "100.0 % are consistent if all of these are" in undecided["undecided"]
    assert "not compared" not in undecided
    missing = lines(measured([BUS, DOG], [BUS, None]))
    assert missing["not compared"].startswith("80: ")
    assert missing["undecided"] == "0" or "consistent if all of these are" in missing["undecided"]
