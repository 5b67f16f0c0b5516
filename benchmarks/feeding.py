"""How many pictures a second one processor core can give to model servers, by the size of the photos.

python benchmarks/feeding.py [--rows 400] [--runs 3]

The flow with a model server (`regioncap fake-vlm`, in a process of its own); counted are the CPU seconds of the flow's
process alone, reading, drawing, encoding and asking included: they depend on the machine, but not on who else uses it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from prefect_server import prefect_server
from throughput import Case, fake_server

from regioncap.config.model import RegionCapConfig
from regioncap.flows.region_caption import region_caption

SIZES = ((640, 480), (2048, 1536), (4000, 3000))
DIFFERENT = 20


def make_photos(folder: Path, size: tuple[int, int], rows: int) -> Path:
    """A JSONL of `rows` rows over some JPEGs of `size` (width, height), each row with two boxes of its own."""
    rng = np.random.default_rng(0)
    width, height = size
    for number in range(DIFFERENT):
        small = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        photo = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number}.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 90])
    with (folder / "photos.jsonl").open("w") as file:
        for n in range(rows):
            boxes = [
                [n % 97 + 1, n // 97 + 1, width // 3, height // 3],
                [width // 2, height // 2, width // 4, height // 4],
            ]
            file.write(json.dumps({"image": f"{n % DIFFERENT}.jpg", "n": n, "bbox": boxes}) + "\n")
    return folder / "photos.jsonl"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    spent: dict[tuple[int, int], list[float]] = {size: [] for size in SIZES}
    case = Case(args.rows, 64, 0.2)
    with tempfile.TemporaryDirectory() as name, prefect_server(), fake_server(case) as (url, _):
        listings = {}
        for size in SIZES:
            folder = Path(name) / f"{size[0]}"
            folder.mkdir()
            listings[size] = make_photos(folder, size, args.rows)
        for run in range(args.runs + 1):
            for size, listing in listings.items():
                config = RegionCapConfig(
                    input=str(listing), output=str(listing.with_name(f"{run}.jsonl")), endpoint=url, model="fake-vlm",
                    cache_path=str(listing.with_name(f"cache-{run}")), max_in_flight=64, page_pictures=0,
                )  # fmt: skip
                begun = time.process_time()
                summary = region_caption(config)
                assert summary.rows_out == args.rows, summary
                if run:  # the first round warms files and imports
                    spent[size].append(time.process_time() - begun)
    print(f"{args.rows:,} rows, median of {args.runs} runs in turn")
    print("photo          CPU ms a picture   pictures/s a core")
    for (width, height), seconds in spent.items():
        a_picture = statistics.median(seconds) / args.rows
        print(f"{width} x {height:<8} {1000 * a_picture:>15.1f} {1 / a_picture:>19.0f}")


if __name__ == "__main__":
    main()
