"""Coordinate formats of boxes in prompts: each family of models was trained with its own."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

CoordinatesName = Literal["none", "auto", "px", "0-1", "0-1000", "px-yxyx", "0-1-yxyx", "0-1000-yxyx"]
FindCoordinatesName = Literal["auto", "px", "0-1", "0-1000", "px-yxyx", "0-1-yxyx", "0-1000-yxyx"]

_UNITS = {"px": "in pixels", "0-1": "as shares of width and height from 0 to 1", "0-1000": "on a scale from 0 to 1000"}


@dataclass(frozen=True)
class ResizeRule:
    """How a model resizes the pictures that it gets: to sides that are multiples of `factor`, with an area of
    `min_pixels` to `max_pixels`."""

    factor: int
    min_pixels: int
    max_pixels: int

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) in pixels after the resize. Ratio and area are kept as well as the multiples allow."""
        sides = [round(side / self.factor) * self.factor for side in (width, height)]
        area = sides[0] * sides[1]
        if area > self.max_pixels:
            shrink = math.sqrt(width * height / self.max_pixels) * self.factor
            sides = [max(1, math.floor(side / shrink)) * self.factor for side in (width, height)]
        elif area < self.min_pixels:
            enlarge = math.sqrt(self.min_pixels / (width * height))
            sides = [math.ceil(side * enlarge / self.factor) * self.factor for side in (width, height)]
        return sides[0], sides[1]


QWEN_25 = ResizeRule(factor=28, min_pixels=56 * 56, max_pixels=28 * 28 * 16_384)
"""Of the image processor that Qwen2.5-VL's weights come with (`preprocessor_config.json`)."""


@dataclass(frozen=True)
class Coordinates:
    """How a box is written. `unit`: `px`, `0-1` or `0-1000`. `y_first`: yxyx instead of xyxy. `resize`: what the model
    does to a picture before it counts its pixels."""

    unit: str
    y_first: bool = False
    resize: ResizeRule | None = None

    @classmethod
    def named(cls, name: str) -> Coordinates:
        """Those that a value of the setting other than `none` and `auto` names."""
        unit = name.removesuffix("-yxyx")
        return cls(unit, y_first=unit != name)

    @property
    def form(self) -> str:
        """The form in words, for prompts: `[x1, y1, x2, y2] in pixels`."""
        corners = "[y1, x1, y2, x2]" if self.y_first else "[x1, y1, x2, y2]"
        return f"{corners} {_UNITS[self.unit]}"

    def text(self, corners: tuple[float, float, float, float], picture_wh: tuple[int, int]) -> str:
        """A box as text. `corners`: xyxyn, 0 to 1. `picture_wh`: size in pixels of the picture that the model gets."""
        width, height = self.resize.size(*picture_wh) if self.resize else picture_wh
        x1, x2 = _whole(corners[0], corners[2], width if self.unit == "px" else 1000)
        y1, y2 = _whole(corners[1], corners[3], height if self.unit == "px" else 1000)
        ordered = (y1, x1, y2, x2) if self.y_first else (x1, y1, x2, y2)
        return f"[{', '.join(str(number / 1000 if self.unit == '0-1' else number) for number in ordered)}]"


def _whole(first: float, last: float, scale: int) -> tuple[int, int]:
    """Two fractions as whole numbers from 0 to `scale`, never the same: no box is without area.

    >>> _whole(0.1, 0.5, 1000), _whole(0.5, 0.5002, 1000), _whole(0.9998, 1.0, 1000)
    ((100, 500), (500, 501), (999, 1000))
    """
    low, high = round(first * scale), round(last * scale)
    if low < high:
        return low, high
    low = min(math.floor((first + last) / 2 * scale), scale - 1)
    return low, low + 1


THOUSANDTHS = Coordinates("0-1000")


@dataclass(frozen=True)
class Family:
    """Models that were trained with the same coordinates. `pattern`: in their names, which are compared in lower case
    and without signs. `source`: who says so."""

    name: str
    pattern: str
    coordinates: Coordinates
    source: str


FAMILIES = (
    Family(
        "Qwen2.5-VL", r"qwen25(?:vl|omni)", Coordinates("px", resize=QWEN_25),
        "https://github.com/QwenLM/Qwen3-VL/issues/676: absolute, of the picture after the processor's resize",
    ),
    Family("Qwen3-VL", r"qwen3vl", THOUSANDTHS, "https://github.com/QwenLM/Qwen3-VL, README: relative, 0 to 1000"),
    Family("Qwen2-VL", r"qwen2vl", THOUSANDTHS, "https://arxiv.org/abs/2409.12191: normalized within [0, 1000)"),
    Family(
        "InternVL", r"internvl", THOUSANDTHS,
        "https://internvl.readthedocs.io, chat data format, grounding: 0 to 1000",
    ),
    Family(
        "GLM-4.1V and later", r"glm4[1-9]v", THOUSANDTHS,
        "https://github.com/zai-org/GLM-V: relative, 0 to 1000",
    ),
    Family(
        "Gemini", r"gemini", Coordinates("0-1000", y_first=True),
        "https://ai.google.dev/gemini-api/docs/image-understanding: [ymin, xmin, ymax, xmax], 0 to 1000",
    ),
)  # fmt: skip
"""What `coordinates=auto` knows, tried in order."""


def coordinates_of_model(*names: str | None) -> Coordinates | None:
    """Those that a model was trained with, by its name, or by what a local folder says of itself. None if unknown."""
    for name in filter(None, names):
        known = "".join(re.findall(r"[a-z0-9]+", f"{_type_in_folder(name)} {name}".lower()))
        for family in FAMILIES:
            if re.search(family.pattern, known):
                return family.coordinates
    return None


def _type_in_folder(name: str) -> str:
    """The `model_type` in the folder of a model's weights; "" where there is none."""
    try:
        described: Any = json.loads((Path(name) / "config.json").read_bytes())
        return str(described["model_type"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
