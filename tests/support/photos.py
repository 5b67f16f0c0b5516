"""Photos drawn in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.support.rows import BOX


def draw_photo(seed: int, width: int = 96, height: int = 64) -> np.ndarray:
    """HxWx3 uint8 BGR: two plain shapes on a soft ground, different for each seed."""
    rng = np.random.default_rng(seed)
    ground = np.linspace(60, 120, width, dtype=np.uint8)
    image = np.repeat(np.tile(ground, (height, 1))[..., None], 3, axis=2)
    colours = [tuple(int(value) for value in rng.integers(0, 255, 3)) for _ in range(2)]
    cv2.rectangle(image, (width // 8, height // 4), (width // 2, height - 8), colours[0], -1)
    cv2.circle(image, (3 * width // 4, height // 2), height // 5, colours[1], -1)
    return image


def write_photo(path: Path, seed: int) -> Path:
    """A drawn photo as PNG, so that its bytes depend on no JPEG codec's version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(".png", draw_photo(seed))
    assert done
    path.write_bytes(data.tobytes())
    return path


def photo_rows(folder: Path, count: int) -> list[dict[str, Any]]:
    """Rows of that many different photos, which it draws in `folder`; they have one box and two in turn."""
    boxes = [BOX, [60, 10, 20, 20]]
    return [
        {"image": write_photo(folder / f"{number}.png", number).name, "id": number, "bbox": boxes[: 1 + number % 2]}
        for number in range(count)
    ]
