"""Step 4, `normalize`: boxes in pixels and as fractions of the picture; bad ones are dropped with a reason.

Adds `bbox` (xywh pixels), `normalized_bbox` (xyxyn, padded with zero boxes to `max_boxes`), `valid_bboxes_num`,
`bbox_index` (index in the row's own list) and `dropped_bbox`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from regioncap.config.fields_input import BoxFormat, BoxOrder, BoxUnit
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.records import WITHOUT_BBOX, Row, Step, cut_text, loads_given, rejected, shorten
from regioncap.run.context import RunContext
from regioncap.run.runs import RUNS
from regioncap.tasks.lazy_task import lazy_task
from regioncap.tasks.map_rows import map_rows
from regioncap.tasks.step import StepSpec, run_step
from regioncap.vision.boxes import clip_xywh, drop_reason, normalize_xywh, to_xywh
from regioncap.vision.frames import Frame, frame_of, frame_warning

if TYPE_CHECKING:
    from prefect import State

STEP_VERSION = 1
REGION_FIELDS_VERSION = 2
KEPT = ("image", "image_at", "image_sha256", "width", "height", "type", "fields", "question", "warnings")
OVER_MAX_BOXES = "over_max_boxes"


def normalize_boxes(
    boxes: list[list[Any]],
    width: int,
    height: int,
    max_boxes: int,
    box_format: BoxFormat,
    unit: BoxUnit,
    *,
    order: BoxOrder = "input",
    scores: Sequence[float | None] = (),
    frame: Frame | None = None,
) -> Row:
    """What `normalize` adds to a row.

    `boxes`: (N, 4) in `box_format` and `unit`, coordinates may be None. The numbers of xywh pixel boxes are kept as
    given. `order`: which boxes come first, and stay when there are more than `max_boxes`; `scores`: (N,), for
    `order="score"`, None is lowest. `frame`: the picture that the boxes were made on, if not the one displayed.
    `normalized_bbox` is `[x/W, y/H, (x+w)/W, (y+h)/H]`, clipped to 0..1, 3 decimals.

    >>> normalize_boxes([[196, 104, 310, 495]], 1537, 832, 2, "xywh", "px")["normalized_bbox"]
    [[0.128, 0.125, 0.329, 0.72], [0.0, 0.0, 0.0, 0.0]]
    """
    made_on = frame.size if frame is not None else (width, height)
    good: list[tuple[int, list[float]]] = []
    dropped: list[Row] = []
    for index, given in enumerate(boxes):
        box = given if None in given else to_xywh(given, box_format, unit, *made_on)
        if frame is not None and None not in box:
            box = frame.place(box)
        reason = drop_reason(box, width, height)
        if reason:
            dropped.append({"index": index, "bbox": box, "reason": reason})
        else:
            good.append((index, box))
    if order == "area":
        good.sort(key=lambda item: -_area_seen(item[1], width, height))
    elif order == "score":
        good.sort(key=lambda item: _rank(scores[item[0]]))
    kept, over = good[:max_boxes], good[max_boxes:]
    dropped += [{"index": index, "bbox": box, "reason": OVER_MAX_BOXES} for index, box in over]
    dropped.sort(key=lambda drop: int(drop["index"]))
    normalized = [normalize_xywh(box, width, height) for _, box in kept]
    return {
        "bbox": [box for _, box in kept],
        "normalized_bbox": normalized + [[0.0] * 4 for _ in range(max_boxes - len(kept))],
        "valid_bboxes_num": len(kept),
        "bbox_index": [index for index, _ in kept],
        "dropped_bbox": dropped,
    }


def _area_seen(box: list[float], width: int, height: int) -> float:
    _, _, w, h = clip_xywh(box, width, height)
    return w * h


def _rank(score: float | None) -> float:
    return math.inf if score is None else -score


def normalize_row(row: Row, config: RegionCapConfig) -> Row:
    """One row with its boxes normalised, or as a reject `no_valid_boxes` that keeps why each was dropped."""
    found = row["type"] == WITHOUT_BBOX
    frame, warning = _frame(row)
    box_format: BoxFormat = "xywh" if found else config.bbox_format
    unit: BoxUnit = "px" if found else config.bbox_unit
    boxes = normalize_boxes(
        row["boxes"], row["width"], row["height"], config.max_boxes, box_format, unit,
        order="input" if found else config.box_order, scores=row.get("scores", ()), frame=frame,
    )  # fmt: skip
    count = len(row["boxes"])
    boxes["dropped_bbox"] += [
        {"index": index, **drop} for index, drop in enumerate(row.get("found_dropped", ()), start=count)
    ]
    if not boxes["bbox"]:
        size = f"{row['width']}x{row['height']}"
        hint = "the region finder returned no other" if found else "see bbox_format and bbox_unit"
        reasons = ", ".join(f"box {drop['index']} {drop['bbox']}: {drop['reason']}" for drop in boxes["dropped_bbox"])
        message = f"no box can be used on a picture of {size} pixels ({cut_text(reasons)}); {hint}"
        return rejected("normalize", "no_valid_boxes", message, dropped_bbox=boxes["dropped_bbox"])
    kept: Row = {name: row[name] for name in KEPT if name in row}
    if warning:
        kept["warnings"] = [*kept.get("warnings", []), warning]
    if config.region_fields or "found_fields" in row:
        kept |= fields_by_region(row, boxes["bbox_index"], config.region_fields)
    return {**kept, **boxes}


def _frame(row: Row) -> tuple[Frame | None, str]:
    """The picture that a row's boxes were made on, if not the one displayed, and what is doubtful about it."""
    if "size" not in row:
        return None, ""
    sizes = (row["size"][0], row["size"][1]), (row["width"], row["height"])
    return frame_of(*sizes, row["orientation"]), frame_warning(*sizes, row["orientation"])


