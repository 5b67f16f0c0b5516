"""Which rows an audit asks about."""

from __future__ import annotations

import random
from collections.abc import Sequence

from regioncap.audit.sampling import sample_of
from regioncap.config.model import RegionCapConfig
from regioncap.output.reading import Captioned, captioned

SETTINGS = RegionCapConfig(input="a", captioner="pixels")


def rows(count: int, regions: int = 2) -> list[Captioned]:
    made = []
    for number in range(1, count + 1):
        boxes = [[number, box, 5, 5] for box in range(regions)]
        meta = {"bbox": boxes, "width": 64, "height": 48, "image_sha256": f"{number:064x}"}
        line = {"image": f"{number}.png", "mdvp_record": ["<region1> x"] * regions, "meta_info": meta}
        made.append(captioned(line, number, SETTINGS))
    return made


def chosen(of: Sequence[Captioned], count: int, seed: int = 0) -> list[str]:
    return [row.image for row in sample_of(of, count, seed).rows]


def test_only_rows_with_several_regions_can_be_asked_about() -> None:
    found = sample_of([*rows(3, regions=1), *rows(4)], 10, 0)
    assert (len(found.rows), found.eligible, found.others) == (4, 4, 3)


def test_rows_of_which_people_decided_all_captions_are_not_asked_about() -> None:
    decided, one_open, plain = rows(3)
    decided.meta["edited"] = ["approved", "edited"]
    one_open.meta["edited"] = ["rejected", None]
    found = sample_of([decided, one_open, plain], 10, 0)
    assert ([row.image for row in found.rows], found.eligible, found.others) == (["2.png", "3.png"], 2, 1)


def test_the_sample_does_not_depend_on_the_order_of_rows() -> None:
    output = rows(50)
    shuffled = random.Random(1).sample(output, len(output))
    assert sorted(chosen(shuffled, 10)) == sorted(chosen(output, 10))
    assert chosen(output, 10, seed=1) != chosen(output, 10)
    assert [row.number for row in sample_of(shuffled, 10, 0).rows] == sorted(
        row.number for row in sample_of(shuffled, 10, 0).rows
    )


def test_a_larger_sample_has_all_of_a_smaller_one() -> None:
    assert set(chosen(rows(50), 10)) < set(chosen(rows(50), 20))


def test_rows_that_are_the_same_are_asked_about_once() -> None:
    assert len(chosen([*rows(3), *rows(3)], 10)) == 3
