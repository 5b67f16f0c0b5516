"""What an audit says about captions that follow their boxes, and about such as do not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import orjson
import pytest

from regioncap.audit.figures import MIN_GROUP_ROWS, Audit, measure
from regioncap.audit.rows import AuditedRow

OBJECTS = ["a red double-decker bus", "a brown dog with a collar", "an old oak tree"]
CHINESE = ["一辆红色的双层巴士", "一只戴着项圈的棕色小狗", "草地上的一棵老橡树"]
THAI = ["รถบัสสองชั้นสีแดงคันใหญ่", "สุนัขสีน้ำตาลใส่ปลอกคอ", "ต้นโอ๊กเก่าแก่บนสนามหญ้า"]
Captions = Sequence[str | None]


def row(
    first: Captions,
    permuted: Captions,
    backwards: Captions | None = None,
    control: Captions | None = None,
    number: int = 1,
) -> AuditedRow:
    """A row of boxes side by side; what is not given is as in the output."""
    boxes = [[40.0 * index, 0.0, 30.0, 30.0] for index in range(len(first))]
    in_reverse, as_before = (first if captions is None else captions for captions in (backwards, control))
    return AuditedRow(number, "a.jpg", 640, 480, boxes, first, permuted, in_reverse, as_before, image_sha256="f" * 64)


def moves(audit: Audit) -> list[tuple[int, int | None]]:
    return [(pair.box, pair.another) for pair in audit.inconsistent]


@pytest.mark.parametrize("objects", [OBJECTS, CHINESE, THAI], ids=["English", "Chinese", "Thai"])
def test_a_swap_is_found_with_the_box_that_each_caption_follows(objects: list[str]) -> None:
    audit = measure([row(objects, [objects[1], objects[0], objects[2]])], seed=0)
    assert moves(audit) == [(0, 1), (1, 0)]
    assert audit.count("follows", "permuted") == 1
    assert audit.arms["reversed"].share == 1
    assert audit.consistent.share == pytest.approx(4 / 6)


def test_other_words_for_the_same_are_no_mix_up() -> None:
    again = ["the bus is a red double-decker", "a dog, brown, wearing a collar", "the old tree, an oak"]
    audit = measure([row(OBJECTS, again, again[::1], again)], seed=0)
    assert (audit.count("follows"), audit.count("undecided")) == (6, 0)


def test_alike_captions_are_undecided() -> None:
    cups = ["a white cup"] * 3
    audit = measure([row(cups, cups), row([*cups, "a dog"], ["a dog", *cups], number=2)], seed=0)
    assert audit.count("follows") == 1  # the dog, in reverse order
    assert moves(audit) == [(0, 3)]  # and with other numbers at the first cup's box
    assert audit.consistent.share is not None
    assert audit.consistent.share < 0.1
    assert audit.at_most.share is not None
    assert audit.at_most.share > 0.9


REFUSALS = ["I'm sorry, I can't identify this.", "I cannot see the region.", "As an AI, no."]
CONSTANT: dict[str, Callable[[random.Random], str]] = {
    "the same for all": lambda _rng: "an object in the picture",
    "refusals": lambda rng: rng.choice(
        ["I'm sorry, I can't identify this.", "I cannot see the region.", "As an AI, no."]
    ),
    "no words": lambda _rng: "...",
    "random": lambda rng: " ".join(rng.choices([f"word{number}" for number in range(200)], k=8)),
}


@pytest.mark.parametrize("kind", CONSTANT)
def test_a_captioner_that_does_not_look_is_not_consistent(kind: str) -> None:
    rng = random.Random(1)

    def asked() -> list[str]:
        return [CONSTANT[kind](rng) for _ in range(3)]

    audit = measure([row(asked(), asked(), asked(), asked(), number) for number in range(1, 31)], seed=0)
    assert audit.consistent.high is not None
    assert audit.consistent.high < 0.2


def test_a_captioner_that_only_reads_numbers_follows_no_box() -> None:
    numbers = ["the first object", "the second object", "the third object"]
    audit = measure([row(numbers, [numbers[1], numbers[2], numbers[0]])], seed=0)
    assert audit.arms["permuted"].share == 0
    assert moves(audit) == [(0, 1), (1, 2), (2, 0)]


def test_missing_captions_are_no_pairs_but_counted() -> None:
    audit = measure([row(OBJECTS, [OBJECTS[0], None, " "]), row(OBJECTS, OBJECTS, number=2)], seed=0)
    assert (len(audit.pairs), audit.missing) == (10, 2)
    assert audit.consistent.share == 1


def test_an_arm_that_was_not_asked_misses_nothing() -> None:
    audit = measure([row(OBJECTS, OBJECTS, [None] * 3)], seed=0)
    assert (len(audit.pairs), audit.missing, audit.arms["reversed"].share) == (3, 0, None)


@pytest.mark.parametrize("rows", [[], [row(OBJECTS[:1], OBJECTS[:1])], [row(OBJECTS, [None] * 3, [None] * 3)]])
def test_nothing_to_compare_gives_no_share(rows: list[AuditedRow]) -> None:
    audit = measure(rows, seed=0)
    assert (audit.consistent.share, audit.single_asking, audit.pairs) == (None, None, [])
    assert orjson.loads(orjson.dumps(audit.as_json()))["consistent"]["low"] is None


def test_groups_have_shares_where_there_is_enough() -> None:
    many = [row(OBJECTS, OBJECTS, number=number) for number in range(MIN_GROUP_ROWS)]
    audit = measure([*many, row(OBJECTS[:2], OBJECTS[1::-1], number=99)], seed=0)
    assert list(audit.groups["regions"]) == ["2", "3 to 5"]
    assert (audit.groups["regions"]["2"].share, audit.groups["regions"]["2"].pairs) == (None, 4)
    assert audit.groups["regions"]["3 to 5"].share == 1
    assert [share.pairs for share in audit.groups["overlap"].values()] == [len(audit.pairs)]


def test_the_record_says_what_was_found_where() -> None:
    audit = measure([row(OBJECTS, [OBJECTS[1], OBJECTS[0], OBJECTS[2]], number=7)], seed=3)
    record = orjson.loads(orjson.dumps(audit.as_json()))
    first = record["inconsistent"][0]
    assert first.pop("chance") >= 0.95
    assert first == {
        "row": 7, "image": "a.jpg", "image_sha256": "f" * 64, "box": 0, "bbox": [0.0, 0.0, 30.0, 30.0],
        "caption": OBJECTS[0], "arm": "permuted", "again": OBJECTS[1], "another": 1,
    }  # fmt: skip
    assert [record[name] for name in ("follows", "follows_another", "undecided", "missing", "seed")] == [4, 2, 0, 0, 3]


def test_the_same_seed_gives_the_same_intervals() -> None:
    rows = [row(OBJECTS, OBJECTS if number % 3 else OBJECTS[::-1], number=number) for number in range(20)]
    assert measure(rows, seed=5).as_json() == measure(rows, seed=5).as_json()
