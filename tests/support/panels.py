"""Pictures of flat panels, each in a colour that the fake model can name."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from regioncap.captioners.fake.sight import COLOURS

SIDE, GAP, COLUMNS = 56, 24, 4
GROUND = (225, 225, 225)


def write_panels(path: Path, colours: Sequence[str]) -> list[list[int]]:
    """Write a picture (PNG) of panels in these colours, in rows of four; gives their boxes, xywh in pixels."""
    step, rows = SIDE + GAP, -(-len(colours) // COLUMNS)
    image = np.full((rows * step + GAP, COLUMNS * step + GAP, 3), GROUND, np.uint8)
    boxes = []
    for place, name in enumerate(colours):
        x, y = GAP + step * (place % COLUMNS), GAP + step * (place // COLUMNS)
        image[y : y + SIDE, x : x + SIDE] = COLOURS[name][0][::-1]
        boxes.append([x, y, SIDE, SIDE])
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(".png", image)
    assert done
    path.write_bytes(data.tobytes())
    return boxes


def panel_rows(folder: Path, rows: int, regions: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of an input with `regions` panels each, of different colours and in no order of place; their pictures are
    written to `folder`, and their `colours` are in the rows, by box."""
    rng = random.Random(seed)
    made = []
    for number in range(rows):
        colours = rng.sample(list(COLOURS), regions)
        boxes = write_panels(folder / f"panels{number}.png", colours)
        order = rng.sample(range(regions), regions)
        made.append(
            {
                "image": f"panels{number}.png",
                "bbox": [boxes[place] for place in order],
                "colours": [colours[place] for place in order],
            }
        )
    return made


def colour_in(caption: str | None) -> str | None:
    """The colour that a caption of the fake model names."""
    return next((name for name in COLOURS if caption is not None and f" {name} " in caption), None)
