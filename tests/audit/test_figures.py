"""What an audit says about captions that follow their boxes, and about such as do not."""

from __future__ import annotations

from regioncap.audit.figures import measure
from regioncap.audit.rows import AuditedRow

OBJECTS = ["a red double-decker bus", "a brown dog with a collar", "an old oak tree"]


def row(first: list[str], again: list[str | None], number: int = 1) -> AuditedRow:
    boxes = [[40.0 * i, 0.0, 30.0, 30.0] for i in range(len(first))]
    return AuditedRow(number, "a.jpg", 640, 480, boxes, first, again, first, first)


def test_captions_that_follow_their_boxes() -> None:
    audit = measure([row(OBJECTS, list(OBJECTS))], seed=0)
    assert audit.consistent.share == 1
    assert audit.count("follows") == 6


def test_a_swap_is_found_with_the_box_that_each_follows() -> None:
    audit = measure([row(OBJECTS, [OBJECTS[1], OBJECTS[0], OBJECTS[2]])], seed=0)
    assert [(pair.box, pair.another, pair.arm) for pair in audit.inconsistent] == [
        (0, 1, "permuted"),
        (1, 0, "permuted"),
    ]
    assert audit.arms["reversed"].share == 1


def test_alike_captions_are_undecided_and_missing_ones_no_pair() -> None:
    audit = measure([row(["a white cup"] * 3, ["a white cup", "a white cup", None])], seed=0)
    assert (audit.count("undecided"), audit.missing, audit.consistent.share) == (5, 1, 0)
