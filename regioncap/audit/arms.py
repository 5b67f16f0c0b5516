"""The rows that an audit asks about: a row of an output as the run had it, and with other numbers."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from regioncap.config.derived import AuditArm
from regioncap.config.model import RegionCapConfig
from regioncap.image_ref import ImageRef
from regioncap.output.reading import Captioned
from regioncap.records import Row, dumps
from regioncap.row_keys import MISSING, value_at

Read = Callable[[ImageRef], bytes]


@dataclass(frozen=True)
class ArmRow:
    """One row as one arm asks about it. `row`: as `normalize` makes it. `boxes`: by number, from 1, the index of the
    box that has it."""

    arm: AuditArm
    row: Row
    boxes: tuple[int, ...]

    def number_of(self, box: int) -> int:
        """The number that a box has here."""
        return self.boxes.index(box) + 1


def arm_rows(row: Row, config: RegionCapConfig) -> list[ArmRow]:
    """The row in each arm of the audit."""
    same = tuple(range(len(row["bbox"])))
    return [permuted(row, config) if arm == "permuted" else ArmRow(arm, row, same) for arm in config.audit_arms]


# --- as the run had it


def row_in_run(captioned: Captioned, config: RegionCapConfig, read: Read) -> Row:
    """The row of an output as `normalize` made it. Its image is read if the output does not tell its sha256.

    Raises RowReject as `read` does.
    """
    meta, count = captioned.meta, len(captioned.bbox)
    row: Row = {
        "image": captioned.ref.name,
        "image_sha256": meta.get("image_sha256") or hashlib.sha256(read(captioned.ref)).hexdigest(),
        "width": captioned.width,
        "height": captioned.height,
        "type": captioned.kind,
        "bbox": captioned.bbox,
        "bbox_index": list(meta.get("bbox_index", range(count))),
        "dropped_bbox": meta.get("dropped_bbox", []),
        "valid_bboxes_num": count,
        "fields": _prompt_fields(captioned.line, config),
    }
    if at := captioned.ref.at():
        row["image_at"] = at
    if config.region_fields or captioned.fields:
        row["region_fields"] = [_of_region(captioned, config, index) for index in range(count)]
    return row


def _prompt_fields(line: Row, config: RegionCapConfig) -> Row:
    found = {key: value_at(line, key) for key in config.prompt_fields()}
    return {key: value for key, value in found.items() if value is not MISSING}


def _of_region(captioned: Captioned, config: RegionCapConfig, index: int) -> Row:
    # An output leaves out fields that no region has a value for.
    return {
        **dict.fromkeys(config.region_fields, ""),
        **{name: values[index] for name, values in captioned.fields.items()},
    }


# --- with other numbers


def permuted(row: Row, config: RegionCapConfig) -> ArmRow:
    """The row with a new number for every box. Which one is decided by image and boxes alone, so that an audit that is
    repeated asks the same. What belongs to a box moves with it, and boxes that shared a picture still do."""
    rng = random.Random(dumps([row["image_sha256"], row["bbox"]]).decode())
    groups = renumbered(config.groups_of(len(row["bbox"])), rng)
    boxes = tuple(number - 1 for group in groups for number in group)
    moved: Row = {
        **row,
        "groups": _consecutive(groups),
        **{name: [row[name][box] for box in boxes] for name in ("bbox", "region_fields") if name in row},
        "fields": {name: _moved(value, row, boxes) for name, value in row["fields"].items()},
    }
    return ArmRow("permuted", moved, boxes)


def renumbered(groups: Sequence[Sequence[int]], rng: random.Random) -> list[tuple[int, ...]]:
    """The numbers of all groups in an order in which none stands at its own place, counted from 1; those of a group
    stay together, and groups may change places.

    >>> renumbered([(1, 2), (3, 4)], random.Random(0))
    [(3, 4), (2, 1)]
    """
    while True:  # about one order in three will do, and there is always one: all groups moved on by one
        shuffled = [tuple(rng.sample(group, len(group))) for group in rng.sample(groups, len(groups))]
        in_order = (number for group in shuffled for number in group)
        if all(number != place for place, number in enumerate(in_order, start=1)):
            return shuffled


def _consecutive(groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """The new numbers of groups of these sizes."""
    found, before = [], 0
    for group in groups:
        found.append(list(range(before + 1, before + len(group) + 1)))
        before += len(group)
    return found


def _moved(value: Any, row: Row, boxes: Sequence[int]) -> Any:
    """A value of the row; one that lists something for each box that was given follows the boxes."""
    places = row["bbox_index"]
    if not isinstance(value, list) or len(value) != len(places) + len(row["dropped_bbox"]):
        return value
    moved = list(value)
    for place, box in zip(places, boxes, strict=True):
        moved[place] = value[places[box]]
    return moved
