"""Create a small data set to try RegionCap on: photos that ship in scikit-image's wheel, so no network is needed.

    python examples/make_demo.py demo
    regioncap run demo/photos.jsonl --captioner pixels --output demo/captions.jsonl

Some rows have boxes (xywh pixels, drawn by hand), some leave finding regions to RegionCap, and one is broken, to show
where such rows end up. The photos are in the public domain or CC0; scikit-image's data folder names the source of
each.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import skimage

ROWS: list[dict[str, Any]] = [
    {"image": "coffee.png", "bbox": [[174, 5, 252, 245], [75, 25, 405, 365], [323, 68, 102, 260]]},
    {
        "image": "astronaut.png",
        "bbox": [[154, 12, 146, 175], [362, 0, 112, 284], [277, 340, 228, 171], [132, 346, 78, 80]],
    },
    {"image": "chelsea.png", "bbox": [[136, 84, 72, 66], [296, 104, 60, 60], [226, 218, 60, 50]]},
    {"image": "motorcycle_left.png", "bbox": [[90, 76, 600, 380], [513, 252, 176, 200], [120, 232, 152, 170]]},
    {"image": "rocket.jpg", "bbox": [303, 126, 38, 288]},
    {"image": "coins.png"},
    {"image": "page.png"},
    {"image": "horse.png"},
    {"image": "coffee.png", "bbox": None, "note": "the same photo, without boxes"},
    {"image": "cut.jpg", "bbox": [[10, 10, 100, 100]]},
]


def make(folder: Path) -> Path:
    """Write the photos and `photos.jsonl` into `folder`, and return the path of the latter."""
    photos = folder / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    source = Path(skimage.__file__).parent / "data"
    for name in sorted({row["image"] for row in ROWS} - {"cut.jpg"}):
        shutil.copyfile(source / name, photos / name)
    whole = (source / "rocket.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])  # like an interrupted download
    lines = (json.dumps({**row, "image": f"photos/{row['image']}"}) for row in ROWS)
    listing = folder / "photos.jsonl"
    listing.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return listing


if __name__ == "__main__":
    print(make(Path(sys.argv[1] if len(sys.argv) > 1 else "demo")))
