"""How many annotated boxes the region finders hit: recall@10 and @3 at IoU 0.5 and 0.3, and what they cost.

python benchmarks/regions.py boxes.jsonl [--by set]    # rows with `image` and `bbox` (xywh pixels), beside the images

All finders of the registry, and for comparison ten boxes that are the same for every picture. `--by KEY` makes a table
for each value that rows have under KEY. Milliseconds are CPU time of the finder alone, medians of rounds in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from regioncap.registry import EXTRACTORS, SIZE_FREE, load
from regioncap.vision.boxes import box_iou
from regioncap.vision.extraction import (
    DEFAULT_MIN_SCORE,
    FINDER_MAX_LONG_SIDE,
    FINDER_MIN_LONG_SIDE,
    Finder,
    find_regions,
)
from regioncap.vision.images import Picture

MAX_PIXELS = 10**9
ROUNDS = 3
FIXED = (
    (0.25, 0.25, 0.5, 0.5), (0.1, 0.1, 0.8, 0.8), (0.0, 0.0, 1.0, 1.0), (0.05, 0.3, 0.4, 0.6),
    (0.55, 0.3, 0.4, 0.6), (0.3, 0.05, 0.4, 0.9),
    (0.05, 0.45, 0.9, 0.5), (0.35, 0.35, 0.3, 0.3), (0.15, 0.5, 0.3, 0.45),
    (0.55, 0.5, 0.3, 0.45),
)  # fmt: skip
"""Ten boxes, xywh in parts of the picture, blind to what is in it."""


def fixed(image: np.ndarray, /, *, max_boxes: int = 10, min_score: float = 0.0) -> Any:
    """The same boxes for every picture; see `regioncap.vision.extraction` for what a finder is."""
    height, width = image.shape[:2]
    return np.rint(np.array(FIXED[:max_boxes]) * (width, height, width, height)).astype(np.int64)


def xyxy(boxes: Any) -> Any:
    """(N, 4) xywh as xyxy."""
    array = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.concatenate([array[:, :2], array[:, :2] + array[:, 2:]], axis=1)


class Photo:
    """A row with boxes: the picture as `name` is given it by the step `extract`."""

    def __init__(self, row: dict[str, Any], root: Path, key: str, bytes_of: dict[str, bytes]) -> None:
        if row["image"] not in bytes_of:
            bytes_of[row["image"]] = (root / row["image"]).read_bytes()
        self.picture = Picture(bytes_of[row["image"]], max_image_pixels=MAX_PIXELS)
        self.size = (self.picture.info.width, self.picture.info.height)
        self.truth = xyxy(row[key])

    def seen_by(self, name: str) -> Any:
        """HxWx3 uint8 BGR."""
        least = FINDER_MIN_LONG_SIDE if name in SIZE_FREE else None
        return self.picture.pixels(long_side=FINDER_MAX_LONG_SIDE, min_side=least)


def measure(name: str, finder: Finder, photos: list[Photo], k: int, min_score: float) -> str:
    """One line of the table."""
    images = [photo.seen_by(name) for photo in photos]
    found, spent = [], []
    for _ in range(ROUNDS):
        begun = time.process_time()
        found = [
            find_regions(image, finder, max_boxes=k, min_score=min_score, full_size_wh=photo.size)
            for image, photo in zip(images, photos, strict=True)
        ]
        spent.append((time.process_time() - begun) / len(photos))
    hits = np.zeros(4)
    for boxes, photo in zip(found, photos, strict=True):
        iou = box_iou(photo.truth, xyxy(boxes))
        for place, (first, least) in enumerate(((k, 0.5), (k, 0.3), (3, 0.5), (3, 0.3))):
            hits[place] += (iou[:, :first].max(axis=1, initial=0) >= least).sum()
    recall = " ".join(f"{share:>7.3f}" for share in hits / sum(len(photo.truth) for photo in photos))
    counts = [len(boxes) for boxes in found]
    return (
        f"{name:<9} {recall} {statistics.mean(counts):>10.1f} {counts.count(0) / len(counts):>9.1%} "
        f"{1000 * statistics.median(spent):>8.2f}"
    )


def table(title: str, rows: list[dict[str, Any]], root: Path, key: str, k: int, min_score: float) -> None:
    """Print what all finders do on these rows."""
    print(f"{title}: {len(rows)} pictures, {sum(len(row[key]) for row in rows)} boxes")
    print(f"             @{k} .5    .3   @3 .5    .3  a picture   without       ms")
    bytes_of: dict[str, bytes] = {}
    for name, finder in [*((name, load(entry)) for name, entry in EXTRACTORS.items()), ("fixed", fixed)]:
        print(measure(name, finder, [Photo(row, root, key, bytes_of) for row in rows], k, min_score), flush=True)


def main() -> None:
    """Print the tables for a file of rows with boxes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--bbox-key", default="bbox")
    parser.add_argument("--by", help="a key of the rows, for a table for each of its values")
    parser.add_argument("-k", type=int, default=10, help="proposals a picture")
    parser.add_argument("--min-score", type=float, default=DEFAULT_MIN_SCORE)
    args = parser.parse_args()
    key = args.bbox_key
    rows = [row for row in map(json.loads, args.rows.read_text(encoding="utf-8").splitlines()) if row.get(key)]
    if not rows:
        raise SystemExit(f"{args.rows}: no row has boxes under {key!r}; see --bbox-key")
    sets: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        sets.setdefault(str(row.get(args.by, args.rows.stem)), []).append(row)
    for title, part in sets.items():
        table(title, part, args.rows.parent, key, args.k, args.min_score)


if __name__ == "__main__":
    main()
