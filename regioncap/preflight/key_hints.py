"""Boxes and images under other keys than those that are read by default: said before the run, and never a stop.

Without boxes regions are found, so rows whose boxes have another name would be captioned for the wrong regions.
"""

from __future__ import annotations

import contextlib
import math
import re
import shlex
from collections.abc import Callable
from typing import Any

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.inputs.found_files import is_image
from regioncap.masking import outside_text
from regioncap.preflight.first_rows import FirstRows
from regioncap.records import Row, is_number, loads_given
from regioncap.row_keys import image_name_at, paths_of, value_at
from regioncap.row_work import row_work
from regioncap.storage.urls import without_query

ROWS_TO_SEARCH = 100
"""Rows that are searched for boxes and images under other keys."""

MAX_SHOWN_CHARS = 60
"""A longer key is not offered."""

SAMPLED_BOXES = 20

BOX_NAME = re.compile(r"box|bnd|rect|xyxy|xywh|ltrb|roi\b|region|detect|annotation|object|instance|shape|coord")
"""What keys of boxes are called: four numbers alone may be anything."""

IMAGE_NAME = re.compile(r"image|img|file|path|photo|pic|url|uri|src|source")

SIDES: dict[tuple[str, ...], str] = {
    ("xmin", "ymin", "xmax", "ymax"): "xyxy",
    ("x_min", "y_min", "x_max", "y_max"): "xyxy",
    ("x1", "y1", "x2", "y2"): "xyxy",
    ("left", "top", "right", "bottom"): "xyxy",
    ("x", "y", "w", "h"): "xywh",
    ("x", "y", "width", "height"): "xywh",
    ("left", "top", "width", "height"): "xywh",
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"): "xywh",
}
"""The names of a box's numbers where each has its own, and the `bbox_format` that they make."""


def key_hints(config: RegionCapConfig, rows: FirstRows) -> list[str]:
    """In words, where the first rows have boxes or images, if none has any under the key that is read; usually nothing.

    Nothing either where the output's last run had the same input and box settings, or `box_check` is off.
    """
    if not config.box_check or config.rows != "per_image" or rows.are_known():
        return []
    image = _hint(rows, lambda row: _image_name(row, config.image_key) is not None, _image_hint)
    boxes = _hint(rows, lambda row: _may_be_boxes(value_at(row, config.bbox_key, None)), _box_hint)
    found = (("images", config.image_key, image), ("boxes", config.bbox_key, boxes))
    return [f"the rows have no {what} under the key {key!r}, but {hint}" for what, key, hint in found if hint]


def _hint(rows: FirstRows, is_read: Callable[[Row], bool], hint_of: Callable[[Row, list[str]], str]) -> str:
    """The first hint that `hint_of` has for a row and its paths, if there is no row that `is_read` as it is."""
    hint = ""
    for number, row in enumerate(rows.objects()):
        if is_read(row):
            return ""
        if not hint and number < ROWS_TO_SEARCH:
            with contextlib.suppress(RowReject), row_work("key hints"):
                hint = hint_of(row, [path for path in paths_of(row) if _can_be_shown(path)])
    return hint


def _can_be_shown(path: str) -> bool:
    """Whether a message can hold the path as it has to be typed."""
    return len(path) <= MAX_SHOWN_CHARS and outside_text(path) == path


# --- boxes


def _box_hint(row: Row, paths: list[str]) -> str:
    named = [path for path in paths if BOX_NAME.search(path.casefold())]
    lists = [path for path in named if "," not in path and _are_boxes(value_at(row, path))]
    if best := min(lists, key=_box_rank, default=""):
        return f"under {best!r}; to use these: --bbox-key {shlex.quote(best)}"
    for names, box_format in SIDES.items():
        if all(_has_number(value_at(row, name)) for name in names):
            flags = f"--rows per_box --bbox-key {','.join(names)} --bbox-format {box_format}"
            return f"they have {', '.join(names)}; to use these as boxes: {flags}"
    for path in named:
        for names in SIDES:
            if all(_has_number(value_at(row, f"{path}.{name}")) for name in names):
                return f"{path!r} has the numbers of boxes under names ({', '.join(names)}); {CONVERT}"
        if path.endswith(".points") and _are_corners(value_at(row, path)):
            return f"{path!r} has the corners of shapes, as LabelMe writes them; {CONVERT}"
    return ""


def _may_be_boxes(value: Any) -> bool:
    """Whether `value` is read as boxes, rightly or not: objects are not."""
    items = value if isinstance(value, list) else [value]
    return value is not None and not any(isinstance(item, dict) for item in items)


CONVERT = "to use these: convert them to COCO, or give each row its list of boxes [[x, y, w, h], …]"


def _box_rank(path: str) -> tuple[bool, bool]:
    """`bbox` itself first, then other boxes."""
    last = path.rpartition(".")[2].casefold()
    return last != "bbox", "box" not in last


def _are_boxes(value: Any) -> bool:
    """Whether `value` is one box or a list of them, as `check_boxes` reads them; in CSV it is JSON text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError):
            value = loads_given(value.encode("utf-8", "surrogatepass"))
    if not isinstance(value, list):
        return False
    given = [item for item in value[:SAMPLED_BOXES] if item is not None]
    return _is_box(value) or (bool(given) and all(_is_box(item) for item in given))


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(is_number(number) for number in value)


def _has_number(value: Any) -> bool:
    """Whether `value` is a number, as text in CSV, or a list (of lists) that begins with one."""
    while isinstance(value, list):
        value = value[0] if value else None
    with contextlib.suppress(ValueError):
        return is_number(value) or (isinstance(value, str) and math.isfinite(float(value)))
    return False


def _are_corners(value: Any) -> bool:
    """Whether `value` has for each shape a list of points [x, y]."""
    shapes = value if isinstance(value, list) else []
    first = shapes[0] if shapes and isinstance(shapes[0], list) else []
    return bool(first) and all(isinstance(point, list) and len(point) == 2 for point in first)


# --- images


def _image_hint(row: Row, paths: list[str]) -> str:
    named = [path for path in paths if _is_image(_image_name(row, path) or "")]
    best = min(named, key=lambda path: not IMAGE_NAME.search(path.casefold()), default="")
    return f"under {best!r}; to use these: --image-key {shlex.quote(best)}" if best else ""


def _image_name(row: Row, key: str) -> str | None:
    with contextlib.suppress(RowReject):
        return image_name_at(row, key)
    return None


def _is_image(name: str) -> bool:
    return name.startswith("data:image/") or is_image(without_query(name))
