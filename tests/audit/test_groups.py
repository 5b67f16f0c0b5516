"""What boxes are grouped by."""

from __future__ import annotations

import pytest

from regioncap.audit.groups import groups_of
from regioncap.audit.rows import AuditedRow


def row(bbox: list[list[float]]) -> AuditedRow:
    none = [None] * len(bbox)
    return AuditedRow(1, "a.jpg", 100, 100, bbox, none, none, none, none)


def test_size_is_what_of_the_box_lies_in_the_picture() -> None:
    found = groups_of(row([[0, 0, 10, 10], [90, 90, 50, 50], [0, 0, 50, 50]]))
    assert found["size"] == ["up to 1 %", "up to 1 %", "more than 10 %"]


def test_overlap_is_that_with_the_nearest_neighbour() -> None:
    found = groups_of(row([[0, 0, 10, 10], [0, 5, 10, 10], [0, 6, 10, 10], [50, 50, 10, 10]]))
    assert found["overlap"] == ["more than 0.3", "more than 0.3", "more than 0.3", "none"]


@pytest.mark.parametrize(("count", "group"), [(2, "2"), (3, "3 to 5"), (10, "6 to 10"), (11, "more than 10")])
def test_regions_are_those_of_the_picture(count: int, group: str) -> None:
    assert groups_of(row([[number, 0, 1, 1] for number in range(count)]))["regions"] == [group] * count
