"""The photos of the benchmarks, frozen (see SHA256SUMS)."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np


def make_photos(folder: Path, rows: int) -> Path:
    """A JSONL of `rows` JPEGs of 640x480, every other row with two boxes."""
    rng = np.random.default_rng(0)
    boxes = {"bbox": [[40, 40, 200, 160], [300, 200, 250, 200]]}
    listing = folder / "photos.jsonl"
    with listing.open("w") as lines:
        for number in range(rows):
            small = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
            photo = cv2.resize(small, (640, 480), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / f"{number}.jpg"), photo)
            lines.write(json.dumps({"image": f"{number}.jpg", "n": number} | (boxes if number % 2 else {})) + "\n")
    return listing
