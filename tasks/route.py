"""Step 2, `route`: tells rows that bring their boxes from rows whose regions must be found.

Adds `type` (`with_bbox`, `without_bbox`) and `boxes`, of which only the form is checked: the image is not read yet.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.records import WITH_BBOX, WITHOUT_BBOX, Row, Step, is_number, loads_given, shorten
from regioncap.row_keys import MISSING, boxes_at, value_at
from regioncap.run.context import RunContext
from regioncap.run.runs import RUNS
from regioncap.tasks.lazy_task import lazy_task
from regioncap.tasks.map_rows import map_rows
from regioncap.tasks.step import StepSpec, run_step
from regioncap.vision.frames import SIZE_KEYS, stated_size

if TYPE_CHECKING:
    from prefect import State

STEP_VERSION = 1
PATHS_VERSION = 1


def check_scores(value: Any, boxes: int, key: str) -> list[float | None]:
    """The scores of a row's boxes; None for one that is missing or no number.

    `value`: what the row holds, a list, one number for one box, or (from CSV) that as JSON text. Raises RowReject
    `bad_row` when it does not fit the boxes.
    """
    if isinstance(value, str):
        value = _json_or_none(value)
    scores = value if isinstance(value, list) else [value]
    if value is None or len(scores) != boxes:
        what = f"{len(scores)} of them" if isinstance(value, list) else shorten(value)
        raise RowReject(
            "bad_row", f"{key!r}: expected a list of {boxes} scores, one per box, got {what}; see box_order"
        )
    return [score if is_number(score) else None for score in scores]


def check_size(row: Row) -> list[int]:
    """The size [width, height] that a row of the input tells. Raises RowReject `bad_row` if it tells none."""
    size = stated_size(row)
    if size is None:
        shown = shorten({name: row[name] for names in SIZE_KEYS for name in names if name in row})
        message = f"expected the size of its image as whole numbers `width` and `height`, got {shown}; see box_size"
        raise RowReject("bad_row", message)
    return list(size)


def _json_or_none(text: str) -> Any:
    with suppress(ValueError):
        return loads_given(text.encode("utf-8", "surrogatepass"))
    return None


def route_row(
    row: Row,
    bbox_key: str,
    empty_bbox: Literal["reject", "find"],
    prompt_keys: Collection[str] = (),
    score_key: str | None = None,
    size_from_row: bool = False,
) -> Row:
    """One row as `with_bbox`, with its boxes, or as `without_bbox`.

    `prompt_keys`: keys of the row that prompts use; their values are carried along as `fields`. `score_key`: the key
    of the boxes' scores, carried along as `scores`. `size_from_row`: the size that the row tells is carried along as
    `size`. Raises RowReject `bad_bbox`, `no_boxes`, or `bad_row` for scores that do not fit and a missing size.
    """
    kept: Row = {name: row[name] for name in ("image", "image_at", "image_stat") if name in row}
    if prompt_keys:
        found = {key: value_at(row["row"], key) for key in prompt_keys}
        kept["fields"] = {key: value for key, value in found.items() if value is not MISSING}
    boxes = boxes_at(row["row"], bbox_key)
    if boxes:
        if score_key is not None:
            kept["scores"] = check_scores(value_at(row["row"], score_key, None), len(boxes), score_key)
        if size_from_row:
            kept["size"] = check_size(row["row"])
        return {**kept, "type": WITH_BBOX, "boxes": boxes}
    if boxes is not None and empty_bbox == "reject":
        raise RowReject("no_boxes", f"{bbox_key!r} is an empty list; empty_bbox='find' would look for regions")
    return {**kept, "type": WITHOUT_BBOX}


def route_rows(
    rows: list[Row],
    bbox_key: str,
    empty_bbox: Literal["reject", "find"],
    prompt_keys: Collection[str] = (),
    score_key: str | None = None,
    size_from_row: bool = False,
) -> list[Row]:
    """Every row with its type; rejects of `load` keep their place, without the row that they hold."""

    def routed_row(row: Row) -> Row:
        return route_row(row, bbox_key, empty_bbox, prompt_keys, score_key, size_from_row)

    routed = map_rows("route", routed_row, rows)
    return [{"reject": row["reject"]} if "reject" in row else row for row in routed]


def routed(rows: list[Row], config: RegionCapConfig) -> list[Row]:
    """`route_rows` as the config says."""
    keys = config.carried_keys
    return route_rows(
        rows, config.boxes_key, config.empty_bbox, keys, score_key_of(config), size_from_row=config.box_size == "row"
    )


def _body(context: RunContext, step: Step) -> list[Row]:
    return routed(context.storage.read(step), context.config)


def score_key_of(config: RegionCapConfig) -> str | None:
    """The row's key whose scores order its boxes; None where scores do not."""
    return config.score_key if config.applies("score_key") else None


def _key_parts(context: RunContext) -> dict[str, Any]:
    """Only where there are any, so that the keys of plain prompts and plain keys stay the same."""
    config = context.config
    keys = config.carried_keys
    dotted = any("." in key for key in (config.boxes_key, *keys, score_key_of(config) or ""))
    return ({"prompt_keys": list(keys)} if keys else {}) | ({"paths_version": PATHS_VERSION} if dotted else {})


ROUTE = StepSpec("route", STEP_VERSION, _body, extra_key_parts=_key_parts)


@lazy_task("route", "route {step.shard:05d}")
def route(step: Step, config: RegionCapConfig) -> State[Step]:
    """Step 2: tells rows that bring their boxes from rows whose regions must be found."""
    return run_step(ROUTE, RUNS.context(config), step)