def fields_by_region(row: Row, bbox_index: list[int], names: Sequence[str]) -> Row:
    """`fields` without the lists `names`, and `region_fields`: for each region its values from these lists.

    Regions that were found have none but those that their finder gave, `found_fields`: other values are "". Raises
    RowReject `bad_row` for a list that does not fit the boxes.
    """
    fields = dict(row.get("fields", {}))
    lists = {name: _list_of(fields.pop(name, None)) for name in names}
    if row["type"] == WITHOUT_BBOX:
        found = row.get("found_fields", {})
        by_region = [
            {**dict.fromkeys(names, ""), **{name: values[index] for name, values in found.items()}}
            for index in bbox_index
        ]
        return {"fields": fields, "region_fields": by_region}
    for name, values in lists.items():
        if not isinstance(values, list) or len(values) != len(row["boxes"]):
            what = f"{len(values)} values" if isinstance(values, list) else shorten(values)
            raise RowReject("bad_row", f"{name!r}: expected a list of {len(row['boxes'])}, one per box, got {what}")
    by_region = [{name: values[index] for name, values in lists.items() if values} for index in bbox_index]
    return {"fields": fields, "region_fields": by_region}


def _list_of(value: Any) -> Any:
    """The list in a row's field; in CSV it is JSON text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError):
            return loads_given(value.encode("utf-8", "surrogatepass"))
    return value


def normalize_rows(rows: list[Row], config: RegionCapConfig) -> list[Row]:
    """Every row with its boxes normalised."""
    return map_rows("normalize", lambda row: normalize_row(row, config), rows)


def _body(context: RunContext, step: Step) -> list[Row]:
    return normalize_rows(context.storage.read(step), context.config)


def _region_fields(context: RunContext) -> dict[str, Any]:
    """Only if there are any, so that all other keys stay the same."""
    if not context.config.region_fields:
        return {}
    return {**context.config.fields(("region_fields",)), "region_fields_version": REGION_FIELDS_VERSION}


NORMALIZE = StepSpec("normalize", STEP_VERSION, _body, extra_key_parts=_region_fields)


@lazy_task("normalize", "normalize {step.shard:05d}")
def normalize(step: Step, config: RegionCapConfig) -> State[Step]:
    """Step 4: boxes in pixels and as fractions of the picture; bad ones are dropped with a reason."""
    return run_step(NORMALIZE, RUNS.context(config), step)
