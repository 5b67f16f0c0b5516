"""How many annotated boxes the region finders hit: recall@k at IoU 0.5 and 0.3, and what they cost.

python benchmarks/recall.py boxes.jsonl    # rows with `image` and `bbox` (xywh pixels), images beside the file
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from tasks.registry import EXTRACTORS, load
from tasks.vision.boxes import box_iou
from tasks.vision.extraction import FINDING_LONG_SIDE, find_regions
from tasks.vision.images import decode, read_info

MOST_PIXELS = 10**9


def xyxy(boxes: Any) -> Any:
    """(N, 4) xywh as xyxy."""
    array = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.concatenate([array[:, :2], array[:, :2] + array[:, 2:]], axis=1)


def measure(rows: list[dict[str, Any]], root: Path, key: str, method: str, k: int, min_score: float) -> str:
    """One line of the table."""
    hits, truths, found, none, seconds = np.zeros(2), 0, 0, 0, 0.0
    find = load(EXTRACTORS[method])
    for row in rows:
        data = (root / row["image"]).read_bytes()
        info = read_info(data, max_image_pixels=MOST_PIXELS)
        image = decode(data, max_image_pixels=MOST_PIXELS, long_side=FINDING_LONG_SIDE)
        begun = time.perf_counter()
        boxes = find_regions(image, find, max_boxes=k, min_score=min_score, full_size_wh=(info.width, info.height))
        seconds += time.perf_counter() - begun
        found, none, truths = found + len(boxes), none + (not len(boxes)), truths + len(row[key])
        if len(boxes):
            best = box_iou(xyxy(row[key]), xyxy(boxes)).max(axis=1)
            hits += [(best >= 0.5).sum(), (best >= 0.3).sum()]
    recall = hits / truths
    return (
        f"{method:<9} {recall[0]:>11.3f} {recall[1]:>11.3f} {found / len(rows):>12.1f} "
        f"{none / len(rows):>9.1%} {1000 * seconds / len(rows):>9.2f}"
    )


def main() -> None:
    """Print the table for a file of rows with boxes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--bbox-key", default="bbox")
    parser.add_argument("-k", type=int, default=10, help="proposals a picture")
    parser.add_argument("--min-score", type=float, default=-100.0)
    args = parser.parse_args()
    lines = args.rows.read_text(encoding="utf-8").splitlines()
    key = args.bbox_key
    rows = [row for row in map(json.loads, lines) if row.get(key)]
    if not rows:
        raise SystemExit(f"{args.rows}: no row has boxes under {key!r}; see --bbox-key")
    print(f"{len(rows)} pictures, {sum(len(row[key]) for row in rows)} boxes, first {args.k} proposals")
    print("method    IoU 0.5 hit IoU 0.3 hit  per picture without  ms/picture")
    for method in EXTRACTORS:
        print(measure(rows, args.rows.parent, key, method, args.k, args.min_score))


if __name__ == "__main__":
    main()
