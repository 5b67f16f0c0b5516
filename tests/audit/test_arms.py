"""What the rows of an audit are: boxes with other numbers, and all that belongs to them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest

from regioncap.audit.arms import arm_rows, permuted, renumbered, row_in_run
from regioncap.config.model import RegionCapConfig
from regioncap.output.reading import captioned
from regioncap.records import Row
from regioncap.tasks.draw_row import groups_of


def config(**settings: Any) -> RegionCapConfig:
    values = {"input": "a.jsonl", "captioner": "openai", "endpoint": "http://h/v1", "model": "m", **settings}
    return RegionCapConfig(**values)


def row(regions: int, **more: Any) -> Row:
    return {
        "image": "a.png", "image_sha256": "5e" * 32, "width": 640, "height": 480, "type": "with_bbox",
        "bbox": [[10 * box, 5, 8, 8] for box in range(regions)], "bbox_index": list(range(regions)),
        "dropped_bbox": [], "valid_bboxes_num": regions, "fields": {}, **more,
    }  # fmt: skip


@pytest.mark.parametrize(("regions", "most"), [*itertools.product(range(2, 13), (1, 2, 3, 5, 12))])
def test_no_number_stays_and_boxes_that_share_a_picture_still_do(regions: int, most: int) -> None:
    settings = config(marks_per_request=most)
    found = permuted(row(regions), settings)
    assert sorted(found.boxes) == list(range(regions))
    assert all(box != place for place, box in enumerate(found.boxes))
    assert [found.number_of(box) for box in found.boxes] == list(range(1, regions + 1))
    assert found.row["bbox"] == [row(regions)["bbox"][box] for box in found.boxes]
    before = {frozenset(number - 1 for number in group) for group in settings.groups_of(regions)}
    after = {frozenset(found.boxes[number - 1] for number in group) for group in groups_of(found.row, settings)}
    assert after == before
    numbers = [number for group in groups_of(found.row, settings) for number in group]
    assert numbers == list(range(1, regions + 1))  # a picture's numbers are consecutive


def test_the_numbers_depend_on_image_and_boxes_alone() -> None:
    settings = config()
    orders = {permuted({**row(6), "image": f"{name}.png"}, settings).boxes for name in range(5)}
    assert len(orders) == 1
    others = {permuted({**row(6), "image_sha256": f"{seed:064x}"}, settings).boxes for seed in range(20)}
    assert len(others) > 10


def test_all_orders_without_a_fixed_number_come_up() -> None:
    rng = random.Random(0)
    found = {renumbered([(1, 2, 3, 4)], rng)[0] for _ in range(500)}
    assert len(found) == 9  # derangements of four


@pytest.mark.parametrize(
    ("values", "places", "dropped"), [(["a", "b", "c"], [0, 1, 2], 0), (["a", "x", "b", "c"], [0, 2, 3], 1)]
)
def test_what_belongs_to_a_box_moves_with_it(values: Sequence[str], places: list[int], dropped: int) -> None:
    given = row(
        3, bbox_index=places, dropped_bbox=[{}] * dropped, region_fields=[{"label": name} for name in "abc"],
        fields={"names": list(values), "place": "a zoo", "others": ["p", "q"]},
    )  # fmt: skip
    found = permuted(given, config())
    names = ["abc"[box] for box in found.boxes]
    assert [fields["label"] for fields in found.row["region_fields"]] == names
    assert [found.row["fields"]["names"][place] for place in places] == names
    assert (found.row["fields"]["place"], found.row["fields"]["others"]) == ("a zoo", ["p", "q"])


def test_a_mode_that_asks_for_one_region_at_a_time_has_no_order() -> None:
    assert [arm.arm for arm in arm_rows(row(3), config())] == ["permuted", "reversed", "control"]
    assert [arm.arm for arm in arm_rows(row(3), config(prompt_mode="focal"))] == ["permuted", "control"]


def test_a_row_of_the_output_is_the_row_that_the_run_had() -> None:
    settings = config(prompt="In {place}: {regions}", region_prompt="{n} {label} {score}",
                      region_fields=["label", "score"], output_key="c")  # fmt: skip
    meta = {
        "type": "with_bbox", "bbox": [[1, 2, 3, 4], [5, 6.5, 7, 8]], "bbox_index": [0, 2], "width": 64, "height": 48,
        "dropped_bbox": [{"index": 1}], "region_fields": {"label": ["cat", None]}, "image_sha256": "ab" * 32,
    }  # fmt: skip
    line = {"image": "a.png", "place": "a zoo", "c": ["<region1> x", "<region2> y"], "meta_info": meta}

    def read(ref: object) -> bytes:
        raise AssertionError("nothing need be read")

    found = row_in_run(captioned(line, 1, settings), settings, read)
    assert found["fields"] == {"place": "a zoo"}
    assert found["region_fields"] == [{"label": "cat", "score": ""}, {"label": None, "score": ""}]
    assert (found["bbox"], found["image_sha256"], found["valid_bboxes_num"]) == (meta["bbox"], "ab" * 32, 2)
    older = {**line, "meta_info": {name: meta[name] for name in meta if name != "image_sha256"}}
    digest = row_in_run(captioned(older, 1, settings), settings, lambda ref: b"image")["image_sha256"]
    assert digest.startswith("6105d6cc76af400325e94d588ce511be")  # sha256 of b"image"
