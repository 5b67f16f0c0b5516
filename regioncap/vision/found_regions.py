"""What a plugin returns for a picture, as regions: whole pixels of the full-size picture, best first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from regioncap.vision.boxes import drop_reason

FloatArray = npt.NDArray[np.float64]

MAX_DROPPED = 100
"""Boxes of a picture that cannot be used and are put on record."""

SCORE_DECIMALS = 4

LABEL, SCORE = "label", "score"
"""The region fields that a plugin's regions may have."""


@dataclass(frozen=True)
class Regions:
    """Regions of a picture, best first.

    `boxes`: (N, 4) numbers in `box_format` and pixels of the picture that the finder was given. `scores`: (N,) numbers,
    higher is better; the regions are then ranked by them. `labels`: N texts or numbers. Arrays of NumPy, lists, and
    whatever NumPy can read, such as tensors on the CPU.
    """

    boxes: Any
    scores: Any = None
    labels: Sequence[Any] | None = None
    box_format: Literal["xywh", "xyxy", "cxcywh"] = "xywh"


@dataclass
class Found:
    """Regions of the full-size picture: `boxes`, xywh, of which the bad ones are left for `normalize` to drop with a
    reason (null for what is not finite); `fields`: a list for each region field, parallel to them."""

    boxes: list[list[Any]] = field(default_factory=list)
    fields: dict[str, list[Any]] = field(default_factory=dict)


class WrongReturn(ValueError):
    """What a finder returned is not what the contract says; its text continues "it returned"."""


def found_in(
    returned: Any, size_wh: tuple[int, int], full_size_wh: tuple[int, int], *, max_boxes: int, min_score: float
) -> Found:
    """The regions in what a finder `returned` for a picture of `size_wh` pixels: at most `max_boxes` that can be used,
    in whole pixels of the picture of `full_size_wh`, rounded outwards and clipped to it; and the bad ones among them.

    Raises WrongReturn, and whatever converting a foreign object to an array raises.
    """
    with np.errstate(all="ignore"):  # what is not finite is dropped with that reason
        boxes, scores, labels = _arrays(returned)
        scaled = (boxes * np.tile(np.divide(full_size_wh, size_wh), 2)).tolist()
    kept = _kept(scaled, _ranked(len(boxes), scores, min_score), full_size_wh, max_boxes)
    fields: dict[str, list[Any]] = {}
    if labels is not None:
        fields[LABEL] = [labels[index] for index, _ in kept]
    if scores is not None:
        fields[SCORE] = [_rounded(float(scores[index]), SCORE_DECIMALS) for index, _ in kept]
    return Found([box for _, box in kept], fields)


def _ranked(count: int, scores: FloatArray | None, min_score: float) -> list[int]:
    """Indices of the regions that score enough, best first; without scores all of them as they are."""
    if scores is None:
        return list(range(count))
    order = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")
    return [int(index) for index in order if not scores[index] < min_score]


def _kept(
    boxes: list[list[float]], order: list[int], size_wh: tuple[int, int], max_boxes: int
) -> list[tuple[int, list[Any]]]:
    """(index, box xywh) of the best `max_boxes` that can be used, and of the bad ones that rank among them."""
    kept: list[tuple[int, list[Any]]] = []
    used = 0
    for index in order:
        if used == max_boxes:
            break
        bad = drop_reason(boxes[index], *size_wh) is not None
        if not bad:
            kept.append((index, _pixels(boxes[index], size_wh)))
            used += 1
        elif len(kept) - used < MAX_DROPPED:
            kept.append((index, [_rounded(number) for number in boxes[index]]))
    return kept


def _pixels(box: list[float], size_wh: tuple[int, int]) -> list[int]:
    """A box xywh, rounded outwards to whole pixels and clipped to the picture."""
    (x, y, w, h), (width, height) = box, size_wh
    left, top = math.floor(max(x, 0) + 1e-6), math.floor(max(y, 0) + 1e-6)
    right, bottom = math.ceil(min(x + w, width) - 1e-6), math.ceil(min(y + h, height) - 1e-6)
    left, top = min(left, width - 1), min(top, height - 1)
    return [left, top, max(right - left, 1), max(bottom - top, 1)]


def _rounded(number: float, decimals: int = 2) -> float | None:
    return round(number, decimals) if math.isfinite(number) else None


def _arrays(returned: Any) -> tuple[FloatArray, FloatArray | None, list[Any] | None]:
    """(boxes (N, 4) xywh, scores (N,) or None, labels or None). Raises WrongReturn."""
    regions = returned if isinstance(returned, Regions) else Regions(returned)
    boxes = _numbers(regions.boxes, "boxes")
    if boxes.size == 0 and boxes.ndim <= 2:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise WrongReturn(
            f"boxes of shape {boxes.shape}; expected (N, 4), with scores and labels as "
            "regioncap.plugins.Regions(boxes, scores, labels)"
        )
    scores = None if regions.scores is None else _numbers(regions.scores, "scores").reshape(-1)
    labels = None if regions.labels is None else [_label(label) for label in regions.labels]
    for what, values in (("scores", scores), ("labels", labels)):
        if values is not None and len(values) != len(boxes):
            raise WrongReturn(f"{len(boxes)} boxes and {len(values)} {what}; expected one a box")
    return _as_xywh(boxes, regions.box_format), scores, labels


def _numbers(values: Any, what: str) -> FloatArray:
    if values is None:
        raise WrongReturn("None; expected boxes (N, 4), N may be 0")
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        raise WrongReturn(f"{what} that are no array of numbers; expected boxes (N, 4), scores (N,)") from None
    if array.size and array.dtype.kind not in "iuf":
        raise WrongReturn(f"{what} of type {type(values).__name__} ({array.dtype}); expected numbers")
    return array.astype(np.float64)


def _label(label: Any) -> Any:
    """A label as JSON can have it: text, a number, or nothing."""
    if isinstance(label, np.generic) or (hasattr(label, "item") and getattr(label, "size", 1) == 1):
        label = label.item()
    if label is not None and not isinstance(label, str | int | float):
        raise WrongReturn(f"a label of type {type(label).__name__}; expected texts")
    return None if isinstance(label, float) and not math.isfinite(label) else label


def _as_xywh(boxes: FloatArray, box_format: str) -> FloatArray:
    first, second = boxes[:, :2], boxes[:, 2:]
    match box_format:
        case "xywh":
            return boxes
        case "xyxy":
            return np.concatenate([first, second - first], axis=1)
        case "cxcywh":
            return np.concatenate([first - second / 2, second], axis=1)
    raise WrongReturn(f"box_format {str(box_format)[:40]!r}; expected xywh, xyxy or cxcywh")
