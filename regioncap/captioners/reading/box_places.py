"""What a box's numbers mean in pixels of the picture, and what contradicts that."""

from __future__ import annotations

import math
from collections.abc import Sequence

from regioncap.config.coordinates import Coordinates

SLACK = 0.05
"""Of the scale: so far beyond it a number is taken for its end, since models overshoot a little."""

SCALES = {"0-1": 1.0, "0-1000": 1000.0, "0-1024": 1024.0}
"""What a picture's whole width or height is in the units that are no pixels."""

STEPS = {"0-1": 1 / 1000, "0-1000": 1.0, "0-1024": 1.0}
"""How finely a model places a box, in the unit. Pixels: one."""

CONTRADICTS = frozenset({"wrong_unit", "outside", "reversed"})
"""Problems that speak against what the numbers of the whole answer were taken for."""

Box = tuple[float, float, float, float]


def place(
    numbers: Sequence[str], coordinates: Coordinates, picture_wh: tuple[int, int], sent_wh: tuple[int, int]
) -> tuple[Box | None, str]:
    """(xywh in pixels of the picture, "") of four numbers as they are written, or (None, why they are no box of it).

    `picture_wh`: size in pixels of the picture, `sent_wh`: of the one that the model got, which may be smaller.

    A model that writes whole thousandths, or pixels of a smaller picture, means any place that rounds to them. Where a
    border of a pixel of the picture is among these it is taken, so that a box that was whole pixels is so again.
    """
    a, b, c, d = (float(number) for number in numbers)
    x1, y1, x2, y2 = (b, a, d, c) if coordinates.y_first else (a, b, c, d)
    model_wh = coordinates.resize.size(*sent_wh) if coordinates.resize else sent_wh
    scales = [float(side) if coordinates.unit == "px" else SCALES[coordinates.unit] for side in model_wh]
    problem = _problem((x1, x2), (y1, y2), scales)
    if not problem and coordinates.unit != "0-1" and max(a, b, c, d) <= 1:
        # Shares of the picture; in pixels, [0, 0, 1, 1] is one of them.
        problem = "wrong_unit" if coordinates.unit == "0-1000" or any("." in text for text in numbers) else ""
    if problem:
        return None, problem
    step = STEPS.get(coordinates.unit, 1.0)
    left, right = _span(x1, x2, scales[0], picture_wh[0], step)
    top, bottom = _span(y1, y2, scales[1], picture_wh[1], step)
    if right <= left or bottom <= top:
        return None, "no_area"
    return (left, top, right - left, bottom - top), ""


def _problem(across: tuple[float, float], down: tuple[float, float], scales: Sequence[float]) -> str:
    spans = ((*across, scales[0]), (*down, scales[1]))
    if not all(math.isfinite(number) for span in spans for number in span):
        return "not_finite"
    if any(first > last for first, last, _ in spans):
        return "reversed"
    if any(last < 0 or first > scale for first, last, scale in spans):
        return "outside"
    if any(first < -SLACK * scale or last > (1 + SLACK) * scale for first, last, scale in spans):
        return "wrong_unit"
    return ""


def _span(first: float, last: float, scale: float, side: int, step: float) -> tuple[float, float]:
    """Both ends in pixels, within the picture. `scale`: the whole side in the unit; `step`: see `STEPS`."""
    exact = [round(min(max(number, 0.0), scale) * side / scale, 6) for number in (first, last)]
    reach = step / scale * side / 2 + 1e-9
    low, high = (float(round(pixel)) if abs(pixel - round(pixel)) <= reach else pixel for pixel in exact)
    return (low, high) if low < high or first == last else (exact[0], exact[1])
