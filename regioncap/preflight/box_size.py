"""Whether the sizes that rows tell are those of their pictures, checked before the first run.

Where they are not, the boxes were made on a picture of another size, or before its EXIF orientation was applied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.preflight.box_sample import SampledRow
from regioncap.records import shorten
from regioncap.vision.boxes import BoxFormat, BoxUnit, to_xywh
from regioncap.vision.frames import Relation, Size, relation, same_size, speaks_of_boxes

MAX_OTHER_SIZES = 0.05
"""Share of the rows that may tell another size than their picture has."""

WHAT_TO_DO: dict[Relation, str] = {
    "resized": (
        "If the boxes were made at the size that the rows state, set --box-size row, which scales them; if they fit "
        "the pictures as they are, --no-box-check"
    ),
    "turned": (
        "The EXIF orientation turns these pictures. If the boxes were made on the pictures as stored, as the rows' "
        "sizes say, set --box-size row, which turns the boxes too; if they fit the pictures as displayed, "
        "--no-box-check"
    ),
    "exchanged": (
        "Width and height are exchanged, and no EXIF orientation explains that: correct the rows; if the boxes fit the "
        "pictures as displayed, --no-box-check, with --box-size picture"
    ),
}


def check_box_sizes(sampled: Sequence[SampledRow], config: RegionCapConfig) -> None:
    """Raises UsageError when more than 5 % of the sampled rows state another size than their picture has, and boxes are
    not scaled from it (`box_size`); or when they are to be, but no row tells its size."""
    from_rows = config.box_size == "row"
    if from_rows and sampled and not any(row.stated for row in sampled):
        raise UsageError(
            "box_size: expected rows that state the size of their image as `width` and `height`, but none of the first "
            f"rows does, such as that of {shorten(str(sampled[0].ref))}; set --box-size picture"
        )
    pairs = compare(sampled, config.bbox_unit)
    fine = ("same", "resized", "turned") if from_rows else ("same",)
    others = [(how, row) for how, row in pairs if how not in fine]
    if others and len(others) > MAX_OTHER_SIZES * len(pairs):
        how = Counter(what for what, _ in others).most_common(1)[0][0]
        example = next(row for what, row in others if what == how)
        raise UsageError(
            f"box_size: {len(others):,} of {len(pairs):,} sampled rows state another size than their image has, such "
            f"as {_shown(example)}. {WHAT_TO_DO[how]}"
        )


def compare(sampled: Sequence[SampledRow], unit: BoxUnit) -> list[tuple[Relation, SampledRow]]:
    """The sampled rows that tell their size, with how that relates to their picture."""
    pairs: list[tuple[Relation, SampledRow]] = []
    for row in sampled:
        if row.stated is not None and row.header is not None and is_size_of_boxes(row.boxes, row.stated, unit):
            how = relation(row.stated, row.header.shown, row.header.orientation)
            # No scale moves fractions, and without pixels there is less to tell a picture's size from a product's.
            moved = unit == "px" or (how == "turned" and same_size(row.stated, row.header.shown[::-1]))
            pairs.append((how if moved else "same", row))
    return pairs


def is_size_of_boxes(boxes: Sequence[Sequence[float]], size: Size, unit: BoxUnit) -> bool:
    """Whether boxes may have been made on a picture of this size, whatever their format."""
    return any(
        speaks_of_boxes(size, [to_xywh(box, box_format, unit, *size) for box in boxes])
        for box_format in get_args(BoxFormat)
    )


def _shown(row: SampledRow) -> str:
    assert row.header is not None
    assert row.stated is not None
    tells, has = (f"{width}x{height}" for width, height in (row.stated, row.header.shown))
    return f"{shorten(str(row.ref))}: row {tells}, picture {has}"
