"""What audited boxes are grouped by: the number of regions in their picture, their size, their overlap."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from regioncap.audit.rows import AuditedRow
from regioncap.vision.boxes import box_iou, clip_xywh

Grouping = Literal["regions", "size", "overlap"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)

GROUPS: dict[Grouping, tuple[str, ...]] = {
    "regions": ("2", "3 to 5", "6 to 10", "more than 10"),
    "size": ("up to 1 %", "1 to 10 %", "more than 10 %"),
    "overlap": ("none", "up to 0.3", "more than 0.3"),
}
"""The names of the groups. `regions`: in the picture. `size`: of the box, as a share of the picture's area. `overlap`:
intersection over union with the neighbour that overlaps most, 0..1."""

_BOUNDS: dict[Grouping, tuple[float, ...]] = {"regions": (2, 5, 10), "size": (0.01, 0.1), "overlap": (0, 0.3)}
"""The highest value of each group but the last."""


def groups_of(row: AuditedRow) -> dict[Grouping, list[str]]:
    """For each grouping, the group of every box of the row."""
    return {
        grouping: [GROUPS[grouping][bisect_left(_BOUNDS[grouping], value)] for value in values(row)]
        for grouping, values in _VALUES.items()
    }


def _regions(row: AuditedRow) -> list[float]:
    return [len(row.bbox)] * len(row.bbox)


def _sizes(row: AuditedRow) -> list[float]:
    clipped = [clip_xywh(box, row.width, row.height) for box in row.bbox]
    return [width * height / (row.width * row.height) for _, _, width, height in clipped]


def _overlaps(row: AuditedRow) -> list[float]:
    xywh = np.asarray(row.bbox, dtype=float).reshape(-1, 4)
    xyxy = np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])
    overlaps = box_iou(xyxy, xyxy)
    np.fill_diagonal(overlaps, 0)
    return [float(most) for most in overlaps.max(axis=1)]


_VALUES: dict[Grouping, Callable[[AuditedRow], list[float]]] = {
    "regions": _regions,
    "size": _sizes,
    "overlap": _overlaps,
}
